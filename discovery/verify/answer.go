package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// The results of a request for a document.
type found int

const (
	absent found = iota // the caller knows whether that is wrong
	broken              // something wrong, which is reported
	there
)

// An object is a JSON document. Its members are decoded when a rule needs them.
type object map[string]json.RawMessage

// text returns a member that is a string.
func (o object) text(name string) (string, bool) {
	var s *string
	if json.Unmarshal(o[name], &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// list returns a member that is a list of strings.
func (o object) list(name string) []string {
	var l []string
	if json.Unmarshal(o[name], &l) != nil {
		return nil
	}
	return l
}

// member returns a member that is an object.
func (o object) member(name string) object {
	var m object
	if json.Unmarshal(o[name], &m) != nil {
		return nil
	}
	return m
}

// document fetches a public JSON document that must be at exactly this URL.
func (v *verifier) document(ctx context.Context, d discovery.Document, u string) (object, found) {
	return v.documentIf(ctx, d, u, func() bool { return true })
}

// documentIf is like document for a document that the server may not have. If a web site at
// the same origin answers with its page for every path, exists decides whether the document
// should be there.
func (v *verifier) documentIf(ctx context.Context, d discovery.Document, u string, exists func() bool) (object, found) {
	a := v.ask(ctx, d, get(u))
	if v.isWebSite(ctx, a) && (a.isRedirect() || !exists()) {
		return nil, absent
	}
	if a.isRedirect() {
		v.redirected(d, a, "200: a document must be answered by itself (RFC 8414 section 3.2)")
		if a = v.follow(ctx, d, a); a == nil {
			return nil, broken
		}
	}
	o, state := v.decode(ctx, d, u, a)
	if state == there {
		v.cors(d, u, a)
		v.compare(d, u, false)
	}
	return o, state
}

// decode checks an answer that must be a JSON document.
func (v *verifier) decode(ctx context.Context, d discovery.Document, u string, a *fetched) (object, found) {
	if state := v.answered(ctx, d, u, a); state != there {
		return nil, state
	}
	if isHTML(a) {
		v.html(d, u, a, SeverityError)
		return nil, broken
	}
	v.found[d] = true
	var o object
	if err := json.Unmarshal(a.body, &o); err != nil || o == nil {
		v.add(Finding{Document: d, URL: u, Rule: ruleMalformed, Severity: SeverityError, Got: v.snippet(a.body), Want: "a JSON object",
			Hint: "the server, or something that rewrites bodies on the way, does not send a JSON object: compare with the answer of the server itself", Mistake: MistakeBody})
		return nil, broken
	}
	if t := mediaType(a); t != contentTypeJSON {
		v.add(Finding{Document: d, URL: u, Rule: ruleContentType, Severity: SeverityError, Got: a.header.Get("Content-Type"), Want: contentTypeJSON,
			Hint: "clients refuse another type: send Content-Type: application/json, also where the proxy serves the document from a file"})
	}
	return o, there
}

// answered reports every answer other than 200 and the answer for an absent document.
func (v *verifier) answered(ctx context.Context, d discovery.Document, u string, a *fetched) found {
	f := Finding{Document: d, URL: u, Severity: SeverityError, Want: "200"}
	var coding *codingError
	switch {
	case errors.As(a.err, &coding):
		f.Rule, f.Got, f.Want, f.Mistake = ruleCoding, coding.Error(), "a body as Content-Encoding describes it", MistakeBody
		f.Hint = "clients cannot decode the body: something on the way compresses or decompresses it without changing Content-Encoding, or ignores Accept-Encoding; switch compression off for these paths"
	case a.err == errTooLarge:
		f.Rule, f.Got, f.Want = ruleTooLarge, "more", fmt.Sprintf("at most %d bytes", v.settings.MaxBytes)
		f.Hint = "clients limit what they read: make the document smaller, or find out what else answers here"
	case a.late && !a.reached:
		return broken // Verify says once that it has run out of time
	case a.timedOut():
		f.Rule, f.Got, f.Want, f.Mistake = ruleTimeout, "no whole answer", "an answer within "+v.settings.RequestTimeout.String(), MistakeBackend
		f.Hint = "the server does not answer the proxy, or waits for something else: request the URL from the server itself"
	case isCertificateError(a.err):
		f.Rule, f.Got, f.Want, f.Mistake = ruleCertificate, a.said(), "a certificate that clients trust", MistakeCertificate
		f.Hint, _ = v.fetcher.certificateHint(a.err)
	case a.err != nil:
		f.Rule, f.Got, f.Want, f.Mistake = ruleUnreachable, a.said(), "an answer", MistakeBackend
		f.Hint = "the connection failed or broke off: request the URL from the server itself"
	case v.isAbsent(ctx, a):
		return absent
	case a.status == http.StatusOK:
		return there
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, a.status == http.StatusProxyAuthRequired:
		f.Rule, f.Got, f.Mistake = ruleStatus, fmt.Sprint(a.status), MistakeAccess
		f.Hint = "documents are public and needed before sign-in: let them pass without a password, and do not deny paths that begin with a dot"
	case a.status == http.StatusBadGateway, a.status == http.StatusServiceUnavailable, a.status == http.StatusGatewayTimeout:
		f.Rule, f.Got, f.Mistake = ruleStatus, fmt.Sprint(a.status), MistakeBackend
		f.Hint = "the proxy does not reach the server: compare the address and protocol in its configuration with the server's listener"
	default:
		f.Rule, f.Got = ruleStatus, fmt.Sprint(a.status)
		f.Hint = "clients accept the document only with status 200: the logs of the proxy and the server show which of them answers"
	}
	v.add(f)
	return broken
}

// isAbsent reports whether a document is absent. For a path that is not in use a proxy may
// answer with another status than 404, such as 503 of HAProxy or 403 of a web server. Such an
// answer is recognised if an unused path outside of the base has the same status, and an
// unused path below the base has another one.
func (v *verifier) isAbsent(ctx context.Context, a *fetched) bool {
	if a.isAbsent() {
		return true
	}
	if a.err != nil || a.status < 400 || v.base.Prefix() == "" || v.base.Contains(a.url) || !v.base.SameOrigin(a.url) {
		return false
	}
	outside := v.ask(ctx, configDocument, get(v.base.Origin()+unusedWellKnown))
	below := v.ask(ctx, configDocument, get(v.base.MustJoin(unusedPath)))
	return outside.err == nil && outside.status == a.status && below.err == nil && below.status != a.status
}

// isWebSite reports whether an answer comes from a web site at the origin of the base that
// has one page for every path, or redirects every path to it.
func (v *verifier) isWebSite(ctx context.Context, a *fetched) bool {
	isPage := func(a *fetched) bool { return a.err == nil && a.status == http.StatusOK && isHTML(a) }
	if v.base.Prefix() == "" || v.base.Contains(a.url) || !isPage(a) && !a.isRedirect() {
		return false
	}
	unused := v.ask(ctx, configDocument, get(v.base.Origin()+unusedWellKnown))
	return isPage(a) && isPage(unused) || unused.isRedirect() && unused.location() == a.location()
}

// Paths that no server has.
const (
	unusedPath      = "/portico-verify"
	unusedWellKnown = "/.well-known/portico-verify"
)

// html reports a web page in place of a document.
func (v *verifier) html(d discovery.Document, u string, a *fetched, s Severity) {
	f := Finding{Document: d, URL: u, Rule: ruleHTML, Severity: s, Got: "a web page, " + v.snippet(a.body), Want: "a document, or 404",
		Hint: "a web application answers every path with its start page, and the document's path is not routed to the server: route it before the catch-all", Mistake: MistakeWellKnown}
	if v.base.Contains(u) && v.base.Prefix() != "" {
		f.Mistake = MistakePrefix
	}
	v.add(f)
}

// missing reports an absent document. why is the reason to expect it.
func (v *verifier) missing(d discovery.Document, u, why string, mistake Mistake, s Severity) {
	hint := "the server does not answer here, though " + why
	if mistake == MistakeWellKnown {
		hint = "the proxy does not route this location to the server, though " + why + ": route it in addition to the path of the base"
		if v.base.Prefix() == "" {
			hint = "something else answers here, though " + why + `: route "/.well-known/" to the server, except paths that another program needs, such as acme-challenge`
		}
	}
	v.add(Finding{Document: d, URL: u, Rule: ruleMissing, Severity: s, Got: v.statusOf(u), Want: "the document", Hint: hint, Mistake: mistake})
}

// statusOf returns the status of an answer that has been received before.
func (v *verifier) statusOf(u string) string {
	if c := v.fetcher.calls[get(u)]; c != nil && c.noted {
		if err := c.answer.err; err != nil {
			return unwrapURL(err).Error()
		}
		return fmt.Sprint(c.answer.status)
	}
	return "404"
}

// unexpected reports an absent document that the caller expects or another document refers
// to.
func (v *verifier) unexpected(d discovery.Document, u string) {
	mistake := Mistake("")
	if !v.base.Contains(u) {
		mistake = MistakeWellKnown
	}
	switch {
	case v.claimed[d] != "":
		v.missing(d, u, "the document at "+v.claimed[d]+" refers to it", mistake, SeverityError)
	case v.settings.expected[d]:
		v.missing(d, u, "the document is expected", mistake, SeverityError)
	}
}

// nothing reports a base without any document. It adds nothing to other findings.
func (v *verifier) nothing() {
	if len(v.found) > 0 || len(v.report.Findings) > 0 || v.fetcher.unasked > 0 {
		return
	}
	f := Finding{Document: configDocument, URL: v.base.String(), Rule: ruleNothing, Severity: SeverityError, Got: "404 for every document", Want: "at least one document",
		Hint: "this is not the public URL of a server with documents, or the proxy routes nothing to it", Mistake: MistakePrefix}
	if v.base.Prefix() == "" {
		f.Hint = "this is not the public URL of a server with documents: give the path and the port of the URL too, if it has them"
		f.Mistake = ""
	}
	v.add(f)
}

// cors checks that web applications of other origins may read an answer.
func (v *verifier) cors(d discovery.Document, u string, a *fetched) {
	values := a.header.Values("Access-Control-Allow-Origin")
	if len(values) == 1 && (values[0] == "*" || values[0] == verifyOrigin) {
		return
	}
	f := Finding{Document: d, URL: u, Field: "Access-Control-Allow-Origin", Rule: ruleCORS, Severity: SeverityWarning, Got: strings.Join(values, ", "), Want: "*", Mistake: MistakeCORS,
		Hint: "web applications of other origins cannot read it: let the proxy pass on the field as the server sends it"}
	if len(values) > 1 || strings.Contains(f.Got, ",") {
		f.Hint = "a browser accepts one value only: the proxy adds its own to the server's, so let only one of them send it"
	}
	v.add(f)
}

func mediaType(a *fetched) string {
	t, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	return t
}

// isHTML reports whether the body of an answer is a web page, whatever its Content-Type is.
// An XML document is not a web page.
func isHTML(a *fetched) bool {
	start := bytes.ToLower(bytes.TrimLeft(a.body[:min(len(a.body), 1024)], "\xef\xbb\xbf \t\r\n"))
	if bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html")) {
		return true
	}
	t := mediaType(a)
	return t == "application/xhtml+xml" || t == "text/html" && !json.Valid(a.body) && !bytes.HasPrefix(start, []byte("<?xml"))
}
