package verify

import (
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

// Config configures [Run]. The zero value checks what every client sees without signing in.
type Config struct {
	// Client makes the requests. Its Transport and Timeout are used, its Jar and
	// CheckRedirect are not, and the Client is not changed. The default has the usual
	// proxy settings and certificates. To check a server before its name is in the DNS,
	// set a Transport whose DialContext connects to the server's address.
	Client *http.Client

	// Bearer is a bearer token (RFC 6750) with which the JMAP session and the userinfo
	// endpoint are checked. It is sent only to URLs below the base and to
	// /.well-known/jmap at the origin of the base, and not along a redirect. If the server repeats the token, the report has "[token]" in its place. A
	// token that the server repeats in another spelling, such as percent-encoded or base64,
	// is not recognised, nor is one of fewer than 8 characters.
	Bearer string

	// Expected lists documents that the server has, so that each one that is missing is
	// a finding: OAuthDocument, OpenIDDocument, BaseResource, JMAPDocument, DAVDocument,
	// WebUIDocument, and with MailDomains UserAgentDocument, MTASTSDocument and
	// [discovery.AutoconfigDocument] of a domain. A document that is not listed is
	// missing only if another document refers to it, or if it is found elsewhere.
	Expected []discovery.Document

	// MailDomains are mail domains whose documents are checked too, at the hosts
	// autoconfig.<domain>, ua-auto-config.<domain> and mta-sts.<domain>.
	MailDomains []string

	// Connect lists at most 16 addresses, host:port, of nodes past the proxy. Each replaces
	// the hosts of the base and of the mail domains: it is requested for every document and key
	// set under the public name, with TLS or without. A node that answers differently, or
	// cannot be reached, is a finding.
	Connect []string

	// Fresh is the number of connections over which each document and key set is requested
	// again, so that nodes that disagree are seen; default 4, at most 64. With 1 and without
	// Connect nothing is compared. A Transport that is not an *http.Transport decides itself
	// how many connections it makes.
	Fresh int

	// ForeignHosts are hosts, without or with a port, from which the metadata of an issuer
	// may be requested at any address. The checked server chooses these issuers
	// (authorization_servers, RFC 9728 section 2). Other hosts are requested only at
	// public addresses, and only if the Client is nil, or its Transport is nil or an
	// *http.Transport without dial functions and without a proxy for the URL. With a
	// Transport of another type no foreign host is requested. Report.Checked lists the
	// issuers that were not requested (Skipped), and the reason. The requests are GET with
	// https, without redirects, cookies, client certificates and Bearer, and the report has
	// no text of the answers.
	ForeignHosts []string

	Timeout        time.Duration // of all requests together; default 1 minute
	RequestTimeout time.Duration // of each request, with its body; default 10 s
	MaxBytes       int64         // of the body of each answer, decompressed; default 1 MiB
}

const (
	defaultTimeout        = time.Minute
	defaultRequestTimeout = 10 * time.Second
	defaultMaxBytes       = 1 << 20
	defaultFresh          = 4
)

// A settings is a Config with its defaults and with values derived from it.
type settings struct {
	Config
	expected map[discovery.Document]bool
}

func newSettings(c Config) settings {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = defaultRequestTimeout
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultMaxBytes
	}
	c.MaxBytes = min(c.MaxBytes, math.MaxInt64-1) // one more is read, to see that there is more
	if c.Fresh == 0 {
		c.Fresh = defaultFresh
	}
	s := settings{Config: c, expected: make(map[discovery.Document]bool)}
	for _, d := range c.Expected {
		s.expected[d] = true
	}
	return s
}

// check reports an invalid Config.
func (s *settings) check() error {
	for _, d := range slices.Sorted(maps.Keys(s.expected)) {
		switch {
		case slices.Contains(expectable, d):
		case d == discovery.UserAgentDocument, d == discovery.MTASTSDocument:
			if len(s.MailDomains) == 0 {
				return fmt.Errorf("verify: Expected has %q, a document of a mail domain: set MailDomains too", d)
			}
		case !slices.ContainsFunc(s.MailDomains, func(domain string) bool { return d == discovery.AutoconfigDocument(domain) }):
			return fmt.Errorf("verify: Expected has %q, which is not checked: see Config.Expected for the documents that are, and set MailDomains for the document of a domain", d)
		}
	}
	for _, d := range s.MailDomains {
		if !isDNSName(d) {
			return fmt.Errorf("verify: invalid mail domain %q: use a DNS name in lower case and A-labels", d)
		}
	}
	if s.Fresh < 0 || s.Fresh > maxFresh {
		return fmt.Errorf("verify: Fresh is %d: use a number of connections from 1 to %d, or 0 for the default", s.Fresh, maxFresh)
	}
	if len(s.Connect) > maxConnect {
		return fmt.Errorf("verify: Connect has %d addresses: use at most %d", len(s.Connect), maxConnect)
	}
	for i, target := range s.Connect {
		host, port, err := net.SplitHostPort(target)
		if n, numberErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || numberErr != nil || n == 0 || strings.ContainsAny(host, "/@ ") {
			return fmt.Errorf("verify: invalid address %q in Connect: use host:port, such as 127.0.0.1:8080 or [::1]:8080", target)
		}
		if slices.Contains(s.Connect[:i], target) {
			return fmt.Errorf("verify: Connect has the address %q twice: remove one", target)
		}
	}
	for _, host := range s.ForeignHosts {
		if u, err := url.Parse("https://" + host); err != nil || host == "" || u.Host != host || u.Hostname() == "" {
			return fmt.Errorf("verify: invalid foreign host %q: use a host name or an address, without a scheme and a path", host)
		}
	}
	return nil
}

// expectable are the documents that do not belong to a mail domain.
var expectable = []discovery.Document{discovery.OAuthDocument, discovery.OpenIDDocument, discovery.BaseResource, discovery.JMAPDocument, discovery.DAVDocument, discovery.WebUIDocument}

// isDNSName reports whether a name is a DNS name in lower case and A-labels.
func isDNSName(name string) bool {
	base, err := publicurl.FromHostname(name)
	return err == nil && base.Host() == name && !isAddress(name)
}
