// Doctor requests the documents of a server behind a reverse proxy, as clients do, and
// reports what would make sign-in and mail clients fail. A finding has the URL that is
// wrong, the likely cause at the proxy or the server, and the lines that fix it in
// HAProxy, NGINX, Caddy and Traefik.
//
//	go run ./examples/doctor https://mail.example.com
//	go run ./examples/doctor -connect 127.0.0.1:8080 https://example.com/mail
//	go run ./examples/doctor -connect 10.0.0.1:8080,10.0.0.2:8080 https://mail.example.com
//	go run ./examples/doctor -foreign-hosts id.example.com https://mail.example.com
//	DOCTOR_TOKEN=$(cat token) go run ./examples/doctor -json https://mail.example.com
//
// The exit status is 0 without findings, 1 with findings through the proxy or past it, and
// 2 if doctor could not run or could not reach the public URL. A node that cannot be
// reached is a finding.
//
// The metadata of an authorization server on another host is requested only directly and at a
// public address. -foreign-hosts permits hosts at private addresses or behind a proxy. The
// report lists the servers that were not requested.
//
// What to copy: run, which handles the report and the error of verify.Run. The other files
// are:
//
//	config.go   the settings
//	connect.go  the HTTP clients, with -ca and -connect
//	foreign.go  the issuers on other hosts, with -foreign-hosts
//	compare.go  the differences between proxy and server
//	fix.go      the lines for the proxy's configuration
//	print.go    text and JSON
//
// What to change: fix.go, if you use another proxy.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/seed-94e48765/portico/discovery/verify"
)

// The exit statuses.
const (
	statusClean    = 0
	statusFindings = 1
	statusError    = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run runs the program and returns its exit status.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	cfg, err := parseConfig(args, env, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return statusClean
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return statusError
	}
	d := &diagnosis{URL: cfg.base.String(), domains: cfg.domains, nodes: len(cfg.nodes)}
	others := cfg.addresses()
	if d.Report, err = verifyAt(ctx, cfg, nil, others); err != nil {
		d.Error = explain(err, cfg)
	} else {
		others = nil // have been compared
	}
	// Check a node even if the proxy is down. The first node that answers is checked in full.
	for i := range cfg.nodes {
		n := &cfg.nodes[i]
		rest := slices.DeleteFunc(slices.Clone(others), func(a string) bool { return a == n.address })
		if d.Server, err = verifyAt(ctx, cfg, n, rest); err == nil {
			d.ServerAddress, d.ServerError = n.address, ""
			break
		}
		d.ServerError = n.address + ": " + explain(err, cfg)
	}
	if d.Report != nil && d.Server != nil {
		d.compare()
	}
	d.addFixes(cfg.base)
	write := d.writeText
	if cfg.json {
		write = d.writeJSON
	}
	if err := write(stdout); err != nil {
		fmt.Fprintln(stderr, "doctor:", err)
		return statusError
	}
	if d.Error != "" {
		fmt.Fprintf(stderr, "doctor: %s\n", d.Error)
	}
	if d.ServerError != "" {
		fmt.Fprintf(stderr, "doctor: -connect %s\n", d.ServerError)
	}
	switch {
	case d.Error != "":
		return statusError
	case d.ServerError != "", len(d.Report.Findings) > 0, d.Server != nil && len(d.Server.Findings) > 0, d.withheld() > 0:
		return statusFindings
	}
	return statusClean
}

// verifyAt checks the server through the proxy, or at a node if at is not nil, and compares
// its answers with those of other nodes.
func verifyAt(ctx context.Context, cfg *config, at *node, others []string) (*verify.Report, error) {
	client := newClient(cfg, at)
	defer client.CloseIdleConnections()
	fresh, foreign := 0, cfg.foreignHosts // default number of connections
	if at != nil {
		fresh = 1     // a single node needs no comparison
		foreign = nil // the client connects to the node for every host
	}
	report, err := verify.Run(ctx, cfg.base, verify.Config{
		Client:         client,
		Bearer:         cfg.token,
		MailDomains:    cfg.domains,
		Connect:        others,
		Fresh:          fresh,
		ForeignHosts:   foreign,
		Timeout:        cfg.timeout,
		RequestTimeout: min(cfg.timeout, cfg.requestTimeout),
	})
	if err == nil {
		nameFlags(report, at)
	}
	return report, err
}

// explain returns the text of an error. For an unknown certificate authority it adds the
// flag -ca. Errors about a name, the chain or the time have their own fix.
func explain(err error, cfg *config) string {
	var (
		certificate *tls.CertificateVerificationError
		unknown     x509.UnknownAuthorityError
	)
	if !errors.As(err, &certificate) || !errors.As(err, &unknown) || strings.Contains(err.Error(), "send the full chain") {
		return err.Error()
	}
	return err.Error() + "\nif you know the certificate or its authority, give its file with -ca; browsers and mail clients without the certificate refuse it"
}
