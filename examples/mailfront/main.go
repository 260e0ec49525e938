// Mailfront is a small mail server that stands behind a reverse proxy and knows
// its clients: SMTP, submission, IMAP, POP3 and HTTP, each plain and on TLS, on
// listeners that speak the PROXY protocol. It keeps all mail in memory and never
// sends any: it is there to be read, run and copied from.
//
//	go run ./examples/mailfront -demo    shows what it does, and ends
//	go run ./examples/mailfront          serves on free loopback ports, and prints them
//	go run ./examples/mailfront -help    lists the settings, all of them environment variables, too
//
// What to copy: run, for the order of a graceful end. The packages in internal are made to
// be copied, too, and their package comments list what to copy with them:
//
//	client  client address and TLS, read once and kept
//	gate    what happens to a connection before a server sees it
//	guard   limits and bans by the client's address, and what a wrong password costs
//	msgauth SPF, DKIM, DMARC and the trace fields of a message
//	pop3d   a small POP3 server
//	webauth passwords and bearer tokens over HTTP
//	signin  the OpenID provider
//	store   what several nodes share
//
// Among the rest, a file each:
//
//	listeners.go  wrapping a socket with proxyproto, and closing it in order
//	certificate.go  the server's certificate
//	smtp.go imap.go pop3.go web.go    the servers; relay.go is who may send mail elsewhere
//	documents.go  what clients find the server by, from one public base URL
//	jmap.go dav.go    what is behind the sign-in
//	setup.go      the first set-up, and a new public URL while serving
//	admin.go      the page of the administrator; admin_*.go and debug.go are its parts
//	reload.go     what SIGHUP does
//
// What to change: everything that says demo, mailbox.go and imap_account.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// shutdownGrace is how long sessions may go on after SIGTERM.
const shutdownGrace = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	for _, name := range program.UnknownVariables(os.Environ()) {
		fmt.Fprintf(os.Stderr, "mailfront: %s is no setting, and changes nothing: see -help\n", name)
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
			f.reload()
		case <-ctx.Done():
			return f.shutdown(shutdownGrace)
		case err := <-f.broken:
			return errors.Join(err, f.shutdown(shutdownGrace))
		}
	}
}
