// What to copy: the way that an error names the setting it is about, and that
// a set which trusts everybody is refused at start. What to change: the settings.

package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/publicurl"
	"github.com/seed-94e48765/portico/trustnet"
)

// The settings: NAME is the environment variable MAILFRONT_NAME, and the flag
// -name with hyphens. A flag wins over its variable. Blank is unset.
var settings = append(listenSettings(), []namedSetting{
	{"TRUSTED_PROXIES", "networks whose peers speak for clients, by a PROXY header (which they then must send) or forwarding headers, separated by commas: 10.0.0.0/8, 192.0.2.1, loopback, private (default: nobody is trusted)"},
	{"TRUSTED_PROXIES_FILE", "the same in a file, one item a line, # comments; read again on SIGHUP"},
	{"TLS_CERT", "certificate file, PEM, with its chain; read again on SIGHUP (default: a self-signed one, made at start)"},
	{"TLS_KEY", "key file, PEM"},
	{"TLS_TERMINATED", "names of listeners whose proxy ends TLS without saying so, separated by commas"},
	{"TLS_REENCRYPTED", "names of listeners whose proxy ends TLS and opens its own to mailfront, separated by commas"},
	{"HTTP_CLIENT", "how the http listener learns the client: forwarded or proxy (default forwarded)"},
	{"HTTPS_CLIENT", "how the https listener learns the client: forwarded or proxy (default proxy)"},
	{"FORWARDED_HEADER", "the header of trusted proxies on listeners with forwarding headers: X-Forwarded-For, Forwarded, or the name of a header with one address, such as CF-Connecting-IP, which every trusted proxy must set (default X-Forwarded-For)"},
	{"FORWARDED_HOPS", "the number of entries that trusted proxies append to that header; the entry at this position from the right is the client; 2 for a load balancer that appends its own address, as Google's does (default: the first address from the right that is not a trusted proxy's is the client)"},
	{"FORWARDED_PROTO", "true: the client's TLS is what X-Forwarded-Proto of a trusted proxy says; only where every such proxy sets or deletes it (default false)"},
	{"PUBLIC_URL", "the URL that clients know the web part of the server by, such as https://mail.example.com or, mounted on a path, https://example.com/mail (default: https:// and HOSTNAME)"},
	{"HOSTNAME", "the host name of the server, which is also that of its mail services (default: that of PUBLIC_URL)"},
	{"MODE", "normal, bootstrap or recovery; in the latter two documents are relative, and /admin asks for the set-up (default: normal if PUBLIC_URL, HOSTNAME or STATE gives a base, else bootstrap)"},
	{"STATE", "file that keeps what /admin is told: the public URL, used where PUBLIC_URL is not set, and the hash of the administrator's password; beside it, in the file with .uidvalidity after the name, the last UIDVALIDITY of IMAP (default: memory, until the end)"},
	{"PUBLIC_PORTS", "ports that clients reach the mail services by, where they differ from the standard ones, separated by commas: imaps=1993,submissions=1465; - for one that clients are not told of: pop3=-"},
	{"CLIENTS", "applications that may sign the user in, beside mailfront-demo and those that register themselves, separated by blanks: id=redirect_uri; several for one id are possible"},
	{"AUTHORIZATION_SERVERS", "issuers of identity providers, such as https://id.example.com/realms/mail, separated by commas; the web part accepts their tokens, and has no sign-in of its own (default: mailfront is the identity provider)"},
	{"INTROSPECTION_CLIENT", "id:secret of the client that asks them about tokens without a signature; use the variable, others can see flags (default: the token itself)"},
	{"TOKEN_AUDIENCE", "what a token of theirs must be for, its aud (default: the public URL)"},
	{"DOMAINS", "mail domains, separated by commas (default " + defaultDomain + ")"},
	{"DEMO_PASSWORD", "password and bearer token of the account demo@<first domain> (default: random, printed); use the variable, others can see flags"},
	{"LOG", "debug or info (default info)"},
}...)

// trustedProxies is the variable that log lines name.
const trustedProxies = "MAILFRONT_TRUSTED_PROXIES"

// unknownVariables are those of an environment that look like settings and are none: a
// misspelt one leaves a default in force.
func unknownVariables(environment []string) (names []string) {
	for _, v := range environment {
		name, _, _ := strings.Cut(v, "=")
		setting, ok := strings.CutPrefix(name, "MAILFRONT_")
		if ok && !slices.ContainsFunc(settings, func(s namedSetting) bool { return s.name == setting }) {
			names = append(names, name)
		}
	}
	return names
}

type namedSetting struct{ name, usage string }

func listenSettings() []namedSetting {
	var s []namedSetting
	for _, name := range listenerNames {
		s = append(s, namedSetting{"LISTEN_" + strings.ToUpper(name), "host:port of the " + name + " listener, or unix:/path of a socket (default 127.0.0.1:0)"})
	}
	return s
}

// A config is what the settings say. Its maps have a listener's name as key.
type config struct {
	trusted          *trustnet.Live
	trustedFile      setting
	listen           map[string]setting
	proxy            map[string]bool  // the client comes from a PROXY header
	forwarded        forwarded.Config // where it does not; without Trusted
	tlsPath          map[string]proxyproto.TLSPath
	certFile         setting
	keyFile          setting
	publicURL        setting
	base             publicurl.Base // at start, as mode
	mode             mode
	modeSetting      setting
	hostname         string              // of the mail services; "" in bootstrap
	hostnameIsSet    bool                // else it is the base's
	ports            map[string]uint16   // that clients know; 0 is kept from them
	clients          map[string][]string // redirect URIs by client id
	issuers          []string            // of identity providers; none: mailfront is its own
	domains          []string
	domainsAreSet    bool // else they are the default
	password         string
	passwordIsRandom bool
	stateFile        stateFile
	state            state // at start
	logLevel         slog.Level
	demo             bool

	introspectionID, introspectionSecret string
	tokenAudience                        string
}

// A setting is a value and the variable or flag that it comes from.
type setting struct{ value, from string }

// name is what s is called in a sentence.
func (s setting) name() string {
	switch {
	case strings.HasPrefix(s.from, "-"):
		return "the flag " + s.from
	case strings.HasPrefix(s.from, "MAILFRONT_"):
		return "the variable " + s.from
	}
	return s.from
}

// wrong is the error for s. It quotes the value: not for passwords.
func (s setting) wrong(format string, args ...any) error {
	return fmt.Errorf("mailfront: %s is %q: %w", s.from, s.value, fmt.Errorf(format, args...))
}

func parseConfig(args []string, env func(string) (string, bool), help io.Writer) (*config, error) {
	var cfg config
	flags := flag.NewFlagSet("mailfront", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&cfg.demo, "demo", false, "show what mailfront does, and end; takes no other setting")
	fromFlags := make(map[string]*string)
	for _, s := range settings {
		fromFlags[s.name] = flags.String(flagName(s.name), "", s.usage+" [MAILFRONT_"+s.name+"]")
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(help, "Usage: mailfront [flags]; each can be set by the variable in brackets instead")
			flags.SetOutput(help)
			flags.PrintDefaults()
		}
		return nil, fmt.Errorf("mailfront: %w", err)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("mailfront: unexpected argument %q: see -help", flags.Arg(0))
	}
	if cfg.demo {
		if flags.NFlag() > 1 {
			return nil, errors.New("mailfront: -demo takes no other flag: its table holds for its own settings only")
		}
		return &cfg, nil
	}
	get := func(name string) setting {
		s := setting{*fromFlags[name], "-" + flagName(name)}
		if strings.TrimSpace(s.value) == "" {
			s.from = "MAILFRONT_" + name
			s.value, _ = env(s.from)
		}
		if trimmed := strings.TrimSpace(s.value); trimmed == "" || name != "DEMO_PASSWORD" {
			s.value = trimmed
		}
		return s
	}
	for _, read := range []func(func(string) setting) error{
		cfg.readTrusted, cfg.readListeners, cfg.readClients, cfg.readForwarded, cfg.readTLS, cfg.readState, cfg.readPublic, cfg.readPorts,
		cfg.readApplications, cfg.readIssuers, cfg.readAccount, cfg.readLog,
	} {
		if err := read(get); err != nil {
			return nil, err
		}
	}
	return &cfg, nil
}

func flagName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

func (cfg *config) readTrusted(get func(string) setting) error {
	list, file := get("TRUSTED_PROXIES"), get("TRUSTED_PROXIES_FILE")
	cfg.trusted = new(trustnet.Live)
	switch {
	case list.value != "" && file.value != "":
		return fmt.Errorf("mailfront: %s and %s are both set: use one of them", list.from, file.from)
	case list.value != "":
		set, err := trustnet.Parse(list.value)
		if err == nil {
			err = checkTrusted(set)
		}
		if err != nil {
			return list.wrong("%w", err)
		}
		cfg.trusted.Store(set)
	case file.value != "":
		set, err := readTrustedFile(file)
		if err != nil {
			return err
		}
		cfg.trusted.Store(set)
		cfg.trustedFile = file
	}
	return nil
}

func (cfg *config) readListeners(get func(string) setting) error {
	cfg.listen = make(map[string]setting)
	for _, name := range listenerNames {
		s := get("LISTEN_" + strings.ToUpper(name))
		if s.value == "" {
			s.value = "127.0.0.1:0"
		}
		network, address := listenAddress(s.value)
		if network == "unix" && !filepath.IsAbs(address) {
			return s.wrong("the path of the socket is not absolute: use unix:/run/mailfront/%s.sock", name)
		}
		if _, _, err := net.SplitHostPort(address); network == "tcp" && err != nil {
			return s.wrong("use host:port, such as 127.0.0.1:2525 or [::1]:0, or unix:/path: %w", err)
		}
		cfg.listen[name] = s
	}
	return nil
}

// listenAddress returns the arguments of net.Listen for a value of LISTEN_….
func listenAddress(value string) (network, address string) {
	if path, ok := strings.CutPrefix(value, "unix:"); ok {
		return "unix", path
	}
	return "tcp", value
}

func (cfg *config) readClients(get func(string) setting) error {
	cfg.proxy = make(map[string]bool)
	for _, name := range listenerNames {
		cfg.proxy[name] = true
	}
	for name, byDefault := range map[string]string{"http": "forwarded", "https": "proxy"} {
		s := get(strings.ToUpper(name) + "_CLIENT")
		if s.value == "" {
			s.value = byDefault
		}
		if s.value != "forwarded" && s.value != "proxy" {
			return s.wrong("use forwarded or proxy")
		}
		cfg.proxy[name] = s.value == "proxy"
	}
	return nil
}

func (cfg *config) readTLS(get func(string) setting) error {
	cfg.certFile, cfg.keyFile = get("TLS_CERT"), get("TLS_KEY")
	switch {
	case cfg.certFile.value != "" && cfg.keyFile.value == "":
		return cfg.certFile.wrong("%s is not set: a certificate needs its key", cfg.keyFile.from)
	case cfg.certFile.value == "" && cfg.keyFile.value != "":
		return cfg.keyFile.wrong("%s is not set: a key needs its certificate", cfg.certFile.from)
	}
	cfg.tlsPath = make(map[string]proxyproto.TLSPath)
	terminated, reencrypted := get("TLS_TERMINATED"), get("TLS_REENCRYPTED")
	for _, path := range []struct {
		setting
		tls proxyproto.TLSPath
	}{{terminated, proxyproto.TerminatedTLS}, {reencrypted, proxyproto.ReencryptedTLS}} {
		if path.value == "" {
			continue
		}
		for name := range strings.SplitSeq(path.value, ",") {
			name = strings.TrimSpace(name)
			if !slices.Contains(listenerNames, name) {
				return path.wrong("%q is no listener: use names from %s", name, strings.Join(listenerNames, ","))
			}
			if p := cfg.tlsPath[name]; p != proxyproto.PassthroughTLS && p != path.tls {
				return path.wrong("%s stands in %s, too: a proxy does one or the other", name, terminated.from)
			}
			cfg.tlsPath[name] = path.tls
		}
	}
	return nil
}

// defaultDomain is reserved (RFC 6761 section 6.2): no mail arrives for it.
const defaultDomain = "example.test"

var domainPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

func (cfg *config) readAccount(get func(string) setting) error {
	s := get("DOMAINS")
	cfg.domainsAreSet = s.value != ""
	if !cfg.domainsAreSet {
		s.value = defaultDomain
	}
	for domain := range strings.SplitSeq(strings.ToLower(s.value), ",") {
		domain = strings.TrimSpace(domain)
		if !domainPattern.MatchString(domain) || len(domain) > 253 {
			return s.wrong("%q is no domain name: use letters, digits and hyphens between dots (xn--… for others)", domain)
		}
		cfg.domains = append(cfg.domains, domain)
	}
	cfg.password = get("DEMO_PASSWORD").value
	if cfg.password == "" {
		cfg.password, cfg.passwordIsRandom = rand.Text(), true
	}
	return nil
}

func (cfg *config) readLog(get func(string) setting) error {
	switch s := get("LOG"); s.value {
	case "", "info":
		cfg.logLevel = slog.LevelInfo
	case "debug":
		cfg.logLevel = slog.LevelDebug
	default:
		return s.wrong("use debug or info")
	}
	return nil
}

// mailName is what the SMTP server calls itself.
func (cfg *config) mailName() string { return cmp.Or(cfg.hostname, cfg.domains[0]) }

// account is the name of the one account.
func (cfg *config) account() string { return "demo@" + cfg.domains[0] }
