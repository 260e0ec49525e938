package verify

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/seed-94e48765/portico/discovery"
)

// answer returns an answer with CORS, so that it differs from a server's in status and body
// only.
func answer(code int, contentType, text string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, text)
	}
}

// denied is HAProxy's answer of "http-request deny".
const denied = "<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n"

// withoutMethod is a proxy that denies a method.
func withoutMethod(method string) tamper {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == method {
				answer(403, "text/html", denied)(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// tokenOnly has a token endpoint and no other endpoint for programs.
func tokenOnly(c *discovery.Config) {
	*c = discovery.Config{Base: c.Base, OAuth: &discovery.OAuth{}}
}

func TestFindsPagesAtEndpointsForPrograms(t *testing.T) {
	token := Config{Bearer: verifyToken}
	var all []fixture
	for _, p := range []struct {
		status  int
		mistake Mistake
		hint    string
	}{
		{status: 200, hint: "something else answers here"},
		{status: 400, hint: "something else answers here"},
		{status: 401, mistake: MistakeAccess, hint: "a sign-in, a firewall (WAF)"},
		{status: 403, mistake: MistakeAccess, hint: "a sign-in, a firewall (WAF)"},
		{status: 406, mistake: MistakeAccess, hint: "by its header fields or its size"},
		{status: 413, mistake: MistakeAccess, hint: "by its header fields or its size"},
		{status: 415, mistake: MistakeAccess, hint: "by its header fields or its size"},
		{status: 429, mistake: MistakeAccess, hint: "rate limit"},
	} {
		page := answer(p.status, "text/html", "<!doctype html><title>No</title>")
		all = append(all,
			fixture{name: fmt.Sprintf("a page at the token endpoint, %d", p.status), base: rootBase, config: tokenOnly, tamper: at("/auth/token", page),
				rule: ruleEndpoint, document: discovery.OAuthDocument, mistake: p.mistake, field: "token_endpoint", got: fmt.Sprint(p.status), hint: p.hint},
			fixture{name: fmt.Sprintf("a page at the JMAP API, %d", p.status), base: rootBase, config: jmapOnly, tamper: at("/jmap/", page), check: token,
				rule: ruleEndpoint, document: discovery.JMAPDocument, mistake: p.mistake, field: "apiUrl", got: fmt.Sprint(p.status), hint: p.hint})
		if p.status != 200 { // which is html-for-document
			all = append(all, fixture{name: fmt.Sprintf("a page at userinfo, %d", p.status), base: rootBase, config: openIDOnly, tamper: at("/auth/userinfo", page),
				rule: ruleEndpoint, document: discovery.OpenIDDocument, mistake: p.mistake, field: "userinfo_endpoint", got: fmt.Sprint(p.status), hint: p.hint})
		}
	}
	for _, status := range []int{403, 406, 413, 415} {
		all = append(all, fixture{name: fmt.Sprintf("a text at the token endpoint, %d", status), base: rootBase, config: tokenOnly, tamper: at("/auth/token", answer(status, "text/plain", "no")),
			rule: ruleEndpoint, document: discovery.OAuthDocument, mistake: MistakeAccess, field: "token_endpoint", got: fmt.Sprint(status)})
	}
	all = append(all,
		fixture{name: "nothing at the token endpoint, 200", base: rootBase, config: tokenOnly, tamper: at("/auth/token", answer(200, "text/plain", "OK")),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "token_endpoint", got: "200 OK", hint: "something else answers"},
		fixture{name: "POST is denied", base: rootBase, config: tokenOnly, tamper: withoutMethod("POST"),
			rule: ruleEndpoint, document: discovery.OAuthDocument, mistake: MistakeMethod, field: "token_endpoint", got: "403 Forbidden", hint: "denies every POST"},
		fixture{name: "POST is denied at a path", base: pathBase, config: tokenOnly, tamper: withoutMethod("POST"),
			rule: ruleEndpoint, document: discovery.OAuthDocument, mistake: MistakeMethod, field: "token_endpoint", got: "403 Forbidden", hint: "denies every POST"},
	)
	requireFound(t, all)
}

func TestEndpointErrorsAreAccepted(t *testing.T) {
	token := Config{Bearer: verifyToken}
	at := func(path string, h http.HandlerFunc) tamper { return at(path, h) }
	var all []neighbour
	for _, status := range []int{200, 400, 401, 403, 406, 413, 415, 429} {
		e := answer(status, "application/json", `{"error":"invalid_request"}`)
		all = append(all,
			neighbour{name: fmt.Sprintf("JSON at the token endpoint, %d", status), base: rootBase, config: tokenOnly, tamper: at("/auth/token", e)},
			neighbour{name: fmt.Sprintf("problem details at the JMAP API, %d", status), base: rootBase, config: jmapOnly, check: token, tamper: at("/jmap/", answer(status, "application/problem+json", `{"type":"about:blank"}`))})
	}
	all = append(all,
		neighbour{name: "a challenge without a body", base: rootBase, config: oauthOnly, tamper: at("/auth/introspect", answer(401, "text/plain", "", "WWW-Authenticate", `Basic realm="clients"`))},
		neighbour{name: "a rate limit without a page", base: rootBase, config: oauthOnly, tamper: at("/auth/token", answer(429, "text/plain", "slow down", "Retry-After", "5"))},
		neighbour{name: "registration that requires JSON", base: rootBase, config: oauthOnly, tamper: at("/auth/register", answer(415, "text/plain", ""))},
		neighbour{name: "registration that is closed", base: rootBase, config: oauthOnly, tamper: at("/auth/register", answer(403, "text/plain", "closed"))},
		neighbour{name: "an API that requires JSON", base: rootBase, config: jmapOnly, check: token, tamper: at("/jmap/", answer(415, "text/plain", "JSON"))},
		neighbour{name: "revocation of nothing", base: rootBase, config: func(c *discovery.Config) {
			*c = discovery.Config{Base: c.Base, OAuth: &discovery.OAuth{RevocationPath: "/auth/revoke"}}
		}, tamper: at("/auth/revoke", answer(200, "text/plain", ""))},
		neighbour{name: "userinfo with a page under its Bearer challenge", base: rootBase, config: openIDOnly, tamper: at("/auth/userinfo", answer(401, "text/html", "<html>401", "WWW-Authenticate", `Bearer realm="x"`))},
		neighbour{name: "userinfo that forbids", base: rootBase, config: openIDOnly, tamper: at("/auth/userinfo", answer(403, "text/plain", "", "WWW-Authenticate", `Bearer error="insufficient_scope"`))},
		neighbour{name: "userinfo as a JWT", base: rootBase, config: openIDOnly, tamper: at("/auth/userinfo", answer(200, "application/jwt", "e30.e30."))},
	)
	requireClean(t, all)
}
