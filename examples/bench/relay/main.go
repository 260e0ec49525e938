//go:build linux

// Relay compares examples/relay with the alternatives: HAProxy, the stream module of NGINX,
// and a minimal Go relay (./minimal). Each sends a PROXY header to the same
// backend, on two processors that it shares with the load.
//
//	go run ./examples/bench/relay                                 all rounds, about 4 minutes
//	go run ./examples/bench/relay -rounds 1 -for 1s churn idle    these measurements only
//
// A round measures one proxy after the other, so that other load on the machine affects all
// of them, and each round begins with another proxy. The command prints the median over the
// rounds, and the median of the ratios to HAProxy in the same round. Programs that are not
// installed are reported and omitted.
//
//	churn  32 clients connect, exchange five bytes each way, and close: connections
//	       per second, the latency of a session, and the proxy's processor time for one,
//	       in its own code and in the kernel
//	bulk   one client receives 1 GiB
//	idle   5,000 sessions that send nothing: resident memory for each. With splice(2) a
//	       session of the minimal Go relay has two pipes, so the limit of open files may
//	       allow fewer.
//	slow   100 clients that read one byte in ten milliseconds of an endless stream, and
//	       the churn of others at the same time
package main

import (
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/seed-94e48765/portico/examples/bench/internal/measure"
)

func main() {
	rounds := flag.Int("rounds", 5, "measurements of each proxy")
	length := flag.Duration("for", 2*time.Second, "length of a measurement of churn")
	sessions := flag.Int("sessions", 5000, "number of idle sessions")
	bytes := flag.Int64("bytes", 1<<30, "bytes of a bulk transfer")
	log := flag.String("log", "warn", "RELAY_LOG of the relay: info writes a line for each session")
	flag.Parse()
	b := &bench{
		Arguments: measure.Arguments{Rounds: *rounds, Length: *length, Only: flag.Args()},
		sessions:  *sessions, bytes: *bytes, relayLog: *log,
	}
	err := b.Check("churn", "bulk", "idle", "slow")
	if err == nil {
		err = b.run(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay benchmark:", err)
		os.Exit(1)
	}
}

// bench is one run of the command.
type bench struct {
	measure.Arguments
	sessions int
	bytes    int64
	relayLog string
}

// maxSessions returns how many sessions the limit of open files allows, if each uses the given
// number of files.
func maxSessions(files int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1000
	}
	return int(min(limit.Max, 1<<20)-1000) / files
}
