package verify

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// The uses of a published URL.
type urlKind int

const (
	plainURL urlKind = iota
	templateURL
	webSocketURL
)

// published checks a URL that a document publishes, and reports whether it is below
// the base. at is the document's own.
func (v *verifier) published(ctx context.Context, d discovery.Document, at, field, got string, kind urlKind) bool {
	below := v.base.Contains
	f := Finding{Document: d, URL: at, Field: field, Got: got, Want: "a URL below " + v.base.String(), Severity: SeverityError, Mistake: MistakePublicURL}
	if kind == webSocketURL {
		below = v.base.ContainsWebSocket
		f.Want = "wss" + strings.TrimPrefix(v.base.String(), "https") + "/…"
		if !strings.HasPrefix(v.base.String(), "https:") {
			f.Want = "ws" + strings.TrimPrefix(v.base.String(), "http") + "/…"
		}
	}
	switch {
	case below(got):
		if spellsDefaultPort(got) {
			f.Rule, f.Severity, f.Want = ruleDefaultPort, SeverityWarning, "the URL without the port"
			f.Hint = "browsers leave the default port out, so that the URL is not the one they show: leave it out of the server's public URL too"
			v.add(f)
		}
		return true
	case isRelativeReference(got):
		v.relative(ctx, d, at, field, got)
		return false
	case kind == webSocketURL:
		f.Rule = ruleWS
		f.Hint = "a page on https may open wss only: the server must make the URL from its public URL, not from the proxy's connection"
		if v.base.ContainsWebSocket("wss" + strings.TrimPrefix(got, "https")) {
			f.Hint = "the URL of a web socket begins with wss (RFC 8887 section 3, RFC 6455 section 3)"
		} else if !v.base.ContainsWebSocket("wss" + strings.TrimPrefix(got, "ws")) {
			f.Hint = v.differs(got)
		}
	case v.isHTTPForHTTPS(got):
		f.Rule = ruleHTTP
		f.Hint = "the server takes the connection from the proxy for the client's: set its public URL, or let the proxy tell it the scheme"
	default:
		f.Rule, f.Hint = ruleOutside, v.differs(got)
	}
	v.add(f)
	return false
}

// isHTTPForHTTPS reports whether a URL differs from one at the base's host by its
// scheme. The port is that of http then, or the server's own.
func (v *verifier) isHTTPForHTTPS(got string) bool {
	u, err := url.Parse(got)
	return err == nil && strings.EqualFold(u.Scheme, "http") && strings.HasPrefix(v.base.Origin(), "https:") && strings.EqualFold(u.Hostname(), v.base.Hostname())
}

// differs returns the difference between a URL and the base, and the fix.
func (v *verifier) differs(got string) string {
	u, err := url.Parse(got)
	switch {
	case err != nil || u.Host == "":
		return "this is not an absolute URL: see how the server makes it"
	case u.User != nil:
		return "clients may not use a URL with user information"
	case strings.EqualFold(u.Hostname(), v.base.Hostname()):
		if u.Port() != v.basePort() {
			return "the port is not the one that clients use: the server publishes its own port, or one that clients cannot reach; set its public URL to " + v.base.String()
		}
		if u.Scheme == "https" && strings.HasPrefix(v.base.Origin(), "http:") {
			return "the server publishes https URLs, and was checked with http: check the https URL, or set its public URL to " + v.base.String()
		}
		if u.Scheme == "https" || u.Scheme == "http" || u.Scheme == "wss" || u.Scheme == "ws" {
			return "the path of the base is lost: the proxy strips " + orDefault(v.base.Prefix(), "/") + ", and the server is not configured for it; set its public URL to " + v.base.String()
		}
		return "the scheme is not http, https, ws or wss"
	case isInternal(u.Hostname()):
		return "this host is on the proxy's side: the server makes URLs from the Host field or its own socket; set its public URL to " + v.base.String()
	}
	return "the host is not the one that clients use: set the server's public URL to " + v.base.String() + ", or check the URL that it has"
}

// basePort returns the port as URLs below the base have it.
func (v *verifier) basePort() string {
	u, _ := url.Parse(v.base.String()) // it is a URL
	return u.Port()
}

// relative reports a relative URL. Either the server does not have its public URL, or a cache
// has kept an old document.
func (v *verifier) relative(ctx context.Context, d discovery.Document, at, field, got string) {
	f := Finding{Document: d, URL: at, Field: field, Rule: ruleRelative, Got: got, Want: "an absolute URL below " + v.base.String(), Severity: SeverityError, Mistake: MistakePublicURL,
		Hint: "the server has no public URL yet, or runs in bootstrap or recovery mode: end the set-up, and set its public URL to " + v.base.String()}
	if v.isKept(ctx, d, at) {
		f.Mistake = MistakeCache
		f.Hint = "a cache has kept the document from before the set-up ended: empty the cache, and let it revalidate each time, as Cache-Control requires"
	}
	v.add(f)
}

// isKept reports whether a cache has kept a document from before the server had its public
// URL. The cache stores the document under its URL, so a request with a new query reaches the
// server.
func (v *verifier) isKept(ctx context.Context, d discovery.Document, at string) bool {
	is, known := v.kept[at]
	if !known {
		kept, fresh := v.ask(ctx, d, get(at)), v.ask(ctx, d, get(at+"?"+v.fetcher.nonce))
		knows := strings.Contains(string(fresh.body), v.base.String()) && !strings.Contains(string(kept.body), v.base.String())
		is = fresh.err == nil && fresh.status == http.StatusOK && knows || kept.header.Get("Age") != ""
		v.kept[at] = is // a document may have many relative URLs
	}
	return is
}

// isRelativeReference reports whether s is what a server without a base publishes.
func isRelativeReference(s string) bool {
	return s == "" || s[0] == '/' && !strings.HasPrefix(s, "//")
}

func spellsDefaultPort(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	switch strings.ToLower(u.Scheme) {
	case "https", "wss":
		return u.Port() == "443"
	case "http", "ws":
		return u.Port() == "80"
	}
	return false
}

// isInternal reports whether a host cannot be public.
func isInternal(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".internal") || strings.HasSuffix(host, ".local")
}

// hostOf returns the host of a URL, without a port.
func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
