// Doctor asks a server behind a reverse proxy for its documents, from outside, and
// says what would make sign-in and mail clients fail: which URL is wrong, what the
// proxy or the server most likely does, and the lines that fix it in HAProxy, NGINX,
// Caddy and Traefik.
//
//	go run ./examples/doctor https://mail.example.com
//	go run ./examples/doctor -connect 127.0.0.1:8080 https://example.com/mail
//	go run ./examples/doctor -connect 10.0.0.1:8080,10.0.0.2:8080 https://mail.example.com
//	DOCTOR_TOKEN=… go run ./examples/doctor -json https://mail.example.com
//
// It exits with 0 if it finds nothing, 1 if it does, through the proxy or past it, and 2 if
// it could not run or could not reach the public URL. A node that cannot be reached is a
// finding.
//
// What to copy: run, for what to do with the report and the error of verify.Run. The rest
// has a file each:
//
//	config.go   the settings
//	connect.go  the HTTP clients: a certificate of your own, and the way past the proxy
//	compare.go  where proxy and server differ
//	fix.go      what to write into the proxy's configuration
//	print.go    text and JSON
//
// What to change: fix.go, if your proxy is another one.
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

// run is the whole program, and returns its exit status.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	cfg, err := parseConfig(args, env, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return statusClean
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return statusError
	}
	d := &diagnosis{URL: cfg.base.String(), domains: cfg.domains}
	others := cfg.addresses()
	if d.Report, err = ask(ctx, cfg, nil, others); err != nil {
		d.Error = explain(err, cfg)
	} else {
		others = nil // they have been compared
	}
	// Also where the proxy is down. The first node that answers is checked as a whole.
	for i := range cfg.nodes {
		n := &cfg.nodes[i]
		rest := slices.DeleteFunc(slices.Clone(others), func(a string) bool { return a == n.address })
		if d.Server, err = ask(ctx, cfg, n, rest); err == nil {
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

// ask checks the server through the proxy, or at a node, and compares the answers of others
// with it.
func ask(ctx context.Context, cfg *config, at *node, others []string) (*verify.Report, error) {
	client := newClient(cfg, at)
	defer client.CloseIdleConnections()
	fresh := 0 // the default
	if at != nil {
		fresh = 1 // one node agrees with itself
	}
	return verify.Run(ctx, cfg.base, verify.Config{
		Client:         client,
		Bearer:         cfg.token,
		MailDomains:    cfg.domains,
		Connect:        others,
		Fresh:          fresh,
		Timeout:        cfg.timeout,
		RequestTimeout: min(cfg.timeout, cfg.requestTimeout),
	})
}

// explain adds to an error about a certificate what the doctor's flags can do about it. The
// error has its cause: a name, the chain or the time.
func explain(err error, cfg *config) string {
	var (
		certificate *tls.CertificateVerificationError
		unknown     x509.UnknownAuthorityError
	)
	if !errors.As(err, &certificate) || !errors.As(err, &unknown) || strings.Contains(err.Error(), "send the full chain") {
		return err.Error()
	}
	return err.Error() + "\nif you know the certificate, or its authority, name its file with -ca; browsers and mail clients that do not have it refuse it"
}
