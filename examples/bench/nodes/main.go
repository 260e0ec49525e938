//go:build unix

// Nodes measures three mailfront nodes that share a store, as one command:
//
//	go run ./examples/bench/nodes                    about three minutes
//	go run ./examples/bench/nodes sign-in limits     only some
//
// Each node is a process, and the store is a redis-server on a unix socket. The command acts as
// the load balancer. It chooses a node for each step and sends the client's address in a PROXY
// header for mail and in X-Forwarded-For for HTTP.
//
//	sign-in   100 sign-ins whose steps go to different nodes, and 100 more while one node
//	          after the other restarts
//	limits    wrong passwords of one client at all nodes at once, and requests of another
//	          beyond the rate limit
//	traffic   round trips to the store for each mail connection
//	rate      SMTP sessions per second with the shared store and with memory, in turns
//	buckets   memory of 10,000 clients in the store, and the keys that are left after them
//
// The exit status is 1 if redis-server is missing or a measurement failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/seed-94e48765/portico/examples/internal/nodes"
)

func main() {
	signIns := flag.Int("sign-ins", 100, "sign-ins in each measurement")
	rounds := flag.Int("rounds", 9, "rounds of the rate measurement")
	clients := flag.Int("clients", 10000, "clients in the buckets")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	b := &bench{signIns: *signIns, rounds: *rounds, clients: *clients, only: flag.Args()}
	err := b.run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nodes benchmark:", err)
		os.Exit(1)
	}
}

// bench is one run of the command.
type bench struct {
	signIns, rounds, clients int
	only                     []string // measurements; empty for all
	binary                   string   // of mailfront
}

// A row is a line of the table.
type row struct{ what, want, got string }

var measurements = []struct {
	name    string
	measure func(*bench, context.Context) ([]row, error)
}{
	{"sign-in", (*bench).signIn},
	{"limits", (*bench).limits},
	{"traffic", (*bench).traffic},
	{"rate", (*bench).rate},
	{"buckets", (*bench).buckets},
}

func (b *bench) run(ctx context.Context, w io.Writer) error {
	for _, name := range b.only {
		if !slices.ContainsFunc(measurements, func(m struct {
			name    string
			measure func(*bench, context.Context) ([]row, error)
		}) bool {
			return m.name == name
		}) {
			return fmt.Errorf("%q is not a measurement: see go doc ./examples/bench/nodes", name)
		}
	}
	store, err := nodes.StartRedis()
	if err != nil {
		return err
	}
	version, err := store.Client.InfoMap(ctx, "server").Result()
	store.Close()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nodes-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.binary = filepath.Join(dir, "mailfront")
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "github.com/seed-94e48765/portico/examples/mailfront")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	fmt.Fprintf(w, "3 nodes, Redis %s on a unix socket, %d processors, %s\n", version["Server"]["redis_version"], runtime.NumCPU(), runtime.Version())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\twant\tgot")
	var failed []error
	for _, m := range measurements {
		if len(b.only) > 0 && !slices.Contains(b.only, m.name) {
			continue
		}
		rows, err := m.measure(b, ctx)
		for _, r := range rows {
			fmt.Fprintf(t, "%s\t%s\t%s\n", r.what, r.want, r.got)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	return errors.Join(append(failed, t.Flush())...)
}

// cluster is a store and the nodes that share it.
type cluster struct {
	store *nodes.Redis
	all   [3]*node
}

// start starts a store and three nodes.
func (b *bench) start(ctx context.Context) (*cluster, error) {
	store, err := nodes.StartRedis()
	if err != nil {
		return nil, err
	}
	c := &cluster{store: store}
	for i := range c.all {
		if c.all[i], err = b.startNode(ctx, store.URL()); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *cluster) close() {
	for _, n := range c.all {
		if n != nil {
			n.kill()
		}
	}
	c.store.Close()
}

// secret is the MAILFRONT_SECRET of the nodes.
var secret = strings.Repeat("0123456789abcdef", 2)
