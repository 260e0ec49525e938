// Relay is a TCP proxy that passes on the client's address and TLS. It gets both from the PROXY
// header of a proxy in front of it, or from the connection of a direct client, and sends them to
// the backend in a PROXY header. It can also end TLS.
//
//	RELAY_LISTEN=127.0.0.1:20025 RELAY_BACKEND=127.0.0.1:10025 \
//	RELAY_TRUSTED_PROXIES=127.0.0.1 go run ./examples/relay
//	go run ./examples/relay -help    lists the settings, which are also environment variables
//
// The backend must trust the address that the relay connects from, and no other address:
//
//	mailfront  MAILFRONT_LISTEN_SMTP=127.0.0.1:10025 MAILFRONT_TRUSTED_PROXIES=127.0.0.1,
//	           and MAILFRONT_HTTP_CLIENT=proxy if the relay leads to its HTTP listener
//	Postfix    smtpd_upstream_proxy_protocol = haproxy, for an smtpd on a separate port
//	           in master.cf, to which only the relay can connect
//	Dovecot    haproxy_trusted_networks = 127.0.0.1, and inet_listener { haproxy = yes }
//
// A client at a trusted address must send a header. To try the relay, let curl send one, or
// connect from an address that is not trusted. Both commands print the backend's reply, 250:
//
//	curl --haproxy-protocol smtp://127.0.0.1:20025 -X NOOP
//	curl --interface 127.0.0.5 smtp://127.0.0.1:20025 -X NOOP
//
// Health checks of a proxy in front send LOCAL. They are passed on as LOCAL and get the
// greeting of the backend, so they fail if the backend is down. A check that connects
// and sends nothing checks the relay only. Configure the proxy to wait for a greeting
// (../proxies/haproxy/health-checks.cfg).
//
// What to copy: run, for the order of a graceful shutdown. The other files are:
//
//	listener.go  listeners, the limit of sessions, and shutdown
//	session.go   one client: TLS, the backend, and the log line
//	cause.go     why a client gets no session, and why a session ended
//	header.go    the PROXY header for the backend
//	pass.go      bytes both ways, and half-close
//	watch.go     idle timeouts, for all sessions with one timer
//	gc.go        how often garbage is collected
//
// What to change: the choice of the backend. Here each listener has one backend.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	for _, warning := range program.Warnings(os.Environ()) {
		fmt.Fprintln(os.Stderr, warning)
	}
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run runs the program. It returns when ctx is done or a listener fails.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, env, stderr)
	if err != nil {
		return err
	}
	r, err := start(cfg, newLogger(stderr, cfg.logLevel))
	if err != nil {
		return err
	}
	if _, set := env("GOGC"); !set {
		go r.tuneGC()
	}
	if err := r.describe(stdout); err != nil {
		return errors.Join(err, r.shutdown(cfg.grace))
	}
	select {
	case <-ctx.Done():
		return r.shutdown(cfg.grace)
	case err := <-r.broken:
		return errors.Join(err, r.shutdown(cfg.grace))
	}
}
