package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

const demoTimeout = 15 * time.Second

// demoClient is the address of the client in the demo. The proxy connects from 127.0.0.1. Linux
// has all of 127.0.0.0/8. If 127.0.0.1 is the only address, as on macOS, the client has it, and
// the proxy connects through unix sockets.
const demoClient = "127.0.0.77"

// demoSockets is the pattern of the temporary directory with the sockets.
const demoSockets = "mailfront-demo-*"

// A demo has mailfront, a proxy in front of it, and a client.
type demo struct {
	out     io.Writer
	ctx     context.Context
	client  netip.Addr
	behind  *frontend // the server behind the proxy
	direct  *frontend // the server for direct clients; behind, unless the proxy uses unix sockets
	sockets string    // the directory of the unix sockets, or ""
	tls     *tls.Config
	log     *logBuffer
	checks  int
	wrong   []string
}

// runDemo runs the demo and prints its results. The error reports how many checks failed.
func runDemo(ctx context.Context, out io.Writer) error {
	return runDemoAs(ctx, out, demoClient)
}

func runDemoAs(ctx context.Context, out io.Writer, client string) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	d := &demo{out: out, ctx: ctx, log: newLogBuffer()}
	if err := d.start(client); err != nil {
		return err
	}
	defer os.RemoveAll(d.sockets)
	d.introduce(client)
	d.table(d.rows())
	d.forgeries()
	d.privileges()
	d.documents()
	d.ban()
	err := d.behind.shutdown(time.Second)
	if d.direct != d.behind {
		err = errors.Join(err, d.direct.shutdown(time.Second))
	}
	if err != nil {
		return err
	}
	if len(d.wrong) > 0 {
		d.printf("\nFailed checks:")
		for _, w := range d.wrong {
			d.printf("  %s", w)
		}
		d.printf("\nThe log of mailfront:\n%s", d.log.String())
		return fmt.Errorf("mailfront: the demo: %d of %d checks failed", len(d.wrong), d.checks)
	}
	d.printf("\nAll %d checks passed in %v.", d.checks, time.Since(began).Round(10*time.Millisecond))
	return nil
}

// bindable reports whether a client on this machine can have the address.
func bindable(address string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// start starts mailfront with the settings of the demo. The client gets the given address if possible.
func (d *demo) start(client string) error {
	password := rand.Text()
	open := func(trusted string, listen func(name string) string) (*frontend, error) {
		env := map[string]string{
			"MAILFRONT_TRUSTED_PROXIES": trusted,
			"MAILFRONT_HTTP_CLIENT":     "proxy",
			"MAILFRONT_RELAY_LOOPBACK":  "true", // for relayAsHealthCheck
			"MAILFRONT_DEMO_PASSWORD":   password,
		}
		for _, name := range listenerNames {
			env["MAILFRONT_LISTEN_"+strings.ToUpper(name)] = listen(name)
		}
		cfg, err := parseConfig(nil, func(key string) (string, bool) { v, ok := env[key]; return v, ok }, io.Discard)
		if err != nil {
			return nil, err
		}
		return start(cfg, newLogger(d.log, slog.LevelDebug))
	}
	onTCP := func(string) string { return "127.0.0.1:0" }
	var err error
	if bindable(client) {
		d.client = netip.MustParseAddr(client)
		if d.behind, err = open("127.0.0.1", onTCP); err != nil {
			return err
		}
		d.direct = d.behind
		return d.trust()
	}
	d.client = netip.MustParseAddr("127.0.0.1")
	if d.sockets, err = os.MkdirTemp("", demoSockets); err != nil {
		return err
	}
	if d.behind, err = open("unix", func(name string) string { return "unix:" + filepath.Join(d.sockets, name) }); err != nil {
		return errors.Join(err, os.RemoveAll(d.sockets))
	}
	if d.direct, err = open("unix", onTCP); err != nil {
		return errors.Join(err, d.behind.shutdown(0), os.RemoveAll(d.sockets))
	}
	return d.trust()
}

// proxy returns the address from which the proxy connects, as text.
func (d *demo) proxy() string {
	if d.sockets != "" {
		return "a unix socket"
	}
	return "127.0.0.1"
}

// trust makes the client accept the self-signed certificates of mailfront.
func (d *demo) trust() error {
	d.tls = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: d.behind.cfg.domains[0]}
	for _, f := range d.frontends() {
		cert, err := f.tls.GetCertificate(nil)
		if err != nil {
			return err
		}
		d.tls.RootCAs.AddCert(cert.Leaf)
	}
	return nil
}

func (d *demo) introduce(wanted string) {
	d.printf("A mail server, a proxy in front of it, and a client. The client is %v; the proxy", d.client)
	d.printf("connects from %s. Without the PROXY header a server would see only that address.", d.proxy())
	d.printf("The header has the client's address and TLS. The server accepts headers")
	d.printf("from %s only. Each line is the server's answer to its client:", d.proxy())
	if d.sockets != "" {
		d.printf("\n(No client can have the address %s on this system. The client has %v instead,", wanted, d.client)
		d.printf("and the proxy connects to the server through unix sockets.)")
	}
}

// A row is a path from the client to the server, with the expected result.
type row struct {
	protocol string
	query    func(*demo, visit) (sighting, error)
	path     string
	listener string
	through  func(*demo, string) (visit, func()) // builds the path
	want     sighting
}

// rows returns every protocol on every path.
func (d *demo) rows() []row {
	var rows []row
	for _, p := range []struct {
		name  string
		query func(*demo, visit) (sighting, error)
		key   string
	}{
		{"SMTP", (*demo).querySMTP, "smtp"},
		{"Submission", (*demo).querySMTP, "submission"},
		{"IMAP", (*demo).queryIMAP, "imap"},
		{"POP3", (*demo).queryPOP3, "pop3"},
	} {
		secure := func(passwords string) sighting { return sighting{Client: d.client, TLS: true, Passwords: passwords} }
		rows = append(rows,
			row{protocol: p.name, query: p.query, path: "proxy passes bytes on, STARTTLS", listener: p.key, through: throughPlain, want: secure(afterStartTLS)},
			row{protocol: p.name, query: p.query, path: "proxy ends TLS and reports it", listener: p.key, through: throughTLS, want: secure(atOnce)},
			row{protocol: p.name, query: p.query, path: "proxy passes TLS on", listener: p.key + "s", through: throughPlainToTLS, want: secure(atOnce)},
			row{protocol: p.name, query: p.query, path: "direct, STARTTLS", listener: p.key, through: directly, want: secure(afterStartTLS)},
		)
	}
	web := func(tls bool) sighting { return sighting{Client: d.client, TLS: tls, Passwords: "-"} }
	return append(rows,
		row{protocol: "HTTP", query: (*demo).queryHTTP, path: "proxy passes bytes on", listener: "http", through: throughPlain, want: web(false)},
		row{protocol: "HTTP", query: (*demo).queryHTTP, path: "proxy ends TLS and reports it", listener: "http", through: throughTLS, want: web(true)},
		row{protocol: "HTTP", query: (*demo).queryHTTP, path: "direct", listener: "http", through: directly, want: web(false)},
		row{protocol: "HTTPS", query: (*demo).queryHTTP, path: "proxy passes TLS on", listener: "https", through: throughPlainToTLS, want: web(true)},
		row{protocol: "HTTPS", query: (*demo).queryHTTP, path: "direct", listener: "https", through: directlyOnTLS, want: web(true)},
	)
}

func (d *demo) table(rows []row) {
	d.printf("")
	t := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROTOCOL\tPATH\tCLIENT SEEN\tTLS SEEN\tPASSWORDS ACCEPTED")
	protocol := ""
	for _, r := range rows {
		v, end := r.through(d, r.listener)
		got, err := r.query(d, v)
		end()
		d.check(err == nil && got == r.want, "%s, %s: got %v (error %v), want %v", r.protocol, r.path, got, err, r.want)
		name := r.protocol
		if name == protocol {
			name = ""
		}
		protocol = r.protocol
		if err != nil {
			fmt.Fprintf(t, "%s\t%s\tfailed: %v\n", name, r.path, err)
			continue
		}
		mark := ""
		if got != r.want {
			mark = "  <- WRONG"
		}
		fmt.Fprintf(t, "%s\t%s\t%v\t%s\t%s%s\n", name, r.path, got.Client, yesNo(got.TLS), got.Passwords, mark)
	}
	t.Flush()
}

// check counts a check and records its failure.
func (d *demo) check(ok bool, format string, args ...any) bool {
	d.checks++
	if !ok {
		d.wrong = append(d.wrong, fmt.Sprintf(format, args...))
	}
	return ok
}

func (d *demo) printf(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
