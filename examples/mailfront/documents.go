// Copy newDocuments, which has one Config for all documents, and prepare, which replaces all
// documents at once or none. Change the sections to those of your server.

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

// discoveryConfig returns the services of mailfront on a base.
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
		return c // mail clients require a host name
	}
	c.Mail.Services = cfg.mailServices(hostname)
	if cfg.ports["smtp"] == standardPorts["smtp"] { // other servers use this port only
		c.MTASTS = &discovery.MTASTS{MX: []string{hostname}}
	}
	return c
}

// hostnameOn returns the host name of the mail services. The default is the host of the base.
func (cfg *config) hostnameOn(base publicurl.Base) string {
	if cfg.hostnameIsSet || base.IsRelative() {
		return cfg.hostname
	}
	return base.Hostname()
}

// mailServices returns the mail services with the ports at which clients reach them.
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

// newDocuments returns the server of the documents. Other requests go to next.
func (f *frontend) newDocuments(next http.Handler) (*discovery.Server, error) {
	set, err := discovery.Build(f.cfg.discoveryConfig(f.cfg.base))
	if err != nil {
		return nil, fmt.Errorf("mailfront: %w", err)
	}
	return discovery.NewServer(set, discovery.ServerConfig{
		Session: f.session,
		OnError: f.api.LogError,
		Next:    f.guard.LimitRequests(cleanPaths(next)), // documents are not limited: serving one costs less than a check of the limit
	}), nil
}

// prepare builds all documents, the issuer and the certificate for another base. The function that
// it returns replaces the present ones at once. After an error nothing has changed.
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
	cert, err := loadCertificate(f.cfg, base) // a self-signed certificate has the new name
	if err != nil {
		return nil, err
	}
	return func() {
		f.certificate.Store(cert)
		f.documents.Swap(set)
		f.warnOfDefaultDomain()
	}, nil
}

// warnOfDefaultDomain logs that the server has a public name, but no mail domain of its own.
func (f *frontend) warnOfDefaultDomain() {
	base := f.documents.Current().Base()
	if f.phase.Load() == starting || f.cfg.domainsAreSet || base.IsRelative() || isLocalName(base.Hostname()) {
		return
	}
	f.log.Warn("MAILFRONT_DOMAINS is not set: mail and its documents are served for "+defaultDomain+" only",
		"event", "default_domain", "public_url", base.String(), "setting", "MAILFRONT_DOMAINS")
}

// isLocalName reports whether a host is for trials only: this machine, or a name below
// defaultDomain.
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

// cleanPaths rejects a path that ServeMux would redirect to its clean form, because the location
// would lack the prefix that was stripped from the path.
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
