// What to copy: newDocuments: one Config for every document, and prepare, which
// replaces them all at once or none. What to change: the sections, to what your
// server has.

package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/publicurl"
)

const jmapSessionPath = "/jmap/session"

// discoveryConfig is what mailfront has, on a base.
func (cfg *config) discoveryConfig(base publicurl.Base) discovery.Config {
	c := discovery.Config{
		Base: base,
		OAuth: &discovery.OAuth{
			IntrospectionPath:                "/auth/introspect",
			RegistrationPath:                 "/auth/register",
			IssuerParameter:                  true,
			Scopes:                           signin.Scopes,
			ResponseModes:                    []string{"query", "fragment"},
			IntrospectionEndpointAuthMethods: []string{"Bearer"},
		},
		OpenID: &discovery.OpenID{UserinfoPath: "/auth/userinfo", Claims: signin.Claims},
		WebUI:  &discovery.WebUI{},
		JMAP: &discovery.JMAP{
			SessionPath:     jmapSessionPath,
			EventSourcePath: "/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}",
			Core:            jmapLimits,
		},
		DAV: &discovery.DAV{FilePath: discovery.None},
		// The resources that answer 401, in addition to the base and the JMAP session.
		Resources: []discovery.Resource{
			{Path: "/jmap/"}, {Path: calendarPath + "/"}, {Path: addressBookPath + "/"}, {Path: "/auth/userinfo"},
		},
		Mail: &discovery.Mail{
			Domains:  cfg.domains,
			ClientID: signin.BuiltInClient,
		},
	}
	if len(cfg.issuers) > 0 {
		c.OAuth, c.OpenID, c.AuthorizationServers = nil, nil, cfg.issuers
		c.Resources = append(c.Resources[:len(c.Resources)-1:len(c.Resources)-1], discovery.Resource{Scopes: []string{"openid", "email"}})
		c.Mail.ClientID = ""
	}
	hostname := cfg.hostnameOn(base)
	if _, err := netip.ParseAddr(hostname); err == nil || hostname == "" {
		return c // a mail client wants a name
	}
	c.Mail.Services = cfg.mailServices(hostname)
	if cfg.ports["smtp"] == standardPorts["smtp"] { // other servers know no other
		c.MTASTS = &discovery.MTASTS{MX: []string{hostname}}
	}
	return c
}

// hostnameOn is that of the mail services, which follows the base unless it is set.
func (cfg *config) hostnameOn(base publicurl.Base) string {
	if cfg.hostnameIsSet || base.IsRelative() {
		return cfg.hostname
	}
	return base.Hostname()
}

// mailServices are the listeners, as clients reach them.
func (cfg *config) mailServices(hostname string) []discovery.Service {
	var services []discovery.Service
	for _, s := range []struct {
		listener string
		protocol discovery.Protocol
		security discovery.Security
	}{
		{"imaps", discovery.IMAP, discovery.ImplicitTLS},
		{"imap", discovery.IMAP, discovery.StartTLS},
		{"pop3s", discovery.POP3, discovery.ImplicitTLS},
		{"pop3", discovery.POP3, discovery.StartTLS},
		{"submissions", discovery.Submission, discovery.ImplicitTLS},
		{"submission", discovery.Submission, discovery.StartTLS},
	} {
		if port := cfg.ports[s.listener]; port != 0 {
			services = append(services, discovery.Service{Protocol: s.protocol, Host: hostname, Port: port, Security: s.security})
		}
	}
	return services
}

// newDocuments returns the server of the documents, in front of next.
func (f *frontend) newDocuments(next http.Handler) (*discovery.Server, error) {
	set, err := discovery.Build(f.cfg.discoveryConfig(f.cfg.base))
	if err != nil {
		return nil, fmt.Errorf("mailfront: %w", err)
	}
	return discovery.NewServer(set, discovery.ServerConfig{
		Session: f.session,
		OnError: f.api.LogError,
		Next:    f.guard.LimitRequests(cleanPaths(next)), // documents cost less than counting
	}), nil
}

// prepare builds everything for another base. What it returns puts that in the place
// of what is served, documents and issuer at once. After an error nothing changes.
func (f *frontend) prepare(base publicurl.Base) (publish func(), err error) {
	set, err := discovery.Build(f.cfg.discoveryConfig(base))
	if err != nil {
		return nil, fmt.Errorf("mailfront: %w", err)
	}
	if f.cfg.certFile.Text != "" {
		return func() {
			f.documents.Swap(set)
			f.warnOfDefaultDomain()
		}, nil
	}
	cert, err := loadCertificate(f.cfg, base) // a self-signed one, for the new name
	if err != nil {
		return nil, err
	}
	return func() {
		f.certificate.Store(cert)
		f.documents.Swap(set)
		f.warnOfDefaultDomain()
	}, nil
}

// warnOfDefaultDomain is for a server that has a name of its own, but no mail domain.
func (f *frontend) warnOfDefaultDomain() {
	base := f.documents.Current().Base()
	if f.phase.Load() == starting || f.cfg.domainsAreSet || base.IsRelative() || isLocalName(base.Hostname()) {
		return
	}
	f.log.Warn("MAILFRONT_DOMAINS is not set: mail and its documents are served for "+defaultDomain+" only",
		"event", "default_domain", "public_url", base.String(), "setting", "MAILFRONT_DOMAINS")
}

// isLocalName reports whether a host is one to try things out with: this machine, or
// below defaultDomain.
func isLocalName(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	for _, local := range []string{"localhost", defaultDomain} {
		if host == local || strings.HasSuffix(host, "."+local) {
			return true
		}
	}
	return false
}

// cleanPaths refuses a path that ServeMux would redirect to its clean form: it knows
// nothing of the prefix that the path has lost.
func cleanPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, clean := r.URL.Path, path.Clean(r.URL.Path)
		if p != clean && (clean == "/" || p != clean+"/") {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
