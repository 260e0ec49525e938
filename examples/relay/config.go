// What to copy: the way that an error names the setting it is about, and that a
// set which trusts everybody is refused at start. What to change: the settings.

package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// The settings: NAME is the environment variable RELAY_NAME, and the flag -name
// with hyphens. A flag wins over its variable. Blank is unset.
var settings = []struct{ name, byDefault, usage string }{
	{"LISTEN", "", "host:port that clients connect to, or several, separated by commas (default 127.0.0.1:0 for each backend)"},
	{"BACKEND", "", "host:port of the server, or several: the n-th is that of the n-th listener; all other settings are for all"},
	{"TRUSTED_PROXIES", "", "networks whose peers must send a PROXY header, separated by commas: 10.0.0.0/8, 192.0.2.1, loopback, private (default: nobody is trusted, every peer is the client)"},
	{"UNTRUSTED", "serve", "all other peers: serve, as the clients they are, or refuse"},
	{"SEND", "v2", "the header to the backend: v2, or v1 which cannot tell of TLS"},
	{"TLS_CERT", "", "certificate file, PEM, with its chain: the relay ends TLS (default: it passes bytes on)"},
	{"TLS_KEY", "", "key file, PEM"},
	{"TLS_TERMINATED", "false", "true: the trusted proxies end TLS for every client, and may not say so"},
	{"TLS_REENCRYPTED", "false", "true: the trusted proxies end TLS, and open their own to the relay, which ends that"},
	{"DIAL_TIMEOUT", "5s", "for the connection to the backend, and for TLS_CERT the client's handshake"},
	{"IDLE_TIMEOUT", "35m", "a session in which nothing moves for as long, or up to half as long again, is cut, and one that moves less than 1 MiB in it may be; IMAP clients are silent for up to 29 minutes"},
	{"MAX_SESSIONS", "1000", "more clients have to wait; each takes up to 6 file descriptors"},
	{"GRACE", "10s", "how long sessions may go on after SIGTERM"},
	{"LOG", "info", "warn, info, which has a line for each session that ended, or debug, which shows health checks"},
}

// A config is what the settings say.
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

// A route is a listener's address and its backend's.
type route struct{ listen, backend setting }

// A setting is a value and the variable or flag that it comes from.
type setting struct{ value, from string }

func (s setting) wrong(format string, args ...any) error {
	return fmt.Errorf("relay: %s is %q: %w", s.from, s.value, fmt.Errorf(format, args...))
}

// list returns the items of a list.
func (s setting) list() (items []setting) {
	if s.value == "" {
		return nil
	}
	for item := range strings.SplitSeq(s.value, ",") {
		items = append(items, setting{strings.TrimSpace(item), s.from})
	}
	return items
}

func parseConfig(args []string, env func(string) (string, bool), help io.Writer) (*config, error) {
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	given := make(map[string]*string)
	for _, s := range settings {
		usage := s.usage + " [RELAY_" + s.name + "]"
		if s.byDefault != "" {
			usage = s.usage + " (default " + s.byDefault + ") [RELAY_" + s.name + "]"
		}
		given[s.name] = flags.String(flagName(s.name), "", usage)
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(help, "Usage: relay [flags]; each can be set by the variable in brackets instead")
			flags.SetOutput(help)
			flags.PrintDefaults()
		}
		return nil, fmt.Errorf("relay: %w", err)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("relay: unexpected argument %q: see -help", flags.Arg(0))
	}
	values := make(map[string]setting)
	for _, s := range settings {
		v := setting{strings.TrimSpace(*given[s.name]), "-" + flagName(s.name)}
		if v.value == "" {
			v.from = "RELAY_" + s.name
			v.value, _ = env(v.from)
			v.value = strings.TrimSpace(v.value)
		}
		if v.value == "" {
			v.value = s.byDefault
		}
		values[s.name] = v
	}
	var cfg config
	for _, read := range []func(map[string]setting) error{
		cfg.readRoutes, cfg.readTrusted, cfg.readTLS, cfg.readLimits, cfg.readWords,
	} {
		if err := read(values); err != nil {
			return nil, err
		}
	}
	return &cfg, nil
}

func flagName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

func (cfg *config) readRoutes(values map[string]setting) error {
	listen, backend := values["LISTEN"].list(), values["BACKEND"].list()
	if len(backend) == 0 {
		return fmt.Errorf("relay: %s is not set: say host:port of the server to pass clients on to", values["BACKEND"].from)
	}
	if len(listen) == 0 {
		for range backend {
			listen = append(listen, setting{"127.0.0.1:0", values["LISTEN"].from})
		}
	}
	if len(listen) != len(backend) {
		return values["LISTEN"].wrong("%s is %q: each listener needs its backend, and each backend a listener",
			values["BACKEND"].from, values["BACKEND"].value)
	}
	for i, l := range listen {
		b := backend[i]
		if _, _, err := net.SplitHostPort(l.value); err != nil {
			return l.wrong("use host:port, such as 127.0.0.1:2525 or [::1]:0: %w", err)
		}
		if host, port, err := net.SplitHostPort(b.value); err != nil || host == "" || port == "" || port == "0" {
			return b.wrong("use host:port, such as 127.0.0.1:10025 or [::1]:10025")
		}
		cfg.routes = append(cfg.routes, route{l, b})
	}
	return nil
}

func (cfg *config) readTrusted(values map[string]setting) error {
	s := values["TRUSTED_PROXIES"]
	if s.value == "" {
		return nil
	}
	set, err := trustnet.Parse(s.value)
	if err != nil {
		return s.wrong("%w", err)
	}
	// proxyproto would trust nobody then, and count it. Better to say so at once.
	if set.TrustsAll() {
		return s.wrong("it covers all of IPv4 or all of IPv6, so that whoever connects could name any client: list the proxies only")
	}
	cfg.trusted = set
	return nil
}

func (cfg *config) readTLS(values map[string]setting) error {
	certFile, keyFile := values["TLS_CERT"], values["TLS_KEY"]
	switch {
	case certFile.value != "" && keyFile.value == "":
		return certFile.wrong("%s is not set: a certificate needs its key", keyFile.from)
	case certFile.value == "" && keyFile.value != "":
		return keyFile.wrong("%s is not set: a key needs its certificate", certFile.from)
	case certFile.value != "":
		cert, err := tls.LoadX509KeyPair(certFile.value, keyFile.value)
		if err != nil {
			return certFile.wrong("cannot be used with %s %q: %w", keyFile.from, keyFile.value, err)
		}
		cfg.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	}
	terminated, reencrypted := values["TLS_TERMINATED"], values["TLS_REENCRYPTED"]
	for _, s := range []setting{terminated, reencrypted} {
		if s.value != "true" && s.value != "false" {
			return s.wrong("use true or false")
		}
	}
	switch {
	case terminated.value == "true" && cfg.tls != nil:
		return terminated.wrong("%s is set: if the proxies end TLS, and the relay ends TLS of theirs, that is %s=true", certFile.from, reencrypted.from)
	case terminated.value == "true" && reencrypted.value == "true":
		return terminated.wrong("%s is true, too: a proxy does one or the other", reencrypted.from)
	case reencrypted.value == "true" && cfg.tls == nil:
		return reencrypted.wrong("%s is not set: who ends the TLS of the proxies?", certFile.from)
	case terminated.value == "true":
		cfg.tlsPath = proxyproto.TerminatedTLS
	case reencrypted.value == "true":
		cfg.tlsPath = proxyproto.ReencryptedTLS
	}
	return nil
}

func (cfg *config) readLimits(values map[string]setting) error {
	for name, d := range map[string]struct {
		to    *time.Duration
		least time.Duration
	}{
		"DIAL_TIMEOUT": {&cfg.dialTimeout, time.Millisecond},
		"IDLE_TIMEOUT": {&cfg.idleTimeout, time.Second},
		"GRACE":        {&cfg.grace, 0},
	} {
		var err error
		if *d.to, err = time.ParseDuration(values[name].value); err != nil || *d.to < d.least {
			return values[name].wrong("use a duration of %v or more, such as 90s or 35m", d.least)
		}
	}
	var err error
	if cfg.maxSessions, err = strconv.Atoi(values["MAX_SESSIONS"].value); err != nil || cfg.maxSessions < 1 {
		return values["MAX_SESSIONS"].wrong("use a number from 1 on")
	}
	return nil
}

// readWords reads the settings that are one of a few words.
func (cfg *config) readWords(values map[string]setting) error {
	for name, words := range map[string]map[string]func(){
		"SEND":      {"v2": func() { cfg.version = 2 }, "v1": func() { cfg.version = 1 }},
		"UNTRUSTED": {"serve": func() { cfg.untrusted = proxyproto.ServeDirect }, "refuse": func() { cfg.untrusted = proxyproto.Refuse }},
		"LOG": {
			"warn": func() { cfg.logLevel = slog.LevelWarn }, "info": func() { cfg.logLevel = slog.LevelInfo },
			"debug": func() { cfg.logLevel = slog.LevelDebug },
		},
	} {
		s := values[name]
		set, ok := words[s.value]
		if !ok {
			return s.wrong("use %s", strings.Join(slices.Sorted(maps.Keys(words)), " or "))
		}
		set()
	}
	return nil
}
