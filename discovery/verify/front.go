package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// front reports a program in front of the server that answers every request in the same way,
// also for a path that no server has. The one cause is one finding.
func (v *verifier) front(ctx context.Context) bool {
	probes := []string{v.base.MustJoin(unusedPath), v.wellKnown(oauthName), v.wellKnown(openIDName), v.wellKnown(resourceName)}
	var all []*fetched
	for _, u := range probes {
		a := v.ask(ctx, configDocument, get(u))
		if len(all) > 0 && answerKind(a) != answerKind(all[0]) {
			return false
		}
		all = append(all, a)
	}
	a := all[0]
	if a.timedOut() && ctx.Err() == nil {
		// HAProxy refuses the streams of HTTP/2 where a server closes the connection, and an
		// HTTP/2 client tries again until its time is up. HTTP/1.1 shows the proxy's answer.
		client, done := v.fetcher.freshClient("")
		a = v.fetcher.sendBy(ctx, client, get(probes[0]))
		done()
	}
	f := Finding{Document: configDocument, URL: v.base.String(), Severity: SeverityError, Want: "an answer of the server", Got: a.said() + " for every URL"}
	switch {
	case a.err != nil:
		if !isHangUp(a.err) {
			return false // each document has its own error
		}
		f.Rule, f.Mistake = ruleUnreachable, MistakeProxyHeader
		f.Hint = hangUpHint
	case a.isRedirect() && a.location() == a.url:
		f.Rule, f.Mistake, f.Got = ruleRedirect, MistakeHTTPSForced, a.said()+" to the same URL, for every URL"
		f.Hint = httpsForcedHint
	case a.isRedirect():
		f.Rule, f.Mistake, f.Got = ruleRedirect, MistakeAccess, a.said()+" to "+redirectTarget(a)+" for every URL"
		f.Hint = signInHint
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, a.status == http.StatusProxyAuthRequired, a.status == http.StatusTooManyRequests:
		f.Rule, f.Mistake = ruleStatus, MistakeAccess
		f.Hint = signInHint
	case a.status == http.StatusOK && isSignInPage(a):
		f.Rule, f.Mistake, f.Got = ruleHTML, MistakeAccess, "a sign-in page for every URL"
		f.Hint = signInHint
	case a.status == http.StatusBadRequest && bytes.Contains(bytes.ToUpper(a.body), []byte("HTTPS")):
		f.Rule, f.Mistake = ruleStatus, MistakeBackend
		f.Hint = "the proxy connects without TLS to a port of the server that requires it: let it use https, or the server's plain port"
	case a.status == http.StatusBadRequest:
		f.Rule, f.Mistake = ruleStatus, MistakeProxyHeader
		f.Hint = "the server does not understand any request: the proxy sends a PROXY header to a port that does not expect one; remove send-proxy or proxy_protocol there, or put the proxy on the server's list of trusted proxies"
	case a.status == http.StatusBadGateway:
		f.Rule, f.Mistake = ruleStatus, MistakeBackend
		f.Hint = "the proxy gets no answer from the server: compare address and protocol with the server's listener; a port that requires a PROXY header closes a connection without one (add send-proxy-v2 in HAProxy), and a port that does not expect one may close a connection with one (remove it)"
	default:
		return false
	}
	v.add(f)
	return true
}

const (
	hangUpHint      = "the port closes every connection without an answer: it requires a PROXY header, which only the proxy sends (send-proxy-v2 in HAProxy, proxy_protocol on in NGINX), or it requires TLS"
	httpsForcedHint = "the server redirects http to https, and takes the connection from the proxy for the client's: let the proxy set X-Forwarded-Proto and the server use it, or switch off the redirect behind the proxy"
	signInHint      = "a sign-in (forward authentication), a firewall (WAF) or a rule of the proxy answers instead of the server, and programs cannot pass it: exempt the documents and the endpoints of the server from it"
)

// answerKind is equal for answers that come from the same rule of a proxy.
func answerKind(a *fetched) string {
	switch {
	case a.err != nil && isHangUp(a.err):
		return "hang-up"
	case a.err != nil:
		return "error"
	case a.isRedirect() && a.location() == a.url:
		return "redirect to itself"
	case a.isRedirect():
		return "redirect to " + redirectTarget(a)
	case a.status == http.StatusOK:
		return fmt.Sprintf("200 page:%t", isSignInPage(a))
	}
	return fmt.Sprint(a.status)
}

// redirectTarget is the target of a redirect without the query, in which a sign-in keeps
// the URL to return to.
func redirectTarget(a *fetched) string {
	u, err := url.Parse(a.location())
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// isSignInPage reports whether an answer is a page on which people give a password or
// prove that they are people.
func isSignInPage(a *fetched) bool {
	if !isHTML(a) {
		return false
	}
	text := bytes.ToLower(a.body)
	for _, mark := range []string{`type="password"`, `type='password'`, `type=password`, "captcha", "challenge-platform"} {
		if bytes.Contains(text, []byte(mark)) {
			return true
		}
	}
	return false
}

// isHangUp reports whether the peer closed the connection before it answered.
func isHangUp(err error) bool {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return false
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var op *net.OpError // a reset, whose error number depends on the system
	return errors.As(err, &op) && (op.Op == "read" || op.Op == "write")
}

// isFront reports whether the proxy makes the same redirect for every path below the base,
// and why.
func (v *verifier) isFront(a *fetched) (Mistake, string) {
	c := v.fetcher.calls[get(v.base.MustJoin(unusedPath))]
	if c == nil || !c.noted || a.url == c.answer.url || !c.answer.isRedirect() || answerKind(c.answer) != answerKind(a) {
		return "", ""
	}
	if a.location() == a.url {
		return MistakeHTTPSForced, httpsForcedHint
	}
	return MistakeAccess, signInHint
}

// maxAncestors limits the paths above the base that are tried.
const maxAncestors = 4

// pageAsBase reports a base that has no documents where a path above it, or the origin, has
// a server whose metadata names itself there: the URL of a page was given for the base.
func (v *verifier) pageAsBase(ctx context.Context) bool {
	if v.base.Prefix() == "" || v.hasOwnDocument(ctx) {
		return false
	}
	path := v.base.Prefix()
	for range maxAncestors {
		path = path[:strings.LastIndexByte(path, '/')]
		ancestor := v.base.Origin() + path
		for _, u := range []string{ancestor + "/.well-known/" + openIDName, v.base.Origin() + "/.well-known/" + oauthName + path} {
			if issuer, ok := v.issuerAt(ctx, u); ok && strings.TrimSuffix(issuer, "/") == ancestor {
				v.add(Finding{Document: configDocument, URL: v.base.String(), Rule: ruleNothing, Severity: SeverityError, Got: "no document; the server at " + ancestor + " has the issuer " + issuer, Want: "at least one document", Mistake: MistakeBase,
					Hint: "this is the URL of a page, or not the server's: if the server is the one at " + ancestor + ", check that URL; otherwise set the server's public URL to this one, and route it"})
				return true
			}
		}
		if path == "" {
			break
		}
	}
	return false
}

// hasOwnDocument reports whether a document, or a redirect of a well-known location, belongs
// to the base. A request without an answer counts as a document.
func (v *verifier) hasOwnDocument(ctx context.Context) bool {
	for _, u := range []string{v.wellKnown(oauthName), v.wellKnown(openIDName), v.wellKnown(resourceName), v.appended(oauthName), v.appended(resourceName), v.base.MustJoin(webUIPath)} {
		a := v.ask(ctx, configDocument, get(u))
		var o object
		isKnown := a.err == nil && (a.status == http.StatusOK || a.isRedirect() || v.isAbsent(ctx, a))
		if !isKnown || a.status == http.StatusOK && json.Unmarshal(a.body, &o) == nil && o != nil {
			return true
		}
	}
	for _, name := range []string{jmapName, calDAVName, cardDAVName} {
		if a := v.ask(ctx, configDocument, get(v.wellKnown(name))); a.isRedirect() && v.base.Contains(a.location()) {
			return true
		}
	}
	return false
}

// issuerAt returns the issuer of the metadata at a URL.
func (v *verifier) issuerAt(ctx context.Context, u string) (string, bool) {
	a := v.ask(ctx, configDocument, get(u))
	var o object
	if a.err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &o) != nil {
		return "", false
	}
	return o.text("issuer")
}
