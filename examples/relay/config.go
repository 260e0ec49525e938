// What to copy: errors that have the setting, the value and the fix, with package settings.
// What to change: the settings.

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// The settings. NAME is the environment variable RELAY_NAME and the flag -name, with hyphens.
// The flag takes precedence. A blank value is unset.
var program = settings.Program{Name: "relay", Settings: []settings.Setting{
	{Name: "LISTEN", Usage: "host:port that clients connect to, or several, separated by commas (default 127.0.0.1:0 for each backend)"},
	{Name: "BACKEND", Usage: "host:port of the server, or several, separated by commas: one for each address in LISTEN, in the same order; the other settings apply to all"},
	{Name: "TRUSTED_PROXIES", Usage: "networks of the proxies, which must send a PROXY header, separated by commas: 10.0.0.0/8, 192.0.2.1, loopback, private (default: no peer is trusted, and every peer is the client)"},
	{Name: "UNTRUSTED", Default: "serve", Usage: "what to do with other peers: serve them as direct clients, or refuse them"},
	{Name: "SEND", Default: "v2", Usage: "version of the header to the backend: v2, or v1, which does not state the TLS of the client"},
	{Name: "TLS_CERT", Usage: "certificate file, PEM, with its chain: the relay ends TLS (default: it passes bytes on)"},
	{Name: "TLS_KEY", Usage: "key file, PEM"},
	{Name: "TLS_TERMINATED", Default: "false", Usage: "true: the trusted proxies end TLS for every client and do not report it"},
	{Name: "TLS_REENCRYPTED", Default: "false", Usage: "true: the trusted proxies end TLS and open their own to the relay, which ends it with TLS_CERT"},
	{Name: "DIAL_TIMEOUT", Default: "5s", Usage: "limit for the connection to the backend and, with TLS_CERT, for the handshake of the client"},
	{Name: "IDLE_TIMEOUT", Default: "35m", Usage: "a session without data for this long is cut, after at most an eighth longer, and so is one whose client or backend does not take 1 MiB of a bulk transfer in this time; IMAP clients are silent for up to 29 minutes"},
	{Name: "MAX_SESSIONS", Default: "1000", Usage: "sessions at the same time, each with up to 6 file descriptors; more clients wait"},
	{Name: "GRACE", Default: "10s", Usage: "how long sessions may continue after SIGTERM"},
	{Name: "LOG", Default: "info", Usage: "warn, info (a line for each session that has ended) or debug (also health checks)"},
}}

// A config has the values of the settings.
type config struct {
	routes      []route
	trusted     trustnet.Source
	untrusted   proxyproto.Policy
	version     int // of the header to the backend
	tls         *tls.Config
	tlsPath     proxyproto.TLSPath
	dialTimeout time.Duration
	idleTimeout time.Duration
	maxSessions int
	grace       time.Duration
	logLevel    slog.Level
}

// A route is the address of a listener and that of its backend.
type route struct{ listen, backend settings.Value }

func parseConfig(args []string, env func(string) (string, bool), help io.Writer) (*config, error) {
	values, err := program.Read(args, env, help)
	if err != nil {
		return nil, err
	}
	var cfg config
	for _, read := range []func(*settings.Values) error{
		cfg.readRoutes, cfg.readTrusted, cfg.readTLS, cfg.readLimits, cfg.readWords,
	} {
		if err := read(values); err != nil {
			return nil, err
		}
	}
	return &cfg, nil
}

func (cfg *config) readRoutes(values *settings.Values) error {
	listen, backend := values.Get("LISTEN").List(), values.Get("BACKEND").List()
	if len(backend) == 0 {
		return fmt.Errorf("relay: %s is not set: use host:port of the server", values.Get("BACKEND").From)
	}
	if len(listen) == 0 {
		for range backend {
			l := values.Get("LISTEN")
			l.Text = "127.0.0.1:0"
			listen = append(listen, l)
		}
	}
	if len(listen) != len(backend) {
		return values.Get("LISTEN").Errorf("%s is %q: give both the same number of addresses, one backend for each listener",
			values.Get("BACKEND").From, values.Get("BACKEND").Text)
	}
	for i, l := range listen {
		b := backend[i]
		if _, _, err := net.SplitHostPort(l.Text); err != nil {
			return l.Errorf("use host:port, such as 127.0.0.1:2525 or [::1]:0: %w", err)
		}
		if host, port, err := net.SplitHostPort(b.Text); err != nil || host == "" || port == "" || port == "0" {
			return b.Errorf("use host:port, such as 127.0.0.1:10025 or [::1]:10025")
		}
		cfg.routes = append(cfg.routes, route{l, b})
	}
	return nil
}

func (cfg *config) readTrusted(values *settings.Values) error {
	s := values.Get("TRUSTED_PROXIES")
	if s.Text == "" {
		return nil
	}
	set, err := trustnet.Parse(s.Text)
	if err != nil {
		return s.Errorf("%w", err)
	}
	// proxyproto would trust no peer and only count this. Report the error at the start.
	if set.TrustsAll() {
		return s.Errorf("it covers all of IPv4 or all of IPv6, or half of one, so that a client could claim any address; list the proxies only")
	}
	cfg.trusted = set
	return nil
}

func (cfg *config) readTLS(values *settings.Values) error {
	certFile, keyFile := values.Get("TLS_CERT"), values.Get("TLS_KEY")
	switch {
	case certFile.Text != "" && keyFile.Text == "":
		return certFile.Errorf("%s is not set: set it to the key file of the certificate", keyFile.From)
	case certFile.Text == "" && keyFile.Text != "":
		return keyFile.Errorf("%s is not set: set it to the certificate file of the key", certFile.From)
	case certFile.Text != "":
		cert, err := tls.LoadX509KeyPair(certFile.Text, keyFile.Text)
		if err != nil {
			return certFile.Errorf("use the PEM files of a certificate and its key; it cannot be used with %s %q: %w", keyFile.From, keyFile.Text, err)
		}
		cfg.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	}
	terminated, reencrypted := values.Get("TLS_TERMINATED"), values.Get("TLS_REENCRYPTED")
	isTerminated, err := terminated.Bool()
	if err != nil {
		return err
	}
	isReencrypted, err := reencrypted.Bool()
	if err != nil {
		return err
	}
	switch {
	case isTerminated && cfg.tls != nil:
		return terminated.Errorf("%s is set, so the relay ends TLS that the proxies open: use %s=true instead", certFile.From, reencrypted.From)
	case isTerminated && isReencrypted:
		return terminated.Errorf("%s is also true: set only one of them", reencrypted.From)
	case isReencrypted && cfg.tls == nil:
		return reencrypted.Errorf("%s is not set: set it to the certificate with which the relay ends the TLS of the proxies, or unset this", certFile.From)
	case isTerminated:
		cfg.tlsPath = proxyproto.TerminatedTLS
	case isReencrypted:
		cfg.tlsPath = proxyproto.ReencryptedTLS
	}
	return nil
}

func (cfg *config) readLimits(values *settings.Values) error {
	for name, d := range map[string]struct {
		to    *time.Duration
		least time.Duration
	}{
		"DIAL_TIMEOUT": {&cfg.dialTimeout, time.Millisecond},
		"IDLE_TIMEOUT": {&cfg.idleTimeout, time.Second},
		"GRACE":        {&cfg.grace, 0},
	} {
		var err error
		if *d.to, err = time.ParseDuration(values.Get(name).Text); err != nil || *d.to < d.least {
			return values.Get(name).Errorf("use a duration of %v or more, such as 90s or 35m", d.least)
		}
	}
	var err error
	if cfg.maxSessions, err = strconv.Atoi(values.Get("MAX_SESSIONS").Text); err != nil || cfg.maxSessions < 1 {
		return values.Get("MAX_SESSIONS").Errorf("use a number from 1 on")
	}
	return nil
}

// readWords reads the settings that have a fixed set of values.
func (cfg *config) readWords(values *settings.Values) error {
	for name, words := range map[string]map[string]func(){
		"SEND":      {"v2": func() { cfg.version = 2 }, "v1": func() { cfg.version = 1 }},
		"UNTRUSTED": {"serve": func() { cfg.untrusted = proxyproto.ServeDirect }, "refuse": func() { cfg.untrusted = proxyproto.Refuse }},
		"LOG": {
			"warn": func() { cfg.logLevel = slog.LevelWarn }, "info": func() { cfg.logLevel = slog.LevelInfo },
			"debug": func() { cfg.logLevel = slog.LevelDebug },
		},
	} {
		s := values.Get(name)
		set, ok := words[s.Text]
		if !ok {
			return s.Errorf("use %s", strings.Join(slices.Sorted(maps.Keys(words)), " or "))
		}
		set()
	}
	return nil
}
