// What to copy: the token is read from the environment, because other users of the machine
// can read arguments. What to change: the settings.

package main

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/publicurl"
)

const tokenVariable = "DOCTOR_TOKEN"

// A config has the values of the flags.
type config struct {
	base           publicurl.Base
	json           bool
	nodes          []node // past the proxy
	roots          *x509.CertPool
	token          string
	domains        []string
	foreignHosts   []string
	timeout        time.Duration
	requestTimeout time.Duration
}

// A node is an address past the proxy.
type node struct {
	address string // host:port
	plain   bool   // HTTP without TLS
}

// maxNodes is the limit of verify.Config.Connect.
const maxNodes = 16

const usage = `Usage: doctor [flags] URL
URL is the public base URL, as people type it: https://mail.example.com,
https://mail.example.com:8443 or, mounted on a path, https://example.com/mail.
Set the variable DOCTOR_TOKEN to a bearer token to check the JMAP session too.
The exit status is 0 without findings, 1 with findings, and 2 if doctor could not run.
`

func parseConfig(args []string, env func(string) (string, bool), help io.Writer) (*config, error) {
	cfg := &config{}
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var ca, connect, domains, foreign string
	var insecure bool
	flags.BoolVar(&cfg.json, "json", false, "print JSON")
	flags.StringVar(&connect, "connect", "", "`host:port` of the server, or of up to 16 nodes separated by commas. The documents are requested there too, without the proxy, and differences are shown. TLS is detected; http://host:port disables it")
	flags.StringVar(&ca, "ca", "", "PEM `file` of certificates to trust in addition to those of the system")
	flags.StringVar(&domains, "domains", "", "comma-separated mail `domains` whose documents are checked too")
	flags.StringVar(&foreign, "foreign-hosts", "", "comma-separated `hosts`, without or with a port, of authorization servers that may be requested at private addresses and through the proxy of HTTPS_PROXY; other hosts are requested only directly and at public addresses")
	flags.DurationVar(&cfg.timeout, "timeout", time.Minute, "limit of all requests through the proxy, and again of those to the server")
	flags.DurationVar(&cfg.requestTimeout, "request-timeout", 10*time.Second, "limit of each request")
	flags.BoolVar(&insecure, "insecure-http", false, "allow http URLs with hosts other than loopback, for closed test networks")
	var urls []string
	for { // flags may follow the URL
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fmt.Fprint(help, usage)
				flags.SetOutput(help)
				flags.PrintDefaults()
			}
			return nil, fmt.Errorf("doctor: %w", err)
		}
		if flags.NArg() == 0 {
			break
		}
		urls, args = append(urls, flags.Arg(0)), flags.Args()[1:]
	}
	if len(urls) != 1 {
		return nil, fmt.Errorf("doctor: give one URL, not %d: see -help", len(urls))
	}
	if cfg.timeout <= 0 || cfg.requestTimeout <= 0 {
		return nil, errors.New("doctor: -timeout and -request-timeout must be longer than 0")
	}
	var options []publicurl.Option
	if insecure {
		options = append(options, publicurl.AllowInsecureHTTP())
	}
	var err error
	if cfg.base, err = publicurl.Parse(urls[0], options...); err != nil {
		return nil, fmt.Errorf("doctor: %w", err)
	}
	if err := cfg.readNodes(connect); err != nil {
		return nil, err
	}
	if cfg.roots, err = readRoots(ca); err != nil {
		return nil, err
	}
	cfg.domains, cfg.foreignHosts = splitList(domains), splitList(foreign)
	if err := checkForeignHosts(cfg.foreignHosts); err != nil {
		return nil, err
	}
	cfg.token, _ = env(tokenVariable)
	cfg.token = strings.TrimSpace(cfg.token)
	if strings.ContainsFunc(cfg.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("doctor: " + tokenVariable + " is not a bearer token: use printable ASCII without blanks")
	}
	return cfg, nil
}

// splitList returns the members of a comma-separated list.
func splitList(s string) (all []string) {
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}

// readNodes reads the addresses of -connect.
func (cfg *config) readNodes(s string) error {
	if s == "" {
		return nil
	}
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		address, plain := strings.CutPrefix(item, "http://")
		address = strings.TrimPrefix(address, "https://")
		host, port, err := net.SplitHostPort(address)
		if n, numberErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || numberErr != nil || n == 0 {
			return fmt.Errorf("doctor: -connect has %q: use host:port, such as 127.0.0.1:8080, or http://host:port", item)
		}
		if slices.Contains(cfg.addresses(), address) {
			return fmt.Errorf("doctor: -connect has %q twice", address)
		}
		cfg.nodes = append(cfg.nodes, node{address, plain})
	}
	if len(cfg.nodes) > maxNodes {
		return fmt.Errorf("doctor: -connect has %d addresses: use at most %d", len(cfg.nodes), maxNodes)
	}
	return nil
}

func (cfg *config) addresses() (all []string) {
	for _, n := range cfg.nodes {
		all = append(all, n.address)
	}
	return all
}

// readRoots returns the system's certificates and those of a file. Without a file it
// returns nil.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("doctor: -ca: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("doctor: -ca: %q has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----", file)
	}
	return roots, nil
}
