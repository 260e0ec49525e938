package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

// atHost answers for a host in place of the server.
func atHost(host string, h http.HandlerFunc) tamper {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == host {
				h(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// mailAtOther is a server whose mail domain has another name than the base.
func mailAtOther(c *discovery.Config) {
	c.Mail.Domains = []string{"other.example"}
	c.MTASTS.MX = []string{"example.com"}
}

func TestChecksAMailDomain(t *testing.T) {
	other := Config{MailDomains: []string{"other.example"}}
	apex := func(path, location string) tamper {
		return atHost("other.example", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				redirectTo(location)(w, r)
				return
			}
			http.NotFound(w, r)
		})
	}
	requireAddress := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ".xml") && r.Host == "autoconfig.other.example" && r.URL.Query().Get("emailaddress") == "" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	requireFound(t, []fixture{
		{name: "autoconfig without an address", base: rootBase, config: mailAtOther, check: other, tamper: requireAddress,
			rule: ruleMissing, document: discovery.AutoconfigDocument("other.example"), field: "emailaddress", got: "400 Bad Request", hint: "answer without the query too"},
		{name: "the domain's own JMAP leads to http", base: rootBase, config: mailAtOther, check: other, tamper: apex("/.well-known/jmap", "http://example.com/jmap/session"),
			rule: ruleHTTP, document: discovery.JMAPDocument, mistake: MistakeRedirect, got: "http://example.com/jmap/session", hint: "leads to http"},
		{name: "the domain's own CalDAV leads to the proxy's side", base: rootBase, config: mailAtOther, check: other, tamper: apex("/.well-known/caldav", "http://10.0.0.5:8080/dav/cal/"),
			rule: ruleRedirectOrigin, document: discovery.DAVDocument, mistake: MistakeRedirect, got: "http://10.0.0.5:8080/dav/cal/", hint: "proxy's side"},
		{name: "the domain's own CardDAV loses the port", base: portBase, config: mailAtOther, check: other, tamper: apex("/.well-known/carddav", "https://example.com/dav/card/"),
			rule: ruleRedirectPort, document: discovery.DAVDocument, mistake: MistakeRedirect, got: "https://example.com/dav/card/", hint: "another port"},
		{name: "the domain's own autoconfig is cut", base: rootBase, config: mailAtOther, check: other,
			tamper: atHost("other.example", body("text/xml", "<clientConfig><emailProvider>")),
			rule:   ruleMalformed, document: discovery.AutoconfigDocument("other.example"), mistake: MistakeBody, got: "<clientConfig>", hint: "mail clients cannot read"},
	})
	site := func(h http.HandlerFunc) tamper { return atHost("other.example", h) }
	requireClean(t, []neighbour{
		{name: "the server at the domain itself", base: rootBase, config: mailAtOther, check: other, tamper: func(next http.Handler) http.Handler { return next }},
		{name: "nothing at the domain", base: rootBase, config: mailAtOther, check: other, tamper: site(http.NotFound)},
		{name: "a web site at the domain", base: rootBase, config: mailAtOther, check: other, tamper: site(spa)},
		{name: "a web site that redirects to its main name", base: rootBase, config: mailAtOther, check: other, tamper: site(func(w http.ResponseWriter, r *http.Request) {
			redirectTo("https://www.other.example"+r.URL.Path)(w, r)
		})},
		{name: "a redirect to the server's entry", base: pathBase, config: mailAtOther, check: other, tamper: apex("/.well-known/jmap", rootBase+"/.well-known/jmap")},
		{name: "a redirect to the server", base: pathBase, config: mailAtOther, check: other, tamper: apex("/.well-known/caldav", pathBase+"/dav/cal/")},
		{name: "a calendar elsewhere", base: rootBase, config: mailAtOther, check: other, tamper: apex("/.well-known/caldav", "https://cloud.other.example/remote.php/dav/")},
	})
}

// resolving is a client for which only these hosts exist.
func resolving(t *testing.T, h http.Handler, hosts ...string) *http.Client {
	client := publicClient(t, h)
	transport := client.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address)
		for _, known := range hosts {
			if host == known {
				return dial(ctx, network, address)
			}
		}
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
	return client
}

func TestUnknownMailDomain(t *testing.T) {
	config := verifyConfig(t, rootBase)
	config.Mail.Domains = []string{"other.example"}
	for _, c := range []struct {
		name  string
		hosts []string
		want  []string // rules
	}{
		{name: "none", want: []string{ruleMissing}},
		{name: "autoconfig", hosts: []string{"autoconfig.other.example"}},
		{name: "mta-sts", hosts: []string{"mta-sts.other.example"}},
		{name: "the domain, which has the document", hosts: []string{"other.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := correctServer(t, config)
			report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: resolving(t, h, append(c.hosts, "example.com")...), MailDomains: []string{"other.example"}, Fresh: 1})
			require.NoError(t, err)
			var rules []string
			for _, f := range report.Findings {
				rules = append(rules, f.Rule)
				require.Contains(t, f.Hint, "autoconfig.other.example, ua-auto-config.other.example and mta-sts.other.example is in the DNS")
			}
			require.Equal(t, c.want, rules, "%v", report.Findings)
		})
	}
	t.Run("the domain, which has a web site", func(t *testing.T) {
		h := atHost("other.example", spa)(correctServer(t, config))
		report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: resolving(t, h, "other.example", "example.com"), MailDomains: []string{"other.example"}, Fresh: 1})
		require.NoError(t, err)
		require.Len(t, report.Findings, 1)
	})
}

// davAnswer answers a method at a collection, and 401 to others.
func davAnswer(method string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method {
			h(w, r)
			return
		}
		answer(401, "text/plain", "", "WWW-Authenticate", "Basic")(w, r)
	}
}

func TestChecksCollections(t *testing.T) {
	noSlash := func(h http.HandlerFunc) tamper {
		return both(at("/.well-known/caldav", redirectTo("/dav/cal")), at("/dav/cal", h))
	}
	options := func(h http.HandlerFunc) tamper { return at("/dav/cal/", davAnswer("OPTIONS", h)) }
	requireFound(t, []fixture{
		{name: "a redirect without the slash, and another", base: rootBase, config: davOnly, tamper: noSlash(redirectTo("/dav/cal/")),
			rule: ruleRedirect, document: discovery.DAVDocument, mistake: MistakeRedirect, got: rootBase + "/dav/cal", hint: "the URL with the slash"},
		{name: "a redirect without the slash, to nothing", base: rootBase, config: davOnly, tamper: noSlash(http.NotFound),
			rule: ruleRedirect, document: discovery.DAVDocument, mistake: MistakeRedirect, got: rootBase + "/dav/cal", hint: "the URL with the slash"},
		{name: "a proxy that answers OPTIONS", base: rootBase, config: davOnly, tamper: options(answer(204, "", "", "Access-Control-Allow-Methods", "GET, POST")),
			rule: ruleMethod, document: discovery.DAVDocument, mistake: MistakeCORS, field: "DAV", got: "204 No Content to OPTIONS", hint: "answers OPTIONS itself"},
		{name: "a proxy that denies OPTIONS", base: rootBase, config: davOnly, tamper: options(status(405)),
			rule: ruleMethod, document: discovery.DAVDocument, mistake: MistakeMethod, field: "DAV", got: "405 Method Not Allowed to OPTIONS", hint: "begin with OPTIONS"},
	})
	requireClean(t, []neighbour{
		{name: "a collection without the slash", base: rootBase, config: davOnly, tamper: noSlash(answer(401, "text/plain", "", "WWW-Authenticate", "Basic"))},
		{name: "OPTIONS without a password", base: rootBase, config: davOnly, tamper: options(answer(200, "", "", "DAV", "1, 3, calendar-access"))},
		{name: "another redirect at the collection", base: rootBase, config: davOnly, tamper: at("/dav/cal/", redirectTo("/dav/cal/principal/"))},
	})
}

func TestFindsMissingCORSAtEndpoints(t *testing.T) {
	token := Config{Bearer: verifyToken}
	none := func(path string) tamper { return withHeader(path, "Access-Control-Allow-Origin") }
	requireFound(t, []fixture{
		{name: "the token endpoint", base: rootBase, config: tokenOnly, tamper: none("/auth/token"),
			rule: ruleCORS, document: discovery.OAuthDocument, mistake: MistakeCORS, field: "Access-Control-Allow-Origin", hint: "cannot read it"},
		{name: "userinfo", base: rootBase, config: openIDOnly, tamper: none("/auth/userinfo"),
			rule: ruleCORS, document: discovery.OpenIDDocument, mistake: MistakeCORS, field: "Access-Control-Allow-Origin", hint: "cannot read it"},
		{name: "the JMAP API", base: rootBase, config: jmapOnly, tamper: none("/jmap/"), check: token,
			rule: ruleCORS, document: discovery.JMAPDocument, mistake: MistakeCORS, field: "Access-Control-Allow-Origin", hint: "cannot read it"},
	})
	requireClean(t, []neighbour{
		{name: "the origin that asks", base: rootBase, config: tokenOnly, tamper: withHeader("/auth/token", "Access-Control-Allow-Origin", verifyOrigin)},
		{name: "endpoints that no web application uses", base: rootBase, config: oauthOnly, tamper: both(none("/auth/introspect"), none("/auth/register"))},
	})
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

func TestFindsContentCodingsThatDoNotMatch(t *testing.T) {
	coded := func(coding string, code func(string) string) tamper {
		return changed(oauthAtRoot, func(h http.Header, body string) string {
			if coding != "" {
				h.Set("Content-Encoding", coding)
			}
			return code(body)
		})
	}
	same := func(s string) string { return s }
	twice := func(s string) string { return zipped(zipped(s)) }
	damaged := func(s string) string { z := []byte(zipped(s)); z[len(z)-6] ^= 1; return string(z) }
	var found []fixture
	for _, c := range []struct {
		name   string
		tamper tamper
		got    string
	}{
		{name: "a body that is not gzip", tamper: coded("gzip", same), got: "the body is not gzip"},
		{name: "gzip with a wrong checksum", tamper: coded("gzip", damaged), got: "the body is not gzip"},
		{name: "gzip without the field", tamper: coded("", zipped), got: "without Content-Encoding"},
		{name: "gzip twice", tamper: coded("gzip", twice), got: "or it is compressed twice"},
		{name: "brotli for everybody", tamper: coded("br", same), got: "Content-Encoding is br"},
	} {
		found = append(found, fixture{name: c.name, base: rootBase, config: oauthOnly, tamper: c.tamper,
			rule: ruleCoding, document: discovery.OAuthDocument, mistake: MistakeBody, got: c.got, hint: "switch compression off"})
	}
	requireFound(t, found)
	requireClean(t, []neighbour{
		{name: "gzip", base: rootBase, config: oauthOnly, tamper: coded("gzip", zipped)},
		{name: "identity", base: rootBase, config: oauthOnly, tamper: coded("Identity", same)},
	})
}
