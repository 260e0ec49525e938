package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

// Run requests the documents of a server from outside, as clients do, and reports what would
// make clients fail behind a proxy. The base is the URL that people type and browsers show.
// Run compares every URL with it.
//
// A document that is not found is a finding only if another document refers to it, if it is
// found at another URL of the server, or if Config.Expected lists it. A server without any
// document is a finding.
//
// Endpoints are requested without parameters, and never with a form or an object that
// could change something. These are the endpoints of OAuth and OpenID, the session and API
// of JMAP, and the collections of calendars and address books; the templates and the web
// socket of JMAP and autodiscover are not checked. Only endpoints below the base are
// requested. No cookies are kept, and redirects are followed within the origin of the base
// only. A redirect that leaves the origin is a finding. Requests to other hosts go only to the
// mail domains, to their hosts and, by the rules of Config.ForeignHosts, to the issuers that
// resources name.
//
// Something that answers every request in the same way, such as a sign-in in front of the
// server, is one finding, and nothing else is checked then. Each document and key set is
// requested again over Config.Fresh connections and at Config.Connect. Differences are a
// finding. Equal answers do not prove that all nodes agree, because a balancer may send all
// connections to one node.
//
// Run returns an error if there is nothing to report: the base is relative or zero, the
// Config is invalid, ctx ended, no connection could be made, or the certificate of the
// host is not trusted (errors.As finds the [*crypto/tls.CertificateVerificationError]).
func Run(ctx context.Context, base publicurl.Base, c Config) (*Report, error) {
	if base == (publicurl.Base{}) || base.IsRelative() {
		return nil, errors.New("verify: the base has no host: use the URL that clients use, such as https://mail.example.com")
	}
	s := newSettings(c)
	if err := s.check(); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	f := newFetcher(base, s)
	defer f.close(cancel)
	v := &verifier{base: base, settings: s, fetcher: f, report: &Report{Base: base.String(), Checked: []Checked{}, Findings: []Finding{}}}
	v.run(within)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("verify: %s: %w", base, err)
	}
	if err := f.unreachable(); err != nil {
		return nil, fmt.Errorf("verify: %s: %w", base, &shownError{v.clip(err.Error()), err})
	}
	v.correctEndpointHints()
	if n := f.unasked; n > 0 {
		v.add(Finding{
			Document: configDocument, URL: base.String(), Rule: ruleTimeout, Severity: SeverityError,
			Got: fmt.Sprintf("%d requests not made", n), Want: "all within " + s.Timeout.String(),
			Hint: "the server or the proxy is too slow for the whole check: look for a request that hangs, or allow more time", Mistake: MistakeBackend,
		})
	}
	return v.report, nil
}

// correctEndpointHints corrects the hints about absent endpoints that were added before an
// answer showed that the proxy does pass on the path of the base.
func (v *verifier) correctEndpointHints() {
	if !v.fetcher.answersBelow() {
		return
	}
	for i := range v.report.Findings {
		if f := &v.report.Findings[i]; f.Rule == ruleEndpoint && f.Mistake == MistakePrefix {
			f.Mistake = ""
			f.Hint = "the server answers below " + v.base.Prefix() + ", but not here: it has no such endpoint, so leave the member out, or the proxy passes on some paths only"
		}
	}
}

// A verifier runs the rules, one after the other, over what the fetcher brings.
type verifier struct {
	base      publicurl.Base
	settings  settings
	fetcher   *fetcher
	report    *Report
	found     map[discovery.Document]bool   // documents that exist, correct or not
	claimed   map[discovery.Document]string // documents that another one refers to, and which
	requested map[string]bool               // endpoints that were checked, by their kind: several documents have the same
	kept      map[string]bool               // of isKept
	comparing []compared                    // documents for nodes
	foreign   map[string]bool               // issuers that have been asked
	ownIssuer string                        // of the server itself
}

func (v *verifier) run(ctx context.Context) {
	v.ownIssuer = v.base.String()
	v.found, v.claimed = make(map[discovery.Document]bool), make(map[discovery.Document]string)
	v.requested, v.kept, v.foreign = make(map[string]bool), make(map[string]bool), make(map[string]bool)
	if !v.prefetch(ctx) {
		return // nothing can be reached
	}
	if v.front(ctx) {
		v.mailDocuments(ctx) // at hosts of their own
		return
	}
	if v.pageAsBase(ctx) {
		return // nothing can be compared with this base
	}
	v.findOwnIssuer(ctx)
	// Mail documents are first, because they refer to the others.
	v.mailDocuments(ctx)
	v.authorizationServer(ctx)
	v.baseResource(ctx)
	v.jmapSession(ctx)
	v.davRedirects(ctx)
	v.apiDiscover(ctx)
	v.nothing()
	v.nodes(ctx)
}

// prefetch starts the requests that every run makes, so that a request that hangs does not
// delay the others. It reports whether any server was reached.
func (v *verifier) prefetch(ctx context.Context) bool {
	var all []fetch
	for _, name := range []string{oauthName, openIDName, resourceName, jmapName, calDAVName, cardDAVName} {
		all = append(all, get(v.wellKnown(name)))
	}
	all = append(all, get(v.base.MustJoin(webUIPath)), get(v.base.MustJoin(unusedPath)))
	for _, m := range v.mailLocations() {
		all = append(all, get(m.url))
	}
	v.fetcher.start(ctx, all...)
	for _, f := range all {
		<-v.fetcher.calls[f].done
	}
	return v.fetcher.reached.Load()
}

func (v *verifier) wellKnown(name string) string { return wellKnown(v.base, name) }

// appended returns the alias below the base, at which the document is found if the proxy
// routes only the base. It returns "" if the base has no path.
func (v *verifier) appended(name string) string {
	if v.base.Prefix() == "" {
		return ""
	}
	return v.base.String() + "/.well-known/" + name
}

// ask makes a request, or returns its answer if it was made before, and notes it in the
// report.
func (v *verifier) ask(ctx context.Context, d discovery.Document, f fetch) *fetched {
	a, first := v.fetcher.do(ctx, f)
	if first && len(v.report.Checked) < maxChecked {
		c := Checked{Document: discovery.Document(v.clip(string(d))), Method: f.method, URL: v.clip(f.url), SignedIn: v.fetcher.isSignedIn(f), Status: a.status, Location: v.clip(a.header.Get("Location")), Bytes: len(a.body), SHA256: a.digest()}
		if a.err != nil {
			c.Error = v.clip(a.err.Error())
		}
		v.report.Checked = append(v.report.Checked, c)
	}
	return a
}
