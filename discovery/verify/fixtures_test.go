package verify

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

const (
	rootBase = "https://example.com"
	portBase = "https://example.com:8443"
	pathBase = "https://example.com/mail"
	bothBase = "https://example.com:8443/mail"

	oauthAtRoot  = "/.well-known/oauth-authorization-server"
	oauthAtPath  = "/.well-known/oauth-authorization-server/mail"
	openIDAtRoot = "/.well-known/openid-configuration"
	openIDAtPath = "/mail/.well-known/openid-configuration"
)

// If a fixture would break two documents, its server has only one of them.
func oauthOnly(c *discovery.Config) { *c = discovery.Config{Base: c.Base, OAuth: c.OAuth} }
func openIDOnly(c *discovery.Config) {
	*c = discovery.Config{Base: c.Base, OAuth: c.OAuth, OpenID: c.OpenID}
}
func jmapOnly(c *discovery.Config) { *c = discovery.Config{Base: c.Base, OAuth: c.OAuth, JMAP: c.JMAP} }
func davOnly(c *discovery.Config)  { *c = discovery.Config{Base: c.Base, OAuth: c.OAuth, DAV: c.DAV} }

// A fixture is a correct server with one fault. Run reports only that fault, with these key
// phrases.
type fixture struct {
	name     string
	base     string
	config   func(*discovery.Config)
	tamper   tamper
	check    Config
	rule     string
	document discovery.Document
	mistake  Mistake
	field    string
	got      string
	hint     string
}

func verifyFixtures() []fixture {
	token := Config{Bearer: verifyToken}
	domain := Config{MailDomains: []string{"example.com"}}
	const session, sessionAtPath = "/jmap/session", "/mail/jmap/session"
	return []fixture{
		// URLs.
		{name: "a URL at another host", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, rootBase+"/auth/token", "https://other.example/auth/token"),
			rule: ruleOutside, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "token_endpoint", got: "https://other.example/auth/token", hint: "the host is not the one"},
		{name: "a URL at the proxy's side", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, rootBase+"/", "https://10.0.0.5:8080/"),
			rule: ruleOutside, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "authorization_endpoint, device_authorization_endpoint, introspection_endpoint, jwks_uri, registration_endpoint, token_endpoint", got: "https://10.0.0.5:8080/login", hint: "on the proxy's side"},
		{name: "a URL that has lost the path", base: pathBase, config: oauthOnly, tamper: replaced(oauthAtPath, pathBase+"/login", rootBase+"/login"),
			rule: ruleOutside, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "authorization_endpoint", got: rootBase + "/login", hint: "the path of the base is lost: the proxy strips /mail"},
		{name: "a URL that has lost the port", base: portBase, config: oauthOnly, tamper: replaced(oauthAtRoot, portBase+"/login", rootBase+"/login"),
			rule: ruleOutside, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "authorization_endpoint", got: rootBase + "/login", hint: "the port is not the one"},
		{name: "a URL with the server's own port", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, rootBase+"/login", "https://example.com:8080/login"),
			rule: ruleOutside, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "authorization_endpoint", got: "https://example.com:8080/login", hint: "the port is not the one"},
		{name: "the default port in a URL", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, rootBase+"/login", "https://example.com:443/login"),
			rule: ruleDefaultPort, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "authorization_endpoint", got: "https://example.com:443/login", hint: "leave the default port out"},
		{name: "http for https", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, rootBase+"/login", "http://example.com/login"),
			rule: ruleHTTP, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "authorization_endpoint", got: "http://example.com/login", hint: "takes the connection from the proxy for the client's"},
		{name: "http and the server's own port for https", base: bothBase, config: oauthOnly, tamper: replaced(oauthAtPath, bothBase+"/login", "http://example.com:8080/login"),
			rule: ruleHTTP, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "authorization_endpoint", got: "http://example.com:8080/login", hint: "takes the connection"},
		{name: "user information in a URL", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, rootBase+"/login", "https://jane@example.com/login"),
			rule: ruleOutside, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "authorization_endpoint", got: "https://jane@example.com/login", hint: "user information"},
		{name: "an endpoint that is not a URL", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, rootBase+"/login", "login"),
			rule: ruleOutside, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "authorization_endpoint", got: "login", hint: "absolute URL"},
		{name: "a URL that is a number", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, `"`+rootBase+`/login"`, "5"),
			rule: ruleMalformed, document: discovery.OAuthDocument, field: "authorization_endpoint", got: "5", hint: "must be a string"},

		// Issuers.
		{name: "an issuer with the default port", base: rootBase, config: openIDOnly, tamper: replaced(openIDAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"https://example.com:443"`),
			rule: ruleDefaultPort, document: discovery.OpenIDDocument, mistake: MistakePublicURL, field: "issuer", got: "https://example.com:443", hint: "leave the default port out"},
		{name: "an issuer at another port", base: rootBase, config: openIDOnly, tamper: replaced(openIDAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"https://example.com:8443"`),
			rule: ruleIssuer, document: discovery.OpenIDDocument, mistake: MistakePublicURL, field: "issuer", got: "https://example.com:8443", hint: "the port is not the one"},
		{name: "an issuer without the port", base: bothBase, config: openIDOnly, tamper: replaced(openIDAtPath, `"issuer":"`+bothBase+`"`, `"issuer":"`+pathBase+`"`),
			rule: ruleIssuer, document: discovery.OpenIDDocument, mistake: MistakePublicURL, field: "issuer", got: pathBase, hint: "the port is not the one"},
		{name: "an issuer with a slash", base: rootBase, config: openIDOnly, tamper: replaced(openIDAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"`+rootBase+`/"`),
			rule: ruleIssuer, document: discovery.OpenIDDocument, mistake: MistakePublicURL, field: "issuer", got: rootBase + "/", hint: "a slash at the end"},
		{name: "an issuer in capitals", base: pathBase, config: openIDOnly, tamper: replaced(openIDAtPath, `"issuer":"`+pathBase+`"`, `"issuer":"https://Example.com/Mail"`),
			rule: ruleIssuer, document: discovery.OpenIDDocument, mistake: MistakePublicURL, field: "issuer", got: "https://Example.com/Mail", hint: "capitals"},
		{name: "an issuer without the path", base: pathBase, config: openIDOnly, tamper: replaced(openIDAtPath, `"issuer":"`+pathBase+`"`, `"issuer":"`+rootBase+`"`),
			rule: ruleIssuer, document: discovery.OpenIDDocument, mistake: MistakePublicURL, field: "issuer", got: rootBase, hint: "the path of the base is lost"},
		{name: "an issuer on http", base: rootBase, config: openIDOnly, tamper: replaced(openIDAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"http://example.com"`),
			rule: ruleHTTP, document: discovery.OpenIDDocument, mistake: MistakePublicURL, field: "issuer", got: "http://example.com", hint: "takes the connection"},
		{name: "no issuer", base: rootBase, config: openIDOnly, tamper: replaced(openIDAtRoot, `"issuer":"`+rootBase+`",`, ""),
			rule: ruleMalformed, document: discovery.OpenIDDocument, field: "issuer", got: "no such string", hint: "RFC 8414"},

		// Answers that are not documents.
		{name: "a page for the metadata", base: rootBase, config: oauthOnly, tamper: at(oauthAtRoot, spa),
			rule: ruleHTML, document: discovery.OAuthDocument, mistake: MistakeWellKnown, got: "a web page", hint: "not routed to the server"},
		{name: "a page below the base", base: pathBase, config: openIDOnly, tamper: at(openIDAtPath, spa),
			rule: ruleHTML, document: discovery.OpenIDDocument, mistake: MistakePrefix, got: "a web page", hint: "not routed to the server"},
		{name: "a page for the entry of JMAP", base: rootBase, config: jmapOnly, tamper: at("/.well-known/jmap", spa),
			rule: ruleHTML, document: discovery.JMAPDocument, mistake: MistakeWellKnown, got: "a web page", hint: "not routed to the server"},
		{name: "a page for the entry of DAV", base: pathBase, config: davOnly, tamper: at("/.well-known/carddav", spa),
			rule: ruleHTML, document: discovery.DAVDocument, mistake: MistakeWellKnown, got: "a web page", hint: "not routed to the server"},
		{name: "the inserted well-known is missing", base: pathBase, tamper: at(oauthAtPath, http.NotFound),
			rule: ruleMissing, document: discovery.OAuthDocument, mistake: MistakeWellKnown, got: "404", hint: "does not route this location"},
		{name: "the inserted well-known is missing, and its alias", base: pathBase, config: openIDOnly, tamper: func(next http.Handler) http.Handler {
			return at("/mail"+oauthAtRoot, http.NotFound)(at(oauthAtPath, http.NotFound)(next))
		},
			rule: ruleMissing, document: discovery.OAuthDocument, mistake: MistakeWellKnown, got: "404", hint: "clients of OAuth look here"},
		{name: "the resource's well-known is missing", base: pathBase, tamper: at("/.well-known/oauth-protected-resource/mail", http.NotFound),
			rule: ruleMissing, document: discovery.BaseResource, mistake: MistakeWellKnown, got: "404", hint: "does not route this location"},
		{name: "OpenID's document is missing", base: rootBase, config: openIDOnly, tamper: at(openIDAtRoot, http.NotFound),
			rule: ruleMissing, document: discovery.OpenIDDocument, got: "404", hint: "refers to it"},
		{name: "the entry of JMAP is missing at a path", base: pathBase, tamper: at("/.well-known/jmap", http.NotFound),
			rule: ruleMissing, document: discovery.JMAPDocument, mistake: MistakeWellKnown, got: "404", hint: "does not route this location"},
		{name: "the entry of JMAP is missing at the root", base: rootBase, config: jmapOnly, tamper: at("/.well-known/jmap", http.NotFound),
			rule: ruleMissing, document: discovery.JMAPDocument, mistake: MistakeWellKnown, got: "404", hint: "something else answers here"},
		{name: "the entry of CalDAV is missing at a path", base: pathBase, config: davOnly, tamper: at("/.well-known/caldav", http.NotFound),
			rule: ruleMissing, document: discovery.DAVDocument, mistake: MistakeWellKnown, got: "404", hint: "does not route this location"},
		{name: "the entry of CalDAV is missing at the root", base: rootBase, config: davOnly, tamper: at("/.well-known/caldav", http.NotFound),
			rule: ruleMissing, document: discovery.DAVDocument, mistake: MistakeWellKnown, got: "404", hint: "something else answers here"},
		{name: "an expected document is missing", base: rootBase, config: oauthOnly, check: Config{Expected: []discovery.Document{discovery.JMAPDocument}},
			rule: ruleMissing, document: discovery.JMAPDocument, got: "404", hint: "is expected"},
		{name: "nothing at all", base: pathBase, tamper: func(http.Handler) http.Handler { return http.NotFoundHandler() },
			rule: ruleNothing, document: "config", mistake: MistakePrefix, got: "404 for every document", hint: "routes nothing"},
		{name: "documents without their type", base: rootBase, config: oauthOnly, tamper: withHeader(oauthAtRoot, "Content-Type", "text/plain"),
			rule: ruleContentType, document: discovery.OAuthDocument, got: "text/plain", hint: "Content-Type"},
		{name: "a document that is cut", base: rootBase, config: oauthOnly, tamper: changed(oauthAtRoot, func(_ http.Header, body string) string { return body[:len(body)-1] }),
			rule: ruleMalformed, document: discovery.OAuthDocument, mistake: MistakeBody, got: `{"issuer":`, hint: "JSON object"},
		{name: "a document that is null", base: rootBase, config: oauthOnly, tamper: at(oauthAtRoot, body("application/json", "null")),
			rule: ruleMalformed, document: discovery.OAuthDocument, mistake: MistakeBody, got: "null", hint: "JSON object"},
		{name: "a password before documents", base: rootBase, config: oauthOnly, tamper: at(oauthAtRoot, status(401)),
			rule: ruleStatus, document: discovery.OAuthDocument, mistake: MistakeAccess, got: "401", hint: "without a password"},
		{name: "paths with a dot denied", base: rootBase, config: davOnly, tamper: at("/.well-known/caldav", status(403)),
			rule: ruleStatus, document: discovery.DAVDocument, mistake: MistakeAccess, got: "403", hint: "begin with a dot"},
		{name: "a backend that is down", base: rootBase, config: jmapOnly, tamper: at("/.well-known/jmap", status(502)),
			rule: ruleStatus, document: discovery.JMAPDocument, mistake: MistakeBackend, got: "502", hint: "does not reach the server"},
		{name: "an error of the server", base: rootBase, config: oauthOnly, tamper: at(oauthAtRoot, status(500)),
			rule: ruleStatus, document: discovery.OAuthDocument, got: "500", hint: "logs"},
		{name: "a document over its limit", base: rootBase, config: oauthOnly, tamper: changed(oauthAtRoot, func(_ http.Header, body string) string { return body + strings.Repeat(" ", 1<<20) }),
			rule: ruleTooLarge, document: discovery.OAuthDocument, got: "more", hint: "clients limit"},
		{name: "a connection that breaks off", base: rootBase, config: oauthOnly, tamper: at(oauthAtRoot, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }),
			rule: ruleUnreachable, document: discovery.OAuthDocument, mistake: MistakeBackend, got: "EOF", hint: "broke off"},

		// Redirects.
		{name: "a redirect that drops the path", base: pathBase, config: openIDOnly, tamper: at(openIDAtPath, redirectTo(openIDAtRoot)),
			rule: ruleRedirectPrefix, document: discovery.OpenIDDocument, mistake: MistakeRedirect, got: openIDAtRoot, hint: "not mounted on /mail"},
		{name: "a redirect of JMAP that drops the path", base: pathBase, config: jmapOnly, tamper: at("/.well-known/jmap", redirectTo("/jmap/session")),
			rule: ruleRedirectPrefix, document: discovery.JMAPDocument, mistake: MistakeRedirect, got: "/jmap/session", hint: "not mounted on /mail"},
		{name: "a redirect of DAV that drops the path", base: pathBase, config: davOnly, tamper: at("/.well-known/caldav", redirectTo(rootBase+"/dav/cal/")),
			rule: ruleRedirectPrefix, document: discovery.DAVDocument, mistake: MistakeRedirect, got: rootBase + "/dav/cal/", hint: "not mounted on /mail"},
		{name: "a redirect that drops the port", base: portBase, config: jmapOnly, tamper: at("/.well-known/jmap", redirectTo(rootBase+"/jmap/session")),
			rule: ruleRedirectPort, document: discovery.JMAPDocument, mistake: MistakeRedirect, got: rootBase + "/jmap/session", hint: "another port"},
		{name: "a redirect to http", base: rootBase, config: jmapOnly, tamper: at("/.well-known/jmap", redirectTo("http://example.com/jmap/session")),
			rule: ruleHTTP, document: discovery.JMAPDocument, mistake: MistakeRedirect, got: "http://example.com/jmap/session", hint: "leads to http"},
		{name: "a redirect of a document off the origin", base: rootBase, config: oauthOnly, tamper: at(oauthAtRoot, redirectTo("https://other.example/metadata")),
			rule: ruleRedirectOrigin, document: discovery.OAuthDocument, mistake: MistakeRedirect, got: "https://other.example/metadata", hint: "another host"},
		{name: "a redirect of DAV to the proxy's side", base: rootBase, config: davOnly, tamper: at("/.well-known/caldav", redirectTo("http://localhost:8080/dav/cal/")),
			rule: ruleRedirectOrigin, document: discovery.DAVDocument, mistake: MistakeRedirect, got: "http://localhost:8080/dav/cal/", hint: "proxy's side"},
		{name: "a redirect of PROPFIND alone", base: pathBase, config: davOnly, tamper: at("/.well-known/caldav", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "PROPFIND" {
				redirectTo("/dav/cal/")(w, r)
			} else {
				redirectTo("/mail/dav/cal/")(w, r)
			}
		}),
			rule: ruleRedirectPrefix, document: discovery.DAVDocument, mistake: MistakeRedirect, got: "/dav/cal/", hint: "not mounted on /mail"},
		{name: "a document at the end of a redirect", base: rootBase, config: oauthOnly, tamper: func(next http.Handler) http.Handler {
			return at(oauthAtRoot, redirectTo("/metadata"))(at("/metadata", func(w http.ResponseWriter, r *http.Request) {
				r.URL.Path = oauthAtRoot
				next.ServeHTTP(w, r)
			})(next))
		},
			rule: ruleRedirect, document: discovery.OAuthDocument, mistake: MistakeRedirect, got: "/metadata", hint: "do not follow redirects"},
		{name: "redirects in a circle", base: rootBase, config: jmapOnly, tamper: at("/jmap/session", redirectTo("/.well-known/jmap")),
			rule: ruleRedirect, document: discovery.JMAPDocument, mistake: MistakeRedirect, got: "/.well-known/jmap", hint: "in a circle"},

		// Relative documents.
		{name: "a server in bootstrap", base: rootBase, config: oauthOnly, tamper: at(oauthAtRoot, body("application/json", `{"issuer":"","token_endpoint":"/auth/token"}`)),
			rule: ruleRelative, document: discovery.OAuthDocument, mistake: MistakePublicURL, field: "issuer, token_endpoint", hint: "no public URL yet"},
		{name: "relative documents behind a cache", base: rootBase, config: oauthOnly, tamper: func(next http.Handler) http.Handler {
			return at(oauthAtRoot, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery == "" {
					body("application/json", `{"issuer":"","token_endpoint":"/auth/token"}`)(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})(next)
		},
			rule: ruleRelative, document: discovery.OAuthDocument, mistake: MistakeCache, field: "issuer, token_endpoint", hint: "a cache has kept"},
		{name: "a relative challenge", base: rootBase, config: jmapOnly, tamper: withHeader(session, "WWW-Authenticate", `Bearer realm="/", resource_metadata="/.well-known/oauth-protected-resource"`),
			rule: ruleRelative, document: discovery.JMAPDocument, mistake: MistakePublicURL, field: "resource_metadata", got: "/.well-known/oauth-protected-resource", hint: "no public URL yet"},

		// Endpoints.
		{name: "no JWKS", base: rootBase, config: openIDOnly, tamper: at("/auth/jwks.json", http.NotFound),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "jwks_uri", got: "Not Found", hint: "no endpoint answers"},
		{name: "no JMAP session", base: rootBase, config: jmapOnly, tamper: at("/jmap/session", http.NotFound),
			rule: ruleEndpoint, document: discovery.JMAPDocument, got: "404", hint: "or make the server answer there"},
		{name: "a page for the JWKS", base: rootBase, config: openIDOnly, tamper: at("/auth/jwks.json", spa),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "jwks_uri", got: "<!DOCTYPE html>", hint: "cannot verify"},
		{name: "a JWKS without keys", base: rootBase, config: openIDOnly, tamper: at("/auth/jwks.json", body("application/json", `{"keys":[]}`)),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "jwks_uri", got: `{"keys":[]}`, hint: "there is no key"},
		{name: "a JWKS that redirects", base: rootBase, config: openIDOnly, tamper: at("/auth/jwks.json", redirectTo("https://other.example/jwks")),
			rule: ruleRedirectOrigin, document: discovery.OAuthDocument, mistake: MistakeRedirect, got: "https://other.example/jwks", hint: "another host"},
		{name: "a JWKS that hangs up", base: rootBase, config: openIDOnly, tamper: at("/auth/jwks.json", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }),
			rule: ruleUnreachable, document: discovery.OAuthDocument, mistake: MistakeBackend, got: "EOF", hint: "broke off"},
		{name: "an endpoint that fails", base: rootBase, config: oauthOnly, tamper: at("/auth/token", status(500)),
			rule: ruleStatus, document: discovery.OAuthDocument, field: "token_endpoint", got: "500 Internal Server Error", hint: "without parameters"},
		{name: "an endpoint that fails with a status of the proxy's own", base: rootBase, config: oauthOnly, tamper: at("/auth/token", status(520)),
			rule: ruleStatus, document: discovery.OAuthDocument, field: "token_endpoint", got: "520", hint: "without parameters"},
		{name: "userinfo that is a page", base: rootBase, config: openIDOnly, tamper: at("/auth/userinfo", spa),
			rule: ruleHTML, document: discovery.OpenIDDocument, mistake: MistakeWellKnown, got: "a web page", hint: "not routed"},
		{name: "/api/discover on http", base: rootBase, tamper: replaced("/api/discover", `"issuer":"`+rootBase+`"`, `"issuer":"http://example.com"`),
			rule: ruleHTTP, document: discovery.WebUIDocument, mistake: MistakePublicURL, field: "issuer", got: "http://example.com", hint: "takes the connection"},
		{name: "no token endpoint", base: pathBase, config: oauthOnly, tamper: at("/mail/auth/token", http.NotFound),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "token_endpoint", got: "Not Found", hint: "the server answers below /mail, but not here"},
		{name: "a server that is published with a path", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"`+pathBase+`"`),
			rule: ruleIssuer, document: discovery.OAuthDocument, mistake: MistakeBase, field: "issuer", got: pathBase, hint: "published with a path"},
		{name: "a page for the token endpoint", base: rootBase, config: oauthOnly, tamper: at("/auth/token", spa),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "token_endpoint", got: "<!DOCTYPE html>", hint: "something else answers"},
		{name: "a token endpoint that takes no POST", base: rootBase, config: oauthOnly, tamper: at("/auth/token", status(405)),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "token_endpoint", got: "Method Not Allowed", hint: "the method is blocked"},
		{name: "a token endpoint that redirects", base: rootBase, config: oauthOnly, tamper: at("/auth/token", redirectTo("/auth/token/")),
			rule: ruleRedirect, document: discovery.OAuthDocument, mistake: MistakeRedirect, got: "/auth/token/", hint: "do not follow"},
		{name: "no userinfo endpoint", base: rootBase, config: openIDOnly, tamper: at("/auth/userinfo", http.NotFound),
			rule: ruleEndpoint, document: discovery.OpenIDDocument, field: "userinfo_endpoint", got: "Not Found", hint: "no endpoint answers"},
		{name: "a sign-in page that redirects to the proxy's side", base: pathBase, config: oauthOnly, tamper: at("/mail/login", redirectTo("http://127.0.0.1:8080/login/")),
			rule: ruleRedirectOrigin, document: discovery.OAuthDocument, mistake: MistakeRedirect, got: "http://127.0.0.1:8080/login/", hint: "proxy's side"},
		{name: "a sign-in page that redirects out of the base", base: pathBase, config: oauthOnly, tamper: at("/mail/login", redirectTo("/login/")),
			rule: ruleRedirectPrefix, document: discovery.OAuthDocument, mistake: MistakeRedirect, got: "/login/", hint: "not mounted on /mail"},
		{name: "a refused token", base: rootBase, config: openIDOnly, tamper: at("/auth/userinfo", answer(401, "text/plain", "")), check: token,
			rule: ruleToken, document: discovery.OpenIDDocument, mistake: MistakeAuthorization, got: "401", hint: "removes Authorization"},
		{name: "no collection", base: rootBase, config: davOnly, tamper: at("/dav/cal/", http.NotFound),
			rule: ruleEndpoint, document: discovery.DAVDocument, got: "Not Found", hint: "leads here"},
		{name: "a proxy that lets only GET pass", base: rootBase, config: davOnly, tamper: at("/.well-known/carddav", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "PROPFIND" {
				status(405)(w, r)
				return
			}
			redirectTo("/dav/card/")(w, r)
		}),
			rule: ruleMethod, document: discovery.DAVDocument, mistake: MistakeMethod, got: "Method Not Allowed", hint: "begin with PROPFIND"},

		// The JMAP session and its challenge.
		{name: "no session", base: pathBase, config: jmapOnly, tamper: at(sessionAtPath, http.NotFound),
			rule: ruleEndpoint, document: discovery.JMAPDocument, got: "404", hint: "leads here"},
		{name: "a challenge that is removed", base: rootBase, config: jmapOnly, tamper: withHeader(session, "WWW-Authenticate"),
			rule: ruleChallenge, document: discovery.JMAPDocument, mistake: MistakeAuthorization, field: "WWW-Authenticate", hint: "let the proxy pass it on"},
		{name: "a challenge at another host", base: rootBase, config: jmapOnly, tamper: withHeader(session, "WWW-Authenticate", `Basic realm="a, b", Bearer realm="x", resource_metadata="https://backend.internal/.well-known/oauth-protected-resource"`),
			rule: ruleChallenge, document: discovery.JMAPDocument, mistake: MistakePublicURL, field: "resource_metadata", got: "https://backend.internal/.well-known/oauth-protected-resource", hint: "proxy's side"},
		{name: "a challenge on http", base: rootBase, config: jmapOnly, tamper: withHeader(session, "WWW-Authenticate", `Bearer resource_metadata=http://example.com/.well-known/oauth-protected-resource`),
			rule: ruleHTTP, document: discovery.JMAPDocument, mistake: MistakePublicURL, field: "resource_metadata", got: "http://example.com/.well-known/oauth-protected-resource", hint: "takes the connection"},
		{name: "a challenge whose metadata is for another resource", base: rootBase, config: jmapOnly, tamper: withHeader(session, "WWW-Authenticate", `Bearer resource_metadata="https://example.com/.well-known/oauth-protected-resource"`),
			rule: ruleResource, document: discovery.ResourceDocument("/jmap/session"), field: "resource", got: rootBase, hint: "publish a document for each resource"},
		{name: "a challenge whose metadata is missing", base: pathBase, config: jmapOnly, tamper: at("/.well-known/oauth-protected-resource/mail/jmap/session", http.NotFound),
			rule: ruleMissing, document: discovery.ResourceDocument("/jmap/session"), mistake: MistakeWellKnown, got: "404", hint: "does not route this location"},
		{name: "a resource with a slash", base: rootBase, config: oauthOnly, tamper: replaced("/.well-known/oauth-protected-resource", `"resource":"`+rootBase+`"`, `"resource":"`+rootBase+`/"`),
			rule: ruleResource, document: discovery.BaseResource, mistake: MistakePublicURL, field: "resource", got: rootBase + "/", hint: "slash at the end"},
		{name: "a resource on http", base: rootBase, config: oauthOnly, tamper: replaced("/.well-known/oauth-protected-resource", `"resource":"`+rootBase+`"`, `"resource":"http://example.com"`),
			rule: ruleResource, document: discovery.BaseResource, mistake: MistakePublicURL, field: "resource", got: "http://example.com", hint: "clients refuse"},
		{name: "a resource whose authorization server is misspelt", base: rootBase, config: oauthOnly, tamper: replaced("/.well-known/oauth-protected-resource", `["`+rootBase+`"]`, `["`+rootBase+`/"]`),
			rule: ruleIssuer, document: discovery.BaseResource, mistake: MistakePublicURL, field: "authorization_servers", got: rootBase + "/", hint: "a slash at the end"},
		{name: "a session that a cache may keep", base: rootBase, config: jmapOnly, tamper: withHeader(session, "Cache-Control", "private"), check: token,
			rule: ruleSessionCache, document: discovery.JMAPDocument, mistake: MistakeCache, field: "Cache-Control", got: "private", hint: "one user's session"},
		{name: "an escaped template", base: rootBase, config: jmapOnly, tamper: changed(session, func(_ http.Header, body string) string {
			return strings.NewReplacer("{accountId}/{blobId}", "%7BaccountId%7D/%7BblobId%7D").Replace(body)
		}), check: token,
			rule: ruleTemplate, document: discovery.JMAPDocument, mistake: MistakeBody, field: "downloadUrl", got: "%7BaccountId%7D", hint: "are escaped"},
		{name: "a template without a variable", base: rootBase, config: jmapOnly, tamper: replaced(session, "{accountId}", "me"), check: token,
			rule: ruleTemplate, document: discovery.JMAPDocument, field: "downloadUrl, uploadUrl", got: "/jmap/download/me/", hint: "variable is missing"},
		{name: "ws for wss", base: rootBase, config: jmapOnly, tamper: replaced(session, "wss://", "ws://"), check: token,
			rule: ruleWS, document: discovery.JMAPDocument, mistake: MistakePublicURL, field: webSocketCapability, got: "ws://example.com/jmap/ws", hint: "may open wss only"},
		{name: "https for wss", base: rootBase, config: jmapOnly, tamper: replaced(session, "wss://", "https://"), check: token,
			rule: ruleWS, document: discovery.JMAPDocument, mistake: MistakePublicURL, field: webSocketCapability, got: "https://example.com/jmap/ws", hint: "begins with wss"},
		{name: "a web socket without the path", base: pathBase, config: jmapOnly, tamper: replaced(sessionAtPath, "wss://example.com/mail", "wss://example.com"), check: token,
			rule: ruleWS, document: discovery.JMAPDocument, mistake: MistakePublicURL, field: webSocketCapability, got: "wss://example.com/jmap/ws", hint: "path of the base is lost"},
		{name: "a session URL on http", base: rootBase, config: jmapOnly, tamper: replaced(session, rootBase+"/jmap/upload", "http://example.com/jmap/upload"), check: token,
			rule: ruleHTTP, document: discovery.JMAPDocument, mistake: MistakePublicURL, field: "uploadUrl", got: "http://example.com/jmap/upload/{accountId}/", hint: "takes the connection"},
		{name: "a session without a member", base: rootBase, config: jmapOnly, tamper: replaced(session, "uploadUrl", "uploadurl"), check: token,
			rule: ruleMalformed, document: discovery.JMAPDocument, field: "uploadUrl", got: "no such string", hint: "RFC 8620"},
		{name: "no API", base: rootBase, config: jmapOnly, tamper: at("/jmap/", http.NotFound), check: token,
			rule: ruleEndpoint, document: discovery.JMAPDocument, field: "apiUrl", got: "Not Found", hint: "no endpoint answers"},

		// CORS.
		{name: "no CORS", base: rootBase, config: oauthOnly, tamper: withHeader(oauthAtRoot, "Access-Control-Allow-Origin"),
			rule: ruleCORS, document: discovery.OAuthDocument, mistake: MistakeCORS, field: "Access-Control-Allow-Origin", hint: "pass on the field"},
		{name: "CORS twice", base: rootBase, config: oauthOnly, tamper: withHeader(oauthAtRoot, "Access-Control-Allow-Origin", "*", "*"),
			rule: ruleCORS, document: discovery.OAuthDocument, mistake: MistakeCORS, field: "Access-Control-Allow-Origin", got: "*, *", hint: "adds its own"},
		{name: "a preflight that wants a password", base: rootBase, config: jmapOnly, tamper: at(session, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("WWW-Authenticate", `Bearer realm="x"`)
			w.WriteHeader(401)
		}),
			rule: ruleCORS, document: discovery.JMAPDocument, mistake: MistakeCORS, field: "Access-Control-Allow-Headers", got: "Unauthorized to OPTIONS", hint: "let OPTIONS pass"},

		// Mail.
		{name: "autoconfig that is cut", base: rootBase, tamper: changed("/mail/config-v1.1.xml", func(_ http.Header, body string) string { return body[:len(body)/2] }), check: domain,
			rule: ruleMalformed, document: discovery.AutoconfigDocument("example.com"), mistake: MistakeBody, got: "<?xml", hint: "mail clients cannot read"},
		{name: "autoconfig with a URL on http", base: rootBase, tamper: replaced("/mail/config-v1.1.xml", rootBase+"/dav/cal/", "http://example.com/dav/cal/"), check: domain,
			rule: ruleHTTP, document: discovery.AutoconfigDocument("example.com"), mistake: MistakePublicURL, field: "url", got: "http://example.com/dav/cal/", hint: "takes the connection"},
		{name: "autoconfig with another issuer", base: rootBase, tamper: replaced("/mail/config-v1.1.xml", "<issuer>"+rootBase, "<issuer>"+rootBase+"/"), check: domain,
			rule: ruleIssuer, document: discovery.AutoconfigDocument("example.com"), mistake: MistakePublicURL, field: "issuer", got: rootBase + "/", hint: "a slash"},
		{name: "an array as user-agent configuration", base: rootBase, tamper: at(userAgentPath, body("application/json", "[]")),
			rule: ruleMalformed, document: discovery.UserAgentDocument, mistake: MistakeBody, got: "[]", hint: "mail clients cannot read"},
		{name: "a user-agent configuration with a lost path", base: pathBase, tamper: replaced(userAgentPath, pathBase+"/jmap", rootBase+"/jmap"),
			rule: ruleOutside, document: discovery.UserAgentDocument, mistake: MistakePublicURL, field: "jmap", got: rootBase + "/jmap/session", hint: "path of the base is lost"},
		{name: "a policy that redirects", base: rootBase, tamper: at(mtaSTSPath, redirectTo("https://example.com/.well-known/mta-sts.txt")), check: domain,
			rule: ruleRedirect, document: discovery.MTASTSDocument, mistake: MistakeRedirect, got: "https://example.com/.well-known/mta-sts.txt", hint: "RFC 8461 section 3.3"},
		// Cases of a security review.
		{name: "another protocol for a document", base: rootBase, config: oauthOnly, tamper: at(oauthAtRoot, switching),
			rule: ruleStatus, document: discovery.OAuthDocument, got: "101", hint: "only with status 200"},
		{name: "header fields without end", base: rootBase, config: oauthOnly, tamper: withHeader(oauthAtRoot, "X-Padding", strings.Repeat("x", maxHeaderBytes)),
			rule: ruleTooLarge, document: discovery.OAuthDocument, got: "more", hint: "clients limit"},
		{name: "authorization servers that are not a list", base: rootBase, config: oauthOnly, tamper: replaced("/.well-known/oauth-protected-resource", `["`+rootBase+`"]`, `"`+rootBase+`"`),
			rule: ruleMalformed, document: discovery.BaseResource, field: "authorization_servers", got: rootBase, hint: "a list of strings"},
		{name: "keys at the sign-in", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, rootBase+"/auth/jwks.json", rootBase+"/login"),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "jwks_uri", got: "<!doctype html>", hint: "something else answers"},
		{name: "a preflight without an origin", base: rootBase, config: jmapOnly, tamper: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodOptions {
					w.Header().Set("Access-Control-Allow-Headers", "authorization")
					w.WriteHeader(http.StatusNoContent)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
			rule: ruleCORS, document: discovery.JMAPDocument, mistake: MistakeCORS, field: "Access-Control-Allow-Origin", hint: "cannot read"},
		{name: "a sign-in that takes no GET", base: rootBase, config: oauthOnly, tamper: at("/login", status(405)),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "authorization_endpoint", got: "Method Not Allowed", hint: "with GET"},
		{name: "a sign-in that leads to itself", base: rootBase, config: oauthOnly, tamper: at("/login", redirectTo("/login")),
			rule: ruleRedirect, document: discovery.OAuthDocument, mistake: MistakeRedirect, got: "/login", hint: "do not follow"},
		{name: "keys by another name", base: rootBase, config: oauthOnly, tamper: at("/auth/jwks.json", body("application/json", `{"KEYS":[{"kty":"RSA"}]}`)),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "jwks_uri", got: `{"KEYS"`, hint: "something else answers"},
		{name: "null as a key", base: rootBase, config: oauthOnly, tamper: at("/auth/jwks.json", body("application/json", `{"keys":[null]}`)),
			rule: ruleEndpoint, document: discovery.OAuthDocument, field: "jwks_uri", got: `{"keys":[null]}`, hint: "a kty"},
		{name: "a web socket capability that is a list", base: rootBase, config: jmapOnly, tamper: changed(session, func(_ http.Header, body string) string {
			return regexp.MustCompile(`("urn:ietf:params:jmap:websocket"):(\{[^}]*\})`).ReplaceAllString(body, "$1:[$2]")
		}), check: token,
			rule: ruleMalformed, document: discovery.JMAPDocument, field: webSocketCapability, got: "no such string", hint: "RFC 8887"},
		{name: "a session behind a redirect that loses the path", base: pathBase, config: jmapOnly, tamper: at(sessionAtPath, redirectTo("/jmap/session")),
			rule: ruleRedirectPrefix, document: discovery.JMAPDocument, mistake: MistakeRedirect, got: "/jmap/session", hint: "not mounted on /mail"},
		{name: "calendars at a web page", base: rootBase, config: davOnly, tamper: at("/dav/cal/", spa),
			rule: ruleHTML, document: discovery.DAVDocument, mistake: MistakeWellKnown, got: "a web page", hint: "catch-all"},
		{name: "calendars that redirect to http", base: rootBase, config: davOnly, tamper: at("/dav/cal/", redirectTo("http://example.com/dav/cal/")),
			rule: ruleHTTP, document: discovery.DAVDocument, mistake: MistakeRedirect, got: "http://example.com/dav/cal/", hint: "leads to http"},
		{name: "calendars that redirect to themselves", base: rootBase, config: davOnly, tamper: at("/dav/cal/", redirectTo("/dav/cal/")),
			rule: ruleRedirect, document: discovery.DAVDocument, mistake: MistakeRedirect, got: "/dav/cal/", hint: "do not follow"},
		{name: "calendars that refuse everybody", base: rootBase, config: davOnly, tamper: at("/dav/cal/", status(403)),
			rule: ruleMethod, document: discovery.DAVDocument, mistake: MistakeMethod, got: "Forbidden", hint: "every method"},
		{name: "a policy without a version", base: rootBase, tamper: at(mtaSTSPath, body("text/plain", "mode: testing\r\nmax_age: 86400\r\n")), check: domain,
			rule: ruleMalformed, document: discovery.MTASTSDocument, mistake: MistakeBody, got: "mode: testing", hint: "mail clients cannot read"},
		{name: "a policy with a mode of its own", base: rootBase, tamper: replaced(mtaSTSPath, "mode: testing", "mode: enforced"), check: domain,
			rule: ruleMalformed, document: discovery.MTASTSDocument, mistake: MistakeBody, got: "version: STSv1", hint: "mail clients cannot read"},
		{name: "a policy for ever", base: rootBase, tamper: replaced(mtaSTSPath, "max_age: ", "max_age: soon"), check: domain,
			rule: ruleMalformed, document: discovery.MTASTSDocument, mistake: MistakeBody, got: "version: STSv1", hint: "mail clients cannot read"},
		{name: "a policy for a year and a second", base: rootBase, tamper: at(mtaSTSPath, body("text/plain", "version: STSv1\nmode: testing\nmx: example.com\nmax_age: 31557601\n")), check: domain,
			rule: ruleMalformed, document: discovery.MTASTSDocument, mistake: MistakeBody, got: "version: STSv1", hint: "mail clients cannot read"},
		{name: "a policy without its type", base: rootBase, tamper: withHeader(mtaSTSPath, "Content-Type", "application/octet-stream"), check: domain,
			rule: ruleContentType, document: discovery.MTASTSDocument, got: "application/octet-stream", hint: "RFC 8461 section 3.2"},
	}
}
