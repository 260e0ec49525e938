package verify

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// mailDomains checks whether any host of a mail domain is in the DNS, and where the
// well-known locations of the domain itself lead.
func (v *verifier) mailDomains(ctx context.Context) {
	for _, d := range v.settings.MailDomains {
		v.noMailHost(ctx, d)
		v.apex(ctx, d)
	}
}

// noMailHost reports a mail domain without a host in the DNS and without a document.
func (v *verifier) noMailHost(ctx context.Context, domain string) {
	for _, l := range v.mailLocations() {
		if !strings.HasSuffix(hostOf(l.url), "."+domain) && hostOf(l.url) != domain {
			continue
		}
		a := v.ask(ctx, l.document, get(l.url))
		switch {
		case l.domain && !isUnknownHost(a.err):
			return
		case l.apex && a.err == nil && a.status == http.StatusOK && !isHTML(a):
			return
		}
	}
	d := discovery.AutoconfigDocument(domain)
	if v.settings.expected[d] || v.settings.expected[discovery.MTASTSDocument] || v.settings.expected[discovery.UserAgentDocument] {
		return // each missing document is reported
	}
	v.add(Finding{Document: d, URL: "https://" + autoconfigHost + domain + autoconfigPath, Rule: ruleMissing, Severity: SeverityError, Got: "no such host", Want: "at least one host of the mail domain " + domain,
		Hint: "none of the names " + autoconfigHost + domain + ", " + userAgentHost + domain + " and " + mtaSTSHost + domain + " is in the DNS: add records that lead to the proxy, or check the domain for a typing error"})
}

func isUnknownHost(err error) bool {
	var noHost *net.DNSError
	return errors.As(err, &noHost) && noHost.IsNotFound
}

// apex checks where the well-known locations of the mail domain itself lead. Clients try
// them if the DNS has no SRV records (RFC 6764 section 6, RFC 8620 section 2.2). A web site
// may be there, so that only a redirect towards this server can be wrong.
func (v *verifier) apex(ctx context.Context, domain string) {
	origin := "https://" + domain
	if origin == v.base.Origin() {
		return
	}
	for _, l := range []struct {
		document discovery.Document
		name     string
	}{{discovery.JMAPDocument, jmapName}, {discovery.DAVDocument, calDAVName}, {discovery.DAVDocument, cardDAVName}} {
		a := v.ask(ctx, l.document, get(origin+"/.well-known/"+l.name))
		if !a.isRedirect() || v.base.Contains(a.location()) {
			continue
		}
		if to := a.location(); v.isHTTPForHTTPS(to) || v.base.SameOrigin(to) && v.base.Prefix() != "" && !strings.HasPrefix(to, v.base.Origin()+"/.well-known/") || v.isMistakenHost(to) {
			v.redirected(l.document, a, "a redirect below "+v.base.String())
		}
	}
}

// withoutAddress checks that clients get the document without an address in the query
// (draft-ietf-mailmaint-autoconfig, and administrators who open it in a browser).
func (v *verifier) withoutAddress(ctx context.Context, l mailLocation) {
	u, _, ok := strings.Cut(l.url, "?")
	if !ok {
		return
	}
	a := v.ask(ctx, l.document, get(u))
	if a.err == nil && a.status == http.StatusOK && !isHTML(a) && len(a.body) > 0 {
		return
	}
	got := a.said()
	if a.err == nil && a.status == http.StatusOK {
		got = "200 with " + v.snippet(a.body)
	}
	v.add(Finding{Document: l.document, URL: u, Field: "emailaddress", Rule: ruleMissing, Severity: SeverityWarning, Got: got, Want: "the document, with placeholders such as %EMAILADDRESS%",
		Hint: "the document needs an address in the query, and not all clients send one: answer without the query too"})
}
