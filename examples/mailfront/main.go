// Mailfront is a sample mail server behind a reverse proxy: SMTP, submission, IMAP, POP3 and
// HTTP, each with and without TLS, on listeners that accept the PROXY protocol. It keeps all
// mail in memory and never sends any. It is made to be read, run and copied from.
//
//	go run ./examples/mailfront -demo    shows what it does, and ends
//	go run ./examples/mailfront          serves on free loopback ports, and prints them
//	go run ./examples/mailfront -help    lists the settings, which are environment variables, too
//
// Each package in internal can be copied together with the packages that its package comment
// lists:
//
//	client   the client's address and TLS
//	gate     what happens to a connection before a server sees it
//	guard    limits and bans by the client's address, and passwords
//	msgauth  SPF, DKIM, DMARC and the trace fields of a message
//	mailauth passwords and tokens of the mail protocols
//	pop3d    a small POP3 server
//	webauth  passwords and bearer tokens over HTTP
//	signin   the OpenID provider
//	store    what several nodes share
//	webpage  the layout of the HTML pages, and errors as pages
//
// This package connects them. run shows the order of a graceful end. The files are
//
//	listeners.go socket.go           from a socket to a server, and the end of both
//	health.go metrics.go             health checks, the drain, and counters
//	trusted.go                       the trusted proxies, and the names among them
//	certificate.go reload.go         the certificate, and what SIGHUP reads again
//	smtp*.go imap.go pop3.go web.go  the servers; relay.go decides who may send mail elsewhere
//	login.go dsn.go                  passwords and tokens for mail; reports of deliveries
//	documents.go                     the documents of package discovery
//	jmap*.go dav*.go                 JMAP and DAV, which need a sign-in
//	setup.go state.go                the set-up, and a new public URL while serving
//	shared_state.go follow.go        the same on several nodes, and store_watch.go for a store
//	                                 that is away
//	admin*.go debug.go               the administrator's page
//	bans.go                          the bans in the store or in a file
//	config*.go                       the settings
//	demo*.go                         the demo
//	log.go logbuffer.go              the log
//	mailbox.go imap_account.go       the mail in memory, where your store goes; uidvalidity.go
//	                                 keeps its UIDVALIDITY
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// shutdownGrace is how long sessions may go on after SIGTERM.
const shutdownGrace = 10 * time.Second

// ballast lets the heap grow by 16 MiB between two collections of garbage, however few clients
// there are. It is not resident, because nothing is written to it.
const ballast = 16 << 20

func main() {
	defer runtime.KeepAlive(make([]byte, ballast))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	for _, warning := range program.Warnings(os.Environ()) {
		fmt.Fprintln(os.Stderr, warning)
	}
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr, hangup)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is the whole program. It returns when ctx ends or a listener breaks. With each
// signal from reload it reads files again.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer, reload <-chan os.Signal) error {
	cfg, err := parseConfig(args, env, stderr)
	if err != nil {
		return err
	}
	if cfg.demo {
		return runDemo(ctx, stdout)
	}
	f, err := start(cfg, newLogger(stderr, cfg.logLevel))
	if err != nil {
		return err
	}
	if err := f.describe(stdout); err != nil {
		return errors.Join(err, f.shutdown(shutdownGrace))
	}
	for {
		select {
		case <-reload:
			f.reload(ctx)
		case <-ctx.Done():
			return errors.Join(f.drainConnections(), f.shutdown(shutdownGrace))
		case err := <-f.broken:
			return errors.Join(err, f.shutdown(shutdownGrace))
		}
	}
}
