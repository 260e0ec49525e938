package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed-94e48765/portico/publicurl"
)

// A Report is what [Verify] has found. Its JSON names are stable.
type Report struct {
	Base     string    `json:"base"`
	Checked  []Checked `json:"checked"`           // every request, in the order of the checks
	Findings []Finding `json:"findings"`          // what is wrong; at most 100
	Omitted  int       `json:"omitted,omitempty"` // findings beyond that
}

// Checked is an answer that [Verify] has judged. To compare two ways to a server,
// compare Status and SHA256.
type Checked struct {
	Document Document `json:"document"`
	Method   string   `json:"method"`
	URL      string   `json:"url"`
	SignedIn bool     `json:"signed_in,omitempty"` // with the token of WithBearer
	Status   int      `json:"status,omitempty"`    // 0: no answer came
	Location string   `json:"location,omitempty"`
	Bytes    int      `json:"bytes"`
	SHA256   string   `json:"sha256,omitempty"` // of the body, in hex
	Error    string   `json:"error,omitempty"`
}

// A Finding is one thing that is wrong. Strings that come from the server are cut to
// a few hundred bytes, and hold printable characters only.
type Finding struct {
	Document Document `json:"document"`        // where it was found; "config" for the whole
	URL      string   `json:"url"`             // of that document
	Field    string   `json:"field,omitempty"` // its members, with a comma between them
	Rule     string   `json:"rule"`            // one of the constants, such as RuleIssuer
	Got      string   `json:"got"`
	Want     string   `json:"want"`
	Hint     string   `json:"hint"`              // what is likely wrong, and what to do
	Mistake  Mistake  `json:"mistake,omitempty"` // of the proxy or the server, if it can be told
	Severity Severity `json:"severity"`
}

// String gives the finding in one line.
func (f Finding) String() string {
	field := ""
	if f.Field != "" {
		field = " " + f.Field
	}
	return fmt.Sprintf("%s: %s: %s%s at %s: got %q, want %s: %s", f.Severity, f.Rule, f.Document, field, f.URL, f.Got, f.Want, f.Hint)
}

const (
	maxFindings      = 100
	maxFindingLength = 400 // bytes of each string
	maxChecked       = 200
	maxMembers       = 200 // of a document or a list that are judged
)

// Verify asks a server for its documents as clients do, from outside, and reports
// what would make them fail behind a proxy. The base is what people type and
// browsers show: Verify compares everything with it.
//
// What must be there is told by what the documents say themselves: a document that is
// not there is a finding only if another one speaks of it, if it is found where only
// the server itself would have it, or [WithExpected] names it. If no document is
// found at all, that is one.
//
// Endpoints are asked without parameters, and never with a form or an object that
// could change something: those of OAuth and OpenID, JMAP's session and API, and the
// collections of calendars and address books. JMAP's templates, its web socket, the DNS
// and autodiscover are not. They are asked only below the base. No cookies are kept,
// and redirects are followed within the origin of the base only; one that leaves it
// is a finding.
//
// The client is not changed: its Transport and Timeout are used, its Jar and
// CheckRedirect are not. nil stands for a client with the usual proxy settings and
// certificates. To try documents before the DNS knows the name, give a Transport
// whose DialContext goes elsewhere.
//
// An error means that there is nothing to report: the base is relative or zero, ctx
// ended, no connection could be made, or the certificate of the host is not trusted
// (errors.As finds the [*crypto/tls.CertificateVerificationError]).
func Verify(ctx context.Context, client *http.Client, base publicurl.Base, opts ...VerifyOption) (*Report, error) {
	if base == (publicurl.Base{}) || base.IsRelative() {
		return nil, errors.New("discovery: verify: the base has no host: give the URL that clients use, such as https://mail.example.com")
	}
	o := newVerifyOptions(opts)
	for _, d := range slices.Sorted(maps.Keys(o.expected)) {
		switch {
		case slices.Contains(expectable, d):
		case d == UserAgentDocument, d == MTASTSDocument:
			if len(o.domains) == 0 {
				return nil, fmt.Errorf("discovery: verify: %q is expected, which is asked for at a mail domain: give WithMailDomains, too", d)
			}
		case !slices.ContainsFunc(o.domains, func(domain string) bool { return d == AutoconfigDocument(domain) }):
			return nil, fmt.Errorf("discovery: verify: %q is expected, and is not asked for: see WithExpected for those that are, and give WithMailDomains for a domain's", d)
		}
	}
	for _, d := range o.domains {
		if !isDNSName(d) {
			return nil, fmt.Errorf("discovery: verify: the mail domain %q is no DNS name in lower case and A-labels", d)
		}
	}
	within, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	f := newFetcher(client, base, o)
	defer f.close(cancel)
	v := &verifier{base: base, options: o, fetcher: f, report: &Report{Base: base.String(), Checked: []Checked{}, Findings: []Finding{}}}
	v.run(within)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("discovery: verify %q: %w", base, err)
	}
	if err := f.unreachable(); err != nil {
		return nil, fmt.Errorf("discovery: verify %q: %w", base, &shownError{v.clip(err.Error()), err})
	}
	v.blameTheServer()
	if n := f.unasked; n > 0 {
		v.add(Finding{
			Document: configDocument, URL: base.String(), Rule: RuleTimeout, Severity: SeverityError,
			Got: fmt.Sprintf("%d requests not made", n), Want: "all within " + o.timeout.String(),
			Hint: "the server or the proxy is too slow for the whole check: look for what hangs, or allow more time", Mistake: MistakeBackend,
		})
	}
	return v.report, nil
}

// expectable are the documents that need no mail domain.
var expectable = []Document{OAuthDocument, OpenIDDocument, BaseResource, JMAPDocument, DAVDocument, WebUIDocument}

// blameTheServer corrects what was said of endpoints that are not there, before it was
// known that the proxy does pass on the path of the base.
func (v *verifier) blameTheServer() {
	if !v.fetcher.answersBelow() {
		return
	}
	for i := range v.report.Findings {
		if f := &v.report.Findings[i]; f.Rule == RuleEndpoint && f.Mistake == MistakePrefix {
			f.Mistake = ""
			f.Hint = "the server answers below " + v.base.Prefix() + ", but not here: it has no such endpoint, so leave the member out, or the proxy passes on some paths only"
		}
	}
}

// A verifier runs the rules, one after the other, over what the fetcher brings.
type verifier struct {
	base    publicurl.Base
	options verifyOptions
	fetcher *fetcher
	report  *Report
	found   map[Document]bool   // documents that are there, if not always right
	claimed map[Document]string // documents that another one speaks of, and which
	judged  map[string]bool     // endpoints, and as what they have been asked: several documents have the same
	kept    map[string]bool     // of isKept
}

func (v *verifier) run(ctx context.Context) {
	v.found, v.claimed = make(map[Document]bool), make(map[Document]string)
	v.judged, v.kept = make(map[string]bool), make(map[string]bool)
	if !v.prefetch(ctx) {
		return // nothing can be reached
	}
	// Mail documents are first: they speak of the others.
	v.mailDocuments(ctx)
	v.authorizationServer(ctx)
	v.baseResource(ctx)
	v.jmapSession(ctx)
	v.davRedirects(ctx)
	v.apiDiscover(ctx)
	v.nothing(ctx)
}

// prefetch starts the requests that every run makes, so that one which hangs does
// not hold up the others. It reports whether anything was reached.
func (v *verifier) prefetch(ctx context.Context) bool {
	var all []fetch
	for _, name := range []publicurl.Name{publicurl.OAuthAuthorizationServer, publicurl.OpenIDConfiguration, publicurl.OAuthProtectedResource, publicurl.JMAP, publicurl.CalDAV, publicurl.CardDAV} {
		all = append(all, get(v.wellKnown(name)))
	}
	all = append(all, get(v.base.MustJoin(webUIPath)))
	for _, m := range v.mailLocations() {
		all = append(all, get(m.url))
	}
	v.fetcher.start(ctx, all...)
	for _, f := range all {
		<-v.fetcher.calls[f].done
	}
	return v.fetcher.reached.Load()
}

func (v *verifier) wellKnown(name publicurl.Name) string {
	u, _ := v.base.WellKnown(name) // the names are constants
	return u
}

// appended is the alias below the base, where a proxy that routes nothing but the
// base leaves the document. It is "" if the base has no path.
func (v *verifier) appended(name publicurl.Name) string {
	if v.base.Prefix() == "" {
		return ""
	}
	return v.base.String() + "/.well-known/" + string(name)
}

// ask makes a request, or takes its answer if it was made before, and notes it in
// the report.
func (v *verifier) ask(ctx context.Context, d Document, f fetch) *fetched {
	a, first := v.fetcher.do(ctx, f)
	if first && len(v.report.Checked) < maxChecked {
		c := Checked{Document: Document(v.clip(string(d))), Method: f.method, URL: v.clip(f.url), SignedIn: v.fetcher.isSignedIn(f), Status: a.status, Location: v.clip(a.header.Get("Location")), Bytes: len(a.body), SHA256: a.digest()}
		if a.err != nil {
			c.Error = v.clip(a.err.Error())
		}
		v.report.Checked = append(v.report.Checked, c)
	}
	return a
}

// add reports a finding. The same one about another member of the same document is
// added to it: a wrong public URL is one mistake, not one a member.
func (v *verifier) add(f Finding) {
	f.Document = Document(v.clip(string(f.Document))) // that of a resource has its path
	f.URL, f.Got, f.Want, f.Hint, f.Field = v.clip(f.URL), v.clip(f.Got), v.clip(f.Want), v.clip(f.Hint), v.clip(f.Field)
	for i := range v.report.Findings {
		g := &v.report.Findings[i]
		if g.Document == f.Document && g.URL == f.URL && g.Rule == f.Rule && g.Hint == f.Hint {
			if f.Field != "" && !strings.Contains(", "+g.Field+",", ", "+f.Field+",") {
				g.Field = v.clip(g.Field + ", " + f.Field)
			}
			return
		}
	}
	if len(v.report.Findings) == maxFindings {
		v.report.Omitted++
		return
	}
	v.report.Findings = append(v.report.Findings, f)
}

// clip makes what a server sent fit to be shown: not long, nothing that a terminal
// obeys, and not the caller's token.
func (v *verifier) clip(s string) string {
	s = v.redact(s)
	long := len(s) > maxFindingLength
	if long {
		s = s[:maxFindingLength]
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if !long && len(s) <= maxFindingLength {
		return s
	}
	n := min(len(s), maxFindingLength-len("…")) // a run of invalid bytes is one U+FFFD
	for n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// redact removes the caller's token from the beginning of a text, of which no more is
// shown: in the usual spellings alone, and else with all around it. The token may begin
// where that ends, and have an escape of six bytes in place of each byte, three times over.
func (v *verifier) redact(s string) string {
	s = s[:min(len(s), maxFindingLength+1+6*6*6*len(v.options.token))]
	for _, t := range v.options.tokenSpellings {
		s = strings.ReplaceAll(s, t, "[token]")
	}
	if len(v.options.tokenSpellings) > 0 && hides(s, v.options.token) {
		return "[withheld: the token is in it]"
	}
	return s
}

// snippet is the start of a body, to recognise it by.
func (v *verifier) snippet(body []byte) string {
	if len(body) == 0 {
		return "nothing"
	}
	s := v.redact(string(body)) // before it is cut
	return strings.TrimSpace(s[:min(len(s), 60)])
}

// A shownError is an error with a text that is fit to be shown: that of a certificate
// says what is in it.
type shownError struct {
	text string
	err  error
}

func (e *shownError) Error() string { return e.text }
func (e *shownError) Unwrap() error { return e.err }
