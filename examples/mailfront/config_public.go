// Copy readPublic, which makes one public base URL of two settings. Its errors are those of
// package publicurl and name the variable. Change the ports and the applications.

package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/publicurl"
)

// A mode selects the base of the documents. Every listener runs in every mode.
type mode string

const (
	modeNormal    mode = "normal"    // documents use the public base URL
	modeBootstrap mode = "bootstrap" // no public base URL is set yet; documents are relative
	modeRecovery  mode = "recovery"  // like bootstrap, to correct a wrong public base URL
)

func (cfg *config) readPublic(values *settings.Values) error {
	url, hostname, m := values.Get("PUBLIC_URL"), values.Get("HOSTNAME"), values.Get("MODE")
	cfg.publicURL, cfg.modeSetting, cfg.hostnameIsSet = url, m, hostname.Text != ""
	if url.Text == "" && cfg.state.PublicURL != "" {
		url.Text, url.From = cfg.state.PublicURL, "public_url in "+cfg.stateFile.path
	}
	base, err := publicurl.Relative("")
	if err != nil {
		return fmt.Errorf("mailfront: %w", err)
	}
	if url.Text != "" {
		if base, err = publicurl.Parse(url.Text); err != nil {
			return fmt.Errorf("mailfront: %s: %w", url.Source(), err) // the error quotes the value, without a password
		}
	}
	if hostname.Text != "" { // reject an invalid value even if it is not used
		host, err := publicurl.FromHostname(hostname.Text)
		if err != nil {
			return fmt.Errorf("mailfront: %s: %w", hostname.Source(), err)
		}
		cfg.hostname = host.Hostname()
		if url.Text == "" {
			base = host
		}
	} else {
		cfg.hostname = base.Hostname()
	}
	configured := url.Text != "" || hostname.Text != ""
	cfg.base, cfg.mode = base, mode(m.Text)
	switch cfg.mode {
	case "":
		cfg.mode = modeNormal
		if !configured {
			cfg.mode = modeBootstrap
		}
	case modeNormal:
		if !configured && cfg.redis == nil {
			return m.Errorf("there is no public base URL: set MAILFRONT_PUBLIC_URL or MAILFRONT_HOSTNAME, or MAILFRONT_STORE for the state of other nodes")
		}
	case modeBootstrap, modeRecovery:
	default:
		return m.Errorf("use normal, bootstrap or recovery")
	}
	if err := checkNoPage(base); err != nil {
		switch {
		case url == cfg.publicURL:
			return fmt.Errorf("mailfront: %s: %w", url.Source(), err)
		case cfg.mode == modeNormal: // an older version wrote the state
			return fmt.Errorf("mailfront: %s: %w, which can be set on the administration page after a start with MAILFRONT_MODE=recovery", url.Source(), err)
		}
	}
	if cfg.mode != modeNormal {
		// A proxy may mount mailfront on the path of the base in every mode.
		_, prefix := cutPage(base.Prefix())
		if configured {
			cfg.present = base.Origin() + prefix
		}
		if cfg.base, err = publicurl.Relative(prefix); err != nil {
			return m.Errorf("%w", err)
		}
	}
	return nil
}

// standardPorts are the ports of RFC 8314 section 3 and RFC 5321 section 4.5.4.2.
var standardPorts = map[string]uint16{
	"smtp": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995,
}

// readPorts reads the ports at which clients reach the mail services through a proxy.
func (cfg *config) readPorts(values *settings.Values) error {
	cfg.ports = maps.Clone(standardPorts)
	for name := range cfg.ports {
		if !cfg.isOpen(name) { // a proxy may forward a client port to another listener
			cfg.ports[name] = 0
		}
	}
	s := values.Get("PUBLIC_PORTS")
	for _, item := range s.List() {
		name, value, _ := strings.Cut(item.Text, "=")
		if _, ok := standardPorts[name]; !ok {
			return s.Errorf("%q is not a mail service: use names from %s", name, strings.Join(slices.Sorted(maps.Keys(standardPorts)), ","))
		}
		if value == "-" {
			value = "0"
		} else if value == "0" {
			value = "" // require "-" instead of 0
		}
		port, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return s.Errorf("%q: use a port from 1 to 65535, or -", item.Text)
		}
		cfg.ports[name] = uint16(port)
	}
	return nil
}

var clientIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// readApplications reads the applications that users may sign in to.
func (cfg *config) readApplications(values *settings.Values) error {
	cfg.clients = make(map[string][]string)
	s := values.Get("CLIENTS")
	for item := range strings.FieldsSeq(s.Text) {
		id, uri, _ := strings.Cut(item, "=")
		if !clientIDPattern.MatchString(id) {
			return s.Errorf("%q is not a client id: use id=redirect_uri, with letters, digits and . _ - in the id", id)
		}
		if id == signin.BuiltInClient {
			return s.Errorf("%q is built in, for redirect URIs on loopback: use another id", id)
		}
		if err := signin.CheckRedirectURI(uri); err != nil {
			return s.Errorf("%q: %w", item, err)
		}
		cfg.clients[id] = append(cfg.clients[id], uri)
	}
	return nil
}
