// Copy the use of package settings: every error names the setting, the value and the correction.
// Change the settings.

package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"flag"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/msgauth"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/publicurl"
)

// program has the settings. NAME is the environment variable MAILFRONT_NAME and the flag
// -name, with hyphens. A flag overrides its variable. A blank value counts as unset.
var program = settings.Program{Name: "mailfront", Settings: slices.Concat(listenSettings(), healthSettings(), trustedSettings(), storeSettings(), []settings.Setting{
	{Name: "TLS_CERT", Usage: "certificate file, PEM, with its chain; read again on SIGHUP (default: a self-signed certificate, made at start)"},
	{Name: "TLS_KEY", Usage: "key file of TLS_CERT, PEM; read again on SIGHUP"},
	{Name: "TLS_TERMINATED", Usage: "names of listeners, separated by commas, whose proxy ends the TLS of every client and does not report it: imap,submission"},
	{Name: "TLS_REENCRYPTED", Usage: "names of listeners, separated by commas, whose proxy ends the TLS of its clients and opens its own to mailfront: imaps"},
	{Name: "HTTP_CLIENT", Default: "forwarded", Usage: "where the http listener gets the client from: forwarded (forwarding headers) or proxy (the PROXY protocol)"},
	{Name: "HTTPS_CLIENT", Default: "proxy", Usage: "where the https listener gets the client from: forwarded or proxy"},
	{Name: "FORWARDED_HEADER", Usage: "header in which trusted proxies send the client on listeners with forwarding headers: X-Forwarded-For, Forwarded, or a header with one address that every trusted proxy writes, such as CF-Connecting-IP or X-Real-IP (default X-Forwarded-For)"},
	{Name: "FORWARDED_HOPS", Usage: "number of entries that trusted proxies append to that header; the entry at this position from the right is the client; 2 for a load balancer that also appends its own address, as Google's does (default: the first address from the right that is not in TRUSTED_PROXIES is the client)"},
	{Name: "FORWARDED_PROTO", Default: "false", Usage: "true: X-Forwarded-Proto of a trusted proxy states whether the client uses TLS; every such proxy must set or delete it"},
	{Name: "PUBLIC_URL", Usage: "URL at which clients reach the web part, such as https://mail.example.com or, below a path, https://example.com/mail (default: https:// and HOSTNAME)"},
	{Name: "HOSTNAME", Usage: "host name of the server and of its mail services (default: the host of PUBLIC_URL)"},
	{Name: "MODE", Usage: "normal, bootstrap or recovery; in bootstrap and recovery the documents are relative and /admin shows the set-up (default: normal if PUBLIC_URL, HOSTNAME or STATE has a URL, otherwise bootstrap)"},
	{Name: "STATE", Usage: "file for the values that are set at /admin: the public URL (used if PUBLIC_URL is not set) and the hash of the administrator's password; with STORE it is a copy, so that the node can start while the store is not available; the file with the suffix .bans has the bans (not with STORE), and the file with the suffix .uidvalidity the last UIDVALIDITY of IMAP (default: the values are kept in memory and lost at the end)"},
	{Name: "PUBLIC_PORTS", Usage: "ports at which clients reach the mail services, if they are not the standard ones, separated by commas: imaps=1993,submissions=1465; pop3=- leaves a service out of the documents (default: the standard port of each listener that is not off)"},
	{Name: "CLIENTS", Usage: "applications that users may sign in to, separated by blanks: id=redirect_uri; an id may be repeated (default: mailfront-demo and applications that register themselves)"},
	{Name: "AUTHORIZATION_SERVERS", Usage: "issuers of identity providers, such as https://id.example.com/realms/mail, separated by commas; their tokens are accepted, and there is no sign-in page of mailfront's own (default: mailfront is the identity provider)"},
	{Name: "INTROSPECTION_ISSUER", Usage: "issuer, from AUTHORIZATION_SERVERS, to which tokens without a signature are sent for introspection; such tokens do not name their issuer (default: the only issuer; if there are several, such tokens are refused)"},
	{Name: "INTROSPECTION_CLIENT", Usage: "id:secret of the client for introspection; use the variable, others can see flags (default: the token itself)"},
	{Name: "TOKEN_AUDIENCE", Usage: "the audience (aud) of the tokens of AUTHORIZATION_SERVERS (default: the public URL)"},
	{Name: "DOMAINS", Usage: "mail domains, separated by commas (default " + defaultDomain + ")"},
	{Name: "DEMO_PASSWORD", Verbatim: true, Usage: "password and bearer token of the account demo@<first domain> (default: random, printed); use the variable, others can see flags"},
	{Name: "RELAY_LOOPBACK", Default: "false", Usage: "true: clients with the address 127.0.0.1 or ::1 of this machine may send mail to other domains without signing in; behind a proxy on this machine that is not in TRUSTED_PROXIES, every client has this address"},
	{Name: "LOG", Default: "info", Usage: "debug or info"},
})}

// A config holds the values of the settings. The keys of its maps are names of listeners.
type config struct {
	trusted          *trustedProxies
	listen           map[string][]address // addresses; empty if the listener is off
	health           []address
	drain            time.Duration    // see drainConnections
	proxy            map[string]bool  // whether the PROXY header supplies the client
	forwarded        forwarded.Config // for listeners without PROXY protocol; Trusted is not set
	tlsPath          map[string]proxyproto.TLSPath
	certFile         settings.Value
	keyFile          settings.Value
	publicURL        settings.Value
	base             publicurl.Base // at start, like mode
	present          string         // public URL to enter into the set-up form; may be ""
	mode             mode
	modeSetting      settings.Value
	hostname         string              // host name of the mail services; "" in bootstrap
	hostnameIsSet    bool                // otherwise the hostname is that of the base
	ports            map[string]uint16   // ports for clients; 0 if the service is not published
	clients          map[string][]string // redirect URIs by client id
	issuers          []string            // identity providers; if empty, mailfront is its own
	domains          []string
	domainsAreSet    bool // otherwise domains has the default
	password         string
	passwordIsRandom bool
	stateFile        stateFile
	state            state // at start
	store            store.Store
	redis            *store.Redis // the shared store; nil for a single node
	limits           guard.Limits
	logLevel         slog.Level
	relayLoopback    bool // see relay.go
	demo             bool

	introspectionID, introspectionSecret string
	introspectionIssuer, tokenAudience   string
}

func parseConfig(args []string, env func(string) (string, bool), help io.Writer) (*config, error) {
	cfg := config{limits: guard.DefaultLimits}
	p := program
	p.Flags = func(flags *flag.FlagSet) {
		flags.BoolVar(&cfg.demo, "demo", false, "show what mailfront does and exit; no other setting is allowed")
	}
	values, err := p.Read(args, env, help)
	if err != nil {
		return nil, err
	}
	if cfg.demo {
		if values.NFlag > 1 {
			return nil, errors.New("mailfront: -demo has settings of its own: remove the other flags")
		}
		return &cfg, nil
	}
	for _, read := range []func(*settings.Values) error{
		cfg.readListeners, cfg.readHealth, cfg.readClients, cfg.readTrusted, cfg.readForwarded, cfg.readTLS, cfg.readStore, cfg.readState, cfg.readPublic, cfg.readPorts,
		cfg.readApplications, cfg.readIssuers, cfg.readAccount, cfg.readRelay, cfg.readLog,
	} {
		if err := read(values); err != nil {
			return nil, err
		}
	}
	return &cfg, nil
}

func (cfg *config) readClients(values *settings.Values) error {
	cfg.proxy = make(map[string]bool)
	for _, name := range listenerNames {
		cfg.proxy[name] = true
	}
	for _, name := range []string{"http", "https"} {
		s := values.Get(strings.ToUpper(name) + "_CLIENT")
		if s.Text != "forwarded" && s.Text != "proxy" {
			return s.Errorf("use forwarded or proxy")
		}
		cfg.proxy[name] = s.Text == "proxy"
	}
	return nil
}

func (cfg *config) readTLS(values *settings.Values) error {
	cfg.certFile, cfg.keyFile = values.Get("TLS_CERT"), values.Get("TLS_KEY")
	switch {
	case cfg.certFile.Text != "" && cfg.keyFile.Text == "":
		return cfg.certFile.Errorf("%s is not set: set it to the key file of the certificate", cfg.keyFile.From)
	case cfg.certFile.Text == "" && cfg.keyFile.Text != "":
		return cfg.keyFile.Errorf("%s is not set: set it to the certificate file of the key", cfg.certFile.From)
	}
	cfg.tlsPath = make(map[string]proxyproto.TLSPath)
	terminated, reencrypted := values.Get("TLS_TERMINATED"), values.Get("TLS_REENCRYPTED")
	for _, path := range []struct {
		settings.Value
		tls proxyproto.TLSPath
	}{{terminated, proxyproto.TerminatedTLS}, {reencrypted, proxyproto.ReencryptedTLS}} {
		for _, item := range path.List() {
			name := item.Text
			if !slices.Contains(listenerNames, name) {
				return path.Errorf("%q is not a listener: use names from %s", name, strings.Join(listenerNames, ","))
			}
			if p := cfg.tlsPath[name]; p != proxyproto.PassthroughTLS && p != path.tls {
				return path.Errorf("%s is also in %s: remove it from one of them", name, terminated.From)
			}
			cfg.tlsPath[name] = path.tls
		}
	}
	return nil
}

// defaultDomain is a reserved domain (RFC 6761 section 6.2), which receives no mail.
const defaultDomain = "example.test"

func (cfg *config) readAccount(values *settings.Values) error {
	s := values.Get("DOMAINS")
	cfg.domainsAreSet = s.Text != ""
	if !cfg.domainsAreSet {
		s.Text = defaultDomain
	}
	for _, item := range s.List() {
		domain := strings.ToLower(item.Text)
		if !msgauth.IsDomain(domain) {
			return s.Errorf("%q is not a domain name: use letters, digits and hyphens between dots (xn--… for others)", domain)
		}
		cfg.domains = append(cfg.domains, domain)
	}
	cfg.password = values.Get("DEMO_PASSWORD").Text
	if cfg.password == "" {
		cfg.password, cfg.passwordIsRandom = rand.Text(), true
	}
	return nil
}

func (cfg *config) readLog(values *settings.Values) error {
	switch s := values.Get("LOG"); s.Text {
	case "info":
		cfg.logLevel = slog.LevelInfo
	case "debug":
		cfg.logLevel = slog.LevelDebug
	default:
		return s.Errorf("use debug or info")
	}
	return nil
}

// mailName returns the name of the SMTP server in its greeting.
func (cfg *config) mailName() string { return cmp.Or(cfg.hostname, cfg.domains[0]) }

// account returns the name of the only account.
func (cfg *config) account() string { return "demo@" + cfg.domains[0] }
