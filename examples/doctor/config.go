// What to copy: a secret comes from the environment, where other users of the machine
// do not see it. What to change: the settings.

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

// A config is what the flags say.
type config struct {
	base           publicurl.Base
	json           bool
	nodes          []node // past the proxy
	roots          *x509.CertPool
	token          string
	domains        []string
	timeout        time.Duration
	requestTimeout time.Duration
}

// A node is an address past the proxy.
type node struct {
	address string // host:port
	plain   bool   // no TLS there
}

// maxNodes is what verify compares.
const maxNodes = 16

const usage = `Usage: doctor [flags] URL
URL is the public base URL, as people type it: https://mail.example.com,
https://mail.example.com:8443 or, mounted on a path, https://example.com/mail.
The variable DOCTOR_TOKEN is a bearer token, if the JMAP session is to be checked too.
It exits with 0 if it finds nothing, 1 if it does, and 2 if it could not run.
`

func parseConfig(args []string, env func(string) (string, bool), help io.Writer) (*config, error) {
	cfg := &config{}
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var ca, connect, domains string
	var insecure bool
	flags.BoolVar(&cfg.json, "json", false, "print JSON")
	flags.StringVar(&connect, "connect", "", "`host:port` of the server itself, or of its nodes with commas between them (1 to 16): request the documents past the proxy too, and show where the answers differ; whether a node does TLS is found out, unless it is given as http://host:port")
	flags.StringVar(&ca, "ca", "", "`file` with certificates, PEM, to trust in addition to those of the system")
	flags.StringVar(&domains, "domains", "", "mail domains, separated by commas, whose documents are checked too")
	flags.DurationVar(&cfg.timeout, "timeout", time.Minute, "for everything together, once for the proxy and once for the server")
	flags.DurationVar(&cfg.requestTimeout, "request-timeout", 10*time.Second, "for each request")
	flags.BoolVar(&insecure, "insecure-http", false, "allow http for hosts that are not loopback, in a closed test network")
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
		return nil, errors.New("doctor: -timeout and -request-timeout are longer than 0")
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
	for domain := range strings.SplitSeq(domains, ",") {
		if domain = strings.TrimSpace(domain); domain != "" {
			cfg.domains = append(cfg.domains, domain)
		}
	}
	cfg.token, _ = env(tokenVariable)
	cfg.token = strings.TrimSpace(cfg.token)
	if strings.ContainsFunc(cfg.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("doctor: " + tokenVariable + " is not a bearer token: use printable ASCII without blanks")
	}
	return cfg, nil
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

// readRoots returns the system's certificates and those of a file; nil without one.
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
		return nil, fmt.Errorf("doctor: -ca: %q has no certificate in PEM: its lines begin with -----BEGIN CERTIFICATE-----", file)
	}
	return roots, nil
}
