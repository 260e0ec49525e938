// What to copy: nothing; run it. What to change: the rows, when you add a
// protocol or a path: what is expected of each stands here, and nowhere else.

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
	"strings"
	"text/tabwriter"
	"time"
)

const demoTimeout = 15 * time.Second

// The proxy of the demo is 127.0.0.1. Its clients are the first of these
// addresses that this machine lets us have: Linux has all of 127.0.0.0/8, others
// only 127.0.0.1 and ::1.
var demoClients = []string{"127.0.0.77", "::1"}

// A demo is mailfront, a proxy in front of it, and a client.
type demo struct {
	out    io.Writer
	ctx    context.Context
	client netip.Addr
	behind *frontend // what the proxy connects to
	direct *frontend // the same, unless the client can reach only ::1
	tls    *tls.Config
	log    *logBuffer
	checks int
	wrong  []string
}

// runDemo prints the story. The error says how much of it went wrong.
func runDemo(ctx context.Context, out io.Writer) error {
	return runDemoAs(ctx, out, demoClients)
}

func runDemoAs(ctx context.Context, out io.Writer, clients []string) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	d := &demo{out: out, ctx: ctx, log: newLogBuffer()}
	var err error
	if d.client, err = bindable(clients); err != nil {
		return err
	}
	if err := d.start(); err != nil {
		return err
	}
	d.introduce(clients[0])
	d.table(d.rows())
	d.forgeries()
	d.privileges()
	d.documents()
	d.ban()
	err = d.behind.shutdown(time.Second)
	if d.direct != d.behind {
		err = errors.Join(err, d.direct.shutdown(time.Second))
	}
	if err != nil {
		return err
	}
	if len(d.wrong) > 0 {
		d.say("\nNOT as it must be:")
		for _, w := range d.wrong {
			d.say("  %s", w)
		}
		d.say("\nThe log of mailfront:\n%s", d.log.String())
		return fmt.Errorf("mailfront: the demo went wrong: %d of %d checks failed", len(d.wrong), d.checks)
	}
	d.say("\nAll %d checks hold. It took %v.", d.checks, time.Since(began).Round(10*time.Millisecond))
	return nil
}

// bindable returns the first of the addresses that a client can have.
func bindable(addresses []string) (netip.Addr, error) {
	var errs []error
	for _, s := range addresses {
		l, err := net.Listen("tcp", net.JoinHostPort(s, "0"))
		if err == nil {
			l.Close()
			return netip.MustParseAddr(s), nil
		}
		errs = append(errs, err)
	}
	return netip.Addr{}, fmt.Errorf("mailfront: the demo needs a second loopback address, such as 127.0.0.77: %w", errors.Join(errs...))
}

// start starts mailfront with the settings of the demo.
func (d *demo) start() error {
	password := rand.Text()
	open := func(host string) (*frontend, error) {
		env := map[string]string{
			"MAILFRONT_TRUSTED_PROXIES": "127.0.0.1",
			"MAILFRONT_HTTP_CLIENT":     "proxy",
			"MAILFRONT_DEMO_PASSWORD":   password,
		}
		for _, name := range listenerNames {
			env["MAILFRONT_LISTEN_"+strings.ToUpper(name)] = net.JoinHostPort(host, "0")
		}
		cfg, err := parseConfig(nil, func(key string) (string, bool) { v, ok := env[key]; return v, ok }, io.Discard)
		if err != nil {
			return nil, err
		}
		return start(cfg, newLogger(d.log, slog.LevelDebug))
	}
	var err error
	if d.behind, err = open("127.0.0.1"); err != nil {
		return err
	}
	d.direct = d.behind
	if d.client.Is6() {
		if d.direct, err = open(d.client.String()); err != nil {
			return errors.Join(err, d.behind.shutdown(0))
		}
	}
	return d.trust()
}

// trust makes the client accept the certificates that mailfront has made itself.
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
	d.say("A mail server, a proxy in front of it, and a client. The client is %v; the proxy", d.client)
	d.say("connects from 127.0.0.1, and that is all that a server would see without the PROXY header,")
	d.say("which says who the client is and whether it came on TLS. The server believes the headers")
	d.say("of 127.0.0.1, and of nobody else. Each line is what the server told its client:")
	if d.client.String() != wanted {
		d.say("\n(This system does not let a client have %s, so it has %v.)", wanted, d.client)
	}
}

// A row is one way of a client to the server, and what must come of it.
type row struct {
	protocol string
	ask      func(*demo, visit) (sighting, error)
	path     string
	listener string
	through  func(*demo, string) (visit, func()) // how the path is built
	want     sighting
}

// rows lists every protocol on every path.
func (d *demo) rows() []row {
	var rows []row
	for _, p := range []struct {
		name string
		ask  func(*demo, visit) (sighting, error)
		key  string
	}{
		{"SMTP", (*demo).askSMTP, "smtp"},
		{"Submission", (*demo).askSMTP, "submission"},
		{"IMAP", (*demo).askIMAP, "imap"},
		{"POP3", (*demo).askPOP3, "pop3"},
	} {
		secure := func(passwords string) sighting { return sighting{Client: d.client, TLS: true, Passwords: passwords} }
		rows = append(rows,
			row{p.name, p.ask, "proxy passes bytes on, STARTTLS", p.key, throughPlain, secure(afterStartTLS)},
			row{p.name, p.ask, "proxy ends TLS, and says so", p.key, throughTLS, secure(atOnce)},
			row{p.name, p.ask, "proxy passes TLS on", p.key + "s", throughPlainToTLS, secure(atOnce)},
			row{p.name, p.ask, "direct, STARTTLS", p.key, directly, secure(afterStartTLS)},
		)
	}
	web := func(tls bool) sighting { return sighting{Client: d.client, TLS: tls, Passwords: "-"} }
	return append(rows,
		row{"HTTP", (*demo).askHTTP, "proxy passes bytes on", "http", throughPlain, web(false)},
		row{"HTTP", (*demo).askHTTP, "proxy ends TLS, and says so", "http", throughTLS, web(true)},
		row{"HTTP", (*demo).askHTTP, "direct", "http", directly, web(false)},
		row{"HTTPS", (*demo).askHTTP, "proxy passes TLS on", "https", throughPlainToTLS, web(true)},
		row{"HTTPS", (*demo).askHTTP, "direct", "https", directlyOnTLS, web(true)},
	)
}

func (d *demo) table(rows []row) {
	d.say("")
	t := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROTOCOL\tPATH\tCLIENT SEEN\tTLS SEEN\tPASSWORDS TAKEN")
	protocol := ""
	for _, r := range rows {
		v, end := r.through(d, r.listener)
		got, err := r.ask(d, v)
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

// check counts what must be so, and remembers what is not.
func (d *demo) check(ok bool, format string, args ...any) bool {
	d.checks++
	if !ok {
		d.wrong = append(d.wrong, fmt.Sprintf(format, args...))
	}
	return ok
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
