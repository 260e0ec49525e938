package discovery

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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

// A fixture that would damage two documents has a server with one.
func oauthOnly(c *Config) { *c = Config{Base: c.Base, OAuth: c.OAuth} }
func openIDOnly(c *Config) {
	*c = Config{Base: c.Base, OAuth: c.OAuth, OpenID: c.OpenID}
}
func jmapOnly(c *Config) { *c = Config{Base: c.Base, OAuth: c.OAuth, JMAP: c.JMAP} }
func davOnly(c *Config)  { *c = Config{Base: c.Base, OAuth: c.OAuth, DAV: c.DAV} }

// A fixture is a correct server with one thing wrong. Verify finds that, with these
// words in it, and nothing else.
type fixture struct {
	name     string
	base     string
	config   func(*Config)
	tamper   tamper
	options  []VerifyOption
	rule     string
	document Document
	mistake  Mistake
	field    string
	got      string
	hint     string
}

func verifyFixtures() []fixture {
	token := []VerifyOption{WithBearer(verifyToken)}
	domain := []VerifyOption{WithMailDomains("example.com")}
	const session, sessionAtPath = "/jmap/session", "/mail/jmap/session"
	return []fixture{
		// URLs.
		{"a URL at another host", rootBase, oauthOnly, replaced(oauthAtRoot, rootBase+"/auth/token", "https://other.example/auth/token"), nil,
			RuleOutside, OAuthDocument, MistakePublicURL, "token_endpoint", "https://other.example/auth/token", "the host is not the one"},
		{"a URL at the proxy's side", rootBase, oauthOnly, replaced(oauthAtRoot, rootBase+"/", "https://10.0.0.5:8080/"), nil,
			RuleOutside, OAuthDocument, MistakePublicURL, "authorization_endpoint, device_authorization_endpoint, introspection_endpoint, jwks_uri, registration_endpoint, token_endpoint", "https://10.0.0.5:8080/login", "on the proxy's side"},
		{"a URL that has lost the path", pathBase, oauthOnly, replaced(oauthAtPath, pathBase+"/login", rootBase+"/login"), nil,
			RuleOutside, OAuthDocument, MistakePublicURL, "authorization_endpoint", rootBase + "/login", "the path of the base is lost: the proxy strips /mail"},
		{"a URL that has lost the port", portBase, oauthOnly, replaced(oauthAtRoot, portBase+"/login", rootBase+"/login"), nil,
			RuleOutside, OAuthDocument, MistakePublicURL, "authorization_endpoint", rootBase + "/login", "the port is not the one"},
		{"a URL with the server's own port", rootBase, oauthOnly, replaced(oauthAtRoot, rootBase+"/login", "https://example.com:8080/login"), nil,
			RuleOutside, OAuthDocument, MistakePublicURL, "authorization_endpoint", "https://example.com:8080/login", "the port is not the one"},
		{"the default port in a URL", rootBase, oauthOnly, replaced(oauthAtRoot, rootBase+"/login", "https://example.com:443/login"), nil,
			RuleDefaultPort, OAuthDocument, MistakePublicURL, "authorization_endpoint", "https://example.com:443/login", "leave the default port out"},
		{"http for https", rootBase, oauthOnly, replaced(oauthAtRoot, rootBase+"/login", "http://example.com/login"), nil,
			RuleHTTP, OAuthDocument, MistakePublicURL, "authorization_endpoint", "http://example.com/login", "takes the connection from the proxy for the client's"},
		{"http and the server's own port for https", bothBase, oauthOnly, replaced(oauthAtPath, bothBase+"/login", "http://example.com:8080/login"), nil,
			RuleHTTP, OAuthDocument, MistakePublicURL, "authorization_endpoint", "http://example.com:8080/login", "takes the connection"},
		{"user information in a URL", rootBase, oauthOnly, replaced(oauthAtRoot, rootBase+"/login", "https://jane@example.com/login"), nil,
			RuleOutside, OAuthDocument, MistakePublicURL, "authorization_endpoint", "https://jane@example.com/login", "user information"},
		{"what is no URL", rootBase, oauthOnly, replaced(oauthAtRoot, rootBase+"/login", "login"), nil,
			RuleOutside, OAuthDocument, MistakePublicURL, "authorization_endpoint", "login", "no absolute URL"},
		{"a URL that is a number", rootBase, oauthOnly, replaced(oauthAtRoot, `"`+rootBase+`/login"`, "5"), nil,
			RuleMalformed, OAuthDocument, "", "authorization_endpoint", "5", "must be a string"},

		// Issuers.
		{"an issuer with the default port", rootBase, openIDOnly, replaced(openIDAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"https://example.com:443"`), nil,
			RuleDefaultPort, OpenIDDocument, MistakePublicURL, "issuer", "https://example.com:443", "leave the default port out"},
		{"an issuer at another port", rootBase, openIDOnly, replaced(openIDAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"https://example.com:8443"`), nil,
			RuleIssuer, OpenIDDocument, MistakePublicURL, "issuer", "https://example.com:8443", "the port is not the one"},
		{"an issuer without the port", bothBase, openIDOnly, replaced(openIDAtPath, `"issuer":"`+bothBase+`"`, `"issuer":"`+pathBase+`"`), nil,
			RuleIssuer, OpenIDDocument, MistakePublicURL, "issuer", pathBase, "the port is not the one"},
		{"an issuer with a slash", rootBase, openIDOnly, replaced(openIDAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"`+rootBase+`/"`), nil,
			RuleIssuer, OpenIDDocument, MistakePublicURL, "issuer", rootBase + "/", "a slash at the end"},
		{"an issuer in capitals", pathBase, openIDOnly, replaced(openIDAtPath, `"issuer":"`+pathBase+`"`, `"issuer":"https://Example.com/Mail"`), nil,
			RuleIssuer, OpenIDDocument, MistakePublicURL, "issuer", "https://Example.com/Mail", "capitals"},
		{"an issuer without the path", pathBase, openIDOnly, replaced(openIDAtPath, `"issuer":"`+pathBase+`"`, `"issuer":"`+rootBase+`"`), nil,
			RuleIssuer, OpenIDDocument, MistakePublicURL, "issuer", rootBase, "the path of the base is lost"},
		{"an issuer on http", rootBase, openIDOnly, replaced(openIDAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"http://example.com"`), nil,
			RuleHTTP, OpenIDDocument, MistakePublicURL, "issuer", "http://example.com", "takes the connection"},
		{"no issuer", rootBase, openIDOnly, replaced(openIDAtRoot, `"issuer":"`+rootBase+`",`, ""), nil,
			RuleMalformed, OpenIDDocument, "", "issuer", "no such string", "RFC 8414"},

		// Answers that are no document.
		{"a page for the metadata", rootBase, oauthOnly, at(oauthAtRoot, spa), nil,
			RuleHTML, OAuthDocument, MistakeWellKnown, "", "a web page", "not routed to the server"},
		{"a page below the base", pathBase, openIDOnly, at(openIDAtPath, spa), nil,
			RuleHTML, OpenIDDocument, MistakePrefix, "", "a web page", "not routed to the server"},
		{"a page for the entry of JMAP", rootBase, jmapOnly, at("/.well-known/jmap", spa), nil,
			RuleHTML, JMAPDocument, MistakeWellKnown, "", "a web page", "not routed to the server"},
		{"a page for the entry of DAV", pathBase, davOnly, at("/.well-known/carddav", spa), nil,
			RuleHTML, DAVDocument, MistakeWellKnown, "", "a web page", "not routed to the server"},
		{"the inserted well-known is missing", pathBase, nil, at(oauthAtPath, http.NotFound), nil,
			RuleMissing, OAuthDocument, MistakeWellKnown, "", "404", "does not route this location"},
		{"the inserted well-known is missing, and its alias", pathBase, openIDOnly, func(next http.Handler) http.Handler {
			return at("/mail"+oauthAtRoot, http.NotFound)(at(oauthAtPath, http.NotFound)(next))
		}, nil,
			RuleMissing, OAuthDocument, MistakeWellKnown, "", "404", "clients of OAuth look here"},
		{"the resource's well-known is missing", pathBase, nil, at("/.well-known/oauth-protected-resource/mail", http.NotFound), nil,
			RuleMissing, BaseResource, MistakeWellKnown, "", "404", "does not route this location"},
		{"OpenID's document is missing", rootBase, openIDOnly, at(openIDAtRoot, http.NotFound), nil,
			RuleMissing, OpenIDDocument, "", "", "404", "speaks of it"},
		{"the entry of JMAP is missing at a path", pathBase, nil, at("/.well-known/jmap", http.NotFound), nil,
			RuleMissing, JMAPDocument, MistakeWellKnown, "", "404", "does not route this location"},
		{"the entry of JMAP is missing at the root", rootBase, jmapOnly, at("/.well-known/jmap", http.NotFound), nil,
			RuleMissing, JMAPDocument, MistakeWellKnown, "", "404", "something else answers here"},
		{"the entry of CalDAV is missing at a path", pathBase, davOnly, at("/.well-known/caldav", http.NotFound), nil,
			RuleMissing, DAVDocument, MistakeWellKnown, "", "404", "does not route this location"},
		{"the entry of CalDAV is missing at the root", rootBase, davOnly, at("/.well-known/caldav", http.NotFound), nil,
			RuleMissing, DAVDocument, MistakeWellKnown, "", "404", "something else answers here"},
		{"an expected document is missing", rootBase, oauthOnly, nil, []VerifyOption{WithExpected(JMAPDocument)},
			RuleMissing, JMAPDocument, "", "", "404", "is expected"},
		{"nothing at all", pathBase, nil, func(http.Handler) http.Handler { return http.NotFoundHandler() }, nil,
			RuleNothing, "config", MistakePrefix, "", "404 for every document", "routes nothing"},
		{"documents without their type", rootBase, oauthOnly, withHeader(oauthAtRoot, "Content-Type", "text/plain"), nil,
			RuleContentType, OAuthDocument, "", "", "text/plain", "Content-Type"},
		{"a document that is cut", rootBase, oauthOnly, changed(oauthAtRoot, func(_ http.Header, body string) string { return body[:len(body)-1] }), nil,
			RuleMalformed, OAuthDocument, MistakeBody, "", `{"issuer":`, "no JSON object"},
		{"a document that is null", rootBase, oauthOnly, at(oauthAtRoot, body("application/json", "null")), nil,
			RuleMalformed, OAuthDocument, MistakeBody, "", "null", "no JSON object"},
		{"a password before documents", rootBase, oauthOnly, at(oauthAtRoot, status(401)), nil,
			RuleStatus, OAuthDocument, MistakeAccess, "", "401", "without a password"},
		{"paths with a dot denied", rootBase, davOnly, at("/.well-known/caldav", status(403)), nil,
			RuleStatus, DAVDocument, MistakeAccess, "", "403", "begin with a dot"},
		{"a backend that is down", rootBase, jmapOnly, at("/.well-known/jmap", status(502)), nil,
			RuleStatus, JMAPDocument, MistakeBackend, "", "502", "does not reach the server"},
		{"an error of the server", rootBase, oauthOnly, at(oauthAtRoot, status(500)), nil,
			RuleStatus, OAuthDocument, "", "", "500", "logs"},
		{"a document over its limit", rootBase, oauthOnly, changed(oauthAtRoot, func(_ http.Header, body string) string { return body + strings.Repeat(" ", 1<<20) }), nil,
			RuleTooLarge, OAuthDocument, "", "", "more", "bound what they read"},
		{"a connection that breaks off", rootBase, oauthOnly, at(oauthAtRoot, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }), nil,
			RuleUnreachable, OAuthDocument, MistakeBackend, "", "EOF", "broke off"},

		// Redirects.
		{"a redirect that drops the path", pathBase, openIDOnly, at(openIDAtPath, redirectTo(openIDAtRoot)), nil,
			RuleRedirectPrefix, OpenIDDocument, MistakeRedirect, "", openIDAtRoot, "not mounted on /mail"},
		{"a redirect of JMAP that drops the path", pathBase, jmapOnly, at("/.well-known/jmap", redirectTo("/jmap/session")), nil,
			RuleRedirectPrefix, JMAPDocument, MistakeRedirect, "", "/jmap/session", "not mounted on /mail"},
		{"a redirect of DAV that drops the path", pathBase, davOnly, at("/.well-known/caldav", redirectTo(rootBase+"/dav/cal/")), nil,
			RuleRedirectPrefix, DAVDocument, MistakeRedirect, "", rootBase + "/dav/cal/", "not mounted on /mail"},
		{"a redirect that drops the port", portBase, jmapOnly, at("/.well-known/jmap", redirectTo(rootBase+"/jmap/session")), nil,
			RuleRedirectPort, JMAPDocument, MistakeRedirect, "", rootBase + "/jmap/session", "another port"},
		{"a redirect to http", rootBase, jmapOnly, at("/.well-known/jmap", redirectTo("http://example.com/jmap/session")), nil,
			RuleHTTP, JMAPDocument, MistakeRedirect, "", "http://example.com/jmap/session", "leads to http"},
		{"a redirect of a document off the origin", rootBase, oauthOnly, at(oauthAtRoot, redirectTo("https://other.example/metadata")), nil,
			RuleRedirectOrigin, OAuthDocument, MistakeRedirect, "", "https://other.example/metadata", "another host"},
		{"a redirect of DAV to the proxy's side", rootBase, davOnly, at("/.well-known/caldav", redirectTo("http://localhost:8080/dav/cal/")), nil,
			RuleRedirectOrigin, DAVDocument, MistakeRedirect, "", "http://localhost:8080/dav/cal/", "proxy's side"},
		{"a redirect of PROPFIND alone", pathBase, davOnly, at("/.well-known/caldav", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "PROPFIND" {
				redirectTo("/dav/cal/")(w, r)
			} else {
				redirectTo("/mail/dav/cal/")(w, r)
			}
		}), nil,
			RuleRedirectPrefix, DAVDocument, MistakeRedirect, "", "/dav/cal/", "not mounted on /mail"},
		{"a document at the end of a redirect", rootBase, oauthOnly, func(next http.Handler) http.Handler {
			return at(oauthAtRoot, redirectTo("/metadata"))(at("/metadata", func(w http.ResponseWriter, r *http.Request) {
				r.URL.Path = oauthAtRoot
				next.ServeHTTP(w, r)
			})(next))
		}, nil,
			RuleRedirect, OAuthDocument, MistakeRedirect, "", "/metadata", "do not follow redirects"},
		{"redirects in a circle", rootBase, jmapOnly, at("/jmap/session", redirectTo("/.well-known/jmap")), nil,
			RuleRedirect, JMAPDocument, MistakeRedirect, "", "/.well-known/jmap", "in a circle"},

		// Relative documents.
		{"a server in bootstrap", rootBase, oauthOnly, at(oauthAtRoot, body("application/json", `{"issuer":"","token_endpoint":"/auth/token"}`)), nil,
			RuleRelative, OAuthDocument, MistakePublicURL, "issuer, token_endpoint", "", "no public URL yet"},
		{"relative documents behind a cache", rootBase, oauthOnly, func(next http.Handler) http.Handler {
			return at(oauthAtRoot, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery == "" {
					body("application/json", `{"issuer":"","token_endpoint":"/auth/token"}`)(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})(next)
		}, nil,
			RuleRelative, OAuthDocument, MistakeCache, "issuer, token_endpoint", "", "a cache has kept"},
		{"a relative challenge", rootBase, jmapOnly, withHeader(session, "WWW-Authenticate", `Bearer realm="/", resource_metadata="/.well-known/oauth-protected-resource"`), nil,
			RuleRelative, JMAPDocument, MistakePublicURL, "resource_metadata", "/.well-known/oauth-protected-resource", "no public URL yet"},

		// Endpoints.
		{"no JWKS", rootBase, openIDOnly, at("/auth/jwks.json", http.NotFound), nil,
			RuleEndpoint, OAuthDocument, "", "jwks_uri", "Not Found", "nothing answers"},
		{"a page for the JWKS", rootBase, openIDOnly, at("/auth/jwks.json", spa), nil,
			RuleEndpoint, OAuthDocument, "", "jwks_uri", "<!DOCTYPE html>", "cannot verify"},
		{"a JWKS without keys", rootBase, openIDOnly, at("/auth/jwks.json", body("application/json", `{"keys":[]}`)), nil,
			RuleEndpoint, OAuthDocument, "", "jwks_uri", `{"keys":[]}`, "there is no key"},
		{"a JWKS that redirects", rootBase, openIDOnly, at("/auth/jwks.json", redirectTo("https://other.example/jwks")), nil,
			RuleRedirectOrigin, OAuthDocument, MistakeRedirect, "", "https://other.example/jwks", "another host"},
		{"a JWKS that hangs up", rootBase, openIDOnly, at("/auth/jwks.json", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }), nil,
			RuleUnreachable, OAuthDocument, MistakeBackend, "", "EOF", "broke off"},
		{"an endpoint that fails", rootBase, oauthOnly, at("/auth/token", status(500)), nil,
			RuleStatus, OAuthDocument, "", "token_endpoint", "500 Internal Server Error", "without parameters"},
		{"an endpoint that fails with a status of the proxy's own", rootBase, oauthOnly, at("/auth/token", status(520)), nil,
			RuleStatus, OAuthDocument, "", "token_endpoint", "520", "without parameters"},
		{"userinfo that is a page", rootBase, openIDOnly, at("/auth/userinfo", spa), nil,
			RuleHTML, OpenIDDocument, MistakeWellKnown, "", "a web page", "not routed"},
		{"/api/discover on http", rootBase, nil, replaced("/api/discover", `"issuer":"`+rootBase+`"`, `"issuer":"http://example.com"`), nil,
			RuleHTTP, WebUIDocument, MistakePublicURL, "issuer", "http://example.com", "takes the connection"},
		{"no token endpoint", pathBase, oauthOnly, at("/mail/auth/token", http.NotFound), nil,
			RuleEndpoint, OAuthDocument, "", "token_endpoint", "Not Found", "the server answers below /mail, but not here"},
		{"a server that is published with a path", rootBase, oauthOnly, replaced(oauthAtRoot, `"issuer":"`+rootBase+`"`, `"issuer":"`+pathBase+`"`), nil,
			RuleIssuer, OAuthDocument, MistakePublicURL, "issuer", pathBase, "published with a path"},
		{"a page for the token endpoint", rootBase, oauthOnly, at("/auth/token", spa), nil,
			RuleEndpoint, OAuthDocument, "", "token_endpoint", "<!DOCTYPE html>", "something else answers"},
		{"a token endpoint that takes no POST", rootBase, oauthOnly, at("/auth/token", status(405)), nil,
			RuleEndpoint, OAuthDocument, "", "token_endpoint", "Method Not Allowed", "the method is blocked"},
		{"a token endpoint that redirects", rootBase, oauthOnly, at("/auth/token", redirectTo("/auth/token/")), nil,
			RuleRedirect, OAuthDocument, MistakeRedirect, "", "/auth/token/", "do not follow"},
		{"no userinfo endpoint", rootBase, openIDOnly, at("/auth/userinfo", http.NotFound), nil,
			RuleEndpoint, OpenIDDocument, "", "userinfo_endpoint", "Not Found", "nothing answers"},
		{"a sign-in page that redirects to the proxy's side", pathBase, oauthOnly, at("/mail/login", redirectTo("http://127.0.0.1:8080/login/")), nil,
			RuleRedirectOrigin, OAuthDocument, MistakeRedirect, "", "http://127.0.0.1:8080/login/", "proxy's side"},
		{"a sign-in page that redirects out of the base", pathBase, oauthOnly, at("/mail/login", redirectTo("/login/")), nil,
			RuleRedirectPrefix, OAuthDocument, MistakeRedirect, "", "/login/", "not mounted on /mail"},
		{"a refused token", rootBase, openIDOnly, at("/auth/userinfo", status(401)), token,
			RuleToken, OpenIDDocument, MistakeAuthorization, "", "401", "removes Authorization"},
		{"no collection", rootBase, davOnly, at("/dav/cal/", http.NotFound), nil,
			RuleEndpoint, DAVDocument, "", "", "Not Found", "leads here"},
		{"a proxy that lets only GET pass", rootBase, davOnly, at("/.well-known/carddav", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "PROPFIND" {
				status(405)(w, r)
				return
			}
			redirectTo("/dav/card/")(w, r)
		}), nil,
			RuleMethod, DAVDocument, MistakeMethod, "", "Method Not Allowed", "begin with PROPFIND"},

		// The JMAP session and its challenge.
		{"no session", pathBase, jmapOnly, at(sessionAtPath, http.NotFound), nil,
			RuleEndpoint, JMAPDocument, "", "", "404", "leads here"},
		{"a challenge that is removed", rootBase, jmapOnly, withHeader(session, "WWW-Authenticate"), nil,
			RuleChallenge, JMAPDocument, MistakeAuthorization, "WWW-Authenticate", "", "let the proxy pass it on"},
		{"a challenge at another host", rootBase, jmapOnly, withHeader(session, "WWW-Authenticate", `Basic realm="a, b", Bearer realm="x", resource_metadata="https://backend.internal/.well-known/oauth-protected-resource"`), nil,
			RuleChallenge, JMAPDocument, MistakePublicURL, "resource_metadata", "https://backend.internal/.well-known/oauth-protected-resource", "proxy's side"},
		{"a challenge on http", rootBase, jmapOnly, withHeader(session, "WWW-Authenticate", `Bearer resource_metadata=http://example.com/.well-known/oauth-protected-resource`), nil,
			RuleHTTP, JMAPDocument, MistakePublicURL, "resource_metadata", "http://example.com/.well-known/oauth-protected-resource", "takes the connection"},
		{"a challenge whose metadata is for another resource", rootBase, jmapOnly, withHeader(session, "WWW-Authenticate", `Bearer resource_metadata="https://example.com/.well-known/oauth-protected-resource"`), nil,
			RuleResource, ResourceDocument("/jmap/session"), "", "resource", rootBase, "publish a document for each resource"},
		{"a challenge whose metadata is missing", pathBase, jmapOnly, at("/.well-known/oauth-protected-resource/mail/jmap/session", http.NotFound), nil,
			RuleMissing, ResourceDocument("/jmap/session"), MistakeWellKnown, "", "404", "does not route this location"},
		{"a resource with a slash", rootBase, oauthOnly, replaced("/.well-known/oauth-protected-resource", `"resource":"`+rootBase+`"`, `"resource":"`+rootBase+`/"`), nil,
			RuleResource, BaseResource, MistakePublicURL, "resource", rootBase + "/", "a slash too much"},
		{"a resource on http", rootBase, oauthOnly, replaced("/.well-known/oauth-protected-resource", `"resource":"`+rootBase+`"`, `"resource":"http://example.com"`), nil,
			RuleResource, BaseResource, MistakePublicURL, "resource", "http://example.com", "clients refuse"},
		{"a resource whose authorization server is misspelt", rootBase, oauthOnly, replaced("/.well-known/oauth-protected-resource", `["`+rootBase+`"]`, `["`+rootBase+`/"]`), nil,
			RuleIssuer, BaseResource, MistakePublicURL, "authorization_servers", rootBase + "/", "a slash at the end"},
		{"a session that a cache may keep", rootBase, jmapOnly, withHeader(session, "Cache-Control", "private"), token,
			RuleSessionCache, JMAPDocument, MistakeCache, "Cache-Control", "private", "one user's session"},
		{"an escaped template", rootBase, jmapOnly, changed(session, func(_ http.Header, body string) string {
			return strings.NewReplacer("{accountId}/{blobId}", "%7BaccountId%7D/%7BblobId%7D").Replace(body)
		}), token,
			RuleTemplate, JMAPDocument, MistakeBody, "downloadUrl", "%7BaccountId%7D", "are escaped"},
		{"a template without a variable", rootBase, jmapOnly, replaced(session, "{accountId}", "me"), token,
			RuleTemplate, JMAPDocument, "", "downloadUrl, uploadUrl", "/jmap/download/me/", "one is missing"},
		{"ws for wss", rootBase, jmapOnly, replaced(session, "wss://", "ws://"), token,
			RuleWS, JMAPDocument, MistakePublicURL, webSocketCapability, "ws://example.com/jmap/ws", "may open wss only"},
		{"https for wss", rootBase, jmapOnly, replaced(session, "wss://", "https://"), token,
			RuleWS, JMAPDocument, MistakePublicURL, webSocketCapability, "https://example.com/jmap/ws", "begins with wss"},
		{"a web socket without the path", pathBase, jmapOnly, replaced(sessionAtPath, "wss://example.com/mail", "wss://example.com"), token,
			RuleWS, JMAPDocument, MistakePublicURL, webSocketCapability, "wss://example.com/jmap/ws", "path of the base is lost"},
		{"a session URL on http", rootBase, jmapOnly, replaced(session, rootBase+"/jmap/upload", "http://example.com/jmap/upload"), token,
			RuleHTTP, JMAPDocument, MistakePublicURL, "uploadUrl", "http://example.com/jmap/upload/{accountId}/", "takes the connection"},
		{"a session without a member", rootBase, jmapOnly, replaced(session, "eventSourceUrl", "eventsourceurl"), token,
			RuleMalformed, JMAPDocument, "", "eventSourceUrl", "no such string", "RFC 8620"},
		{"no API", rootBase, jmapOnly, at("/jmap/", http.NotFound), token,
			RuleEndpoint, JMAPDocument, "", "apiUrl", "Not Found", "nothing answers"},

		// CORS.
		{"no CORS", rootBase, oauthOnly, withHeader(oauthAtRoot, "Access-Control-Allow-Origin"), nil,
			RuleCORS, OAuthDocument, MistakeCORS, "Access-Control-Allow-Origin", "", "pass on the field"},
		{"CORS twice", rootBase, oauthOnly, withHeader(oauthAtRoot, "Access-Control-Allow-Origin", "*", "*"), nil,
			RuleCORS, OAuthDocument, MistakeCORS, "Access-Control-Allow-Origin", "*, *", "adds its own"},
		{"a preflight that wants a password", rootBase, jmapOnly, at(session, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("WWW-Authenticate", `Bearer realm="x"`)
			w.WriteHeader(401)
		}), nil,
			RuleCORS, JMAPDocument, MistakeCORS, "Access-Control-Allow-Headers", "Unauthorized to OPTIONS", "let OPTIONS pass"},

		// Mail.
		{"autoconfig that is cut", rootBase, nil, changed("/mail/config-v1.1.xml", func(_ http.Header, body string) string { return body[:len(body)/2] }), domain,
			RuleMalformed, AutoconfigDocument("example.com"), MistakeBody, "", "<?xml", "mail clients cannot read"},
		{"autoconfig with a URL on http", rootBase, nil, replaced("/mail/config-v1.1.xml", rootBase+"/dav/cal/", "http://example.com/dav/cal/"), domain,
			RuleHTTP, AutoconfigDocument("example.com"), MistakePublicURL, "url", "http://example.com/dav/cal/", "takes the connection"},
		{"autoconfig with another issuer", rootBase, nil, replaced("/mail/config-v1.1.xml", "<issuer>"+rootBase, "<issuer>"+rootBase+"/"), domain,
			RuleIssuer, AutoconfigDocument("example.com"), MistakePublicURL, "issuer", rootBase + "/", "a slash"},
		{"a user-agent configuration that is none", rootBase, nil, at(userAgentPath, body("application/json", "[]")), nil,
			RuleMalformed, UserAgentDocument, MistakeBody, "", "[]", "mail clients cannot read"},
		{"a user-agent configuration with a lost path", pathBase, nil, replaced(userAgentPath, pathBase+"/jmap", rootBase+"/jmap"), nil,
			RuleOutside, UserAgentDocument, MistakePublicURL, "jmap", rootBase + "/jmap/session", "path of the base is lost"},
		{"a policy that redirects", rootBase, nil, at(mtaSTSPath, redirectTo("https://example.com/.well-known/mta-sts.txt")), domain,
			RuleRedirect, MTASTSDocument, MistakeRedirect, "", "https://example.com/.well-known/mta-sts.txt", "RFC 8461 section 3.3"},
		// What a hostile reading found.
		{"another protocol for a document", rootBase, oauthOnly, at(oauthAtRoot, switching), nil,
			RuleStatus, OAuthDocument, "", "", "101", "nothing but 200"},
		{"header fields without end", rootBase, oauthOnly, withHeader(oauthAtRoot, "X-Padding", strings.Repeat("x", maxHeaderBytes)), nil,
			RuleTooLarge, OAuthDocument, "", "", "more", "clients bound"},
		{"authorization servers that are no list", rootBase, oauthOnly, replaced("/.well-known/oauth-protected-resource", `["`+rootBase+`"]`, `"`+rootBase+`"`), nil,
			RuleMalformed, BaseResource, "", "authorization_servers", rootBase, "a list of strings"},
		{"keys at the sign-in", rootBase, oauthOnly, replaced(oauthAtRoot, rootBase+"/auth/jwks.json", rootBase+"/login"), nil,
			RuleEndpoint, OAuthDocument, "", "jwks_uri", "<!doctype html>", "something else answers"},
		{"a preflight without an origin", rootBase, jmapOnly, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodOptions {
					w.Header().Set("Access-Control-Allow-Headers", "authorization")
					w.WriteHeader(http.StatusNoContent)
					return
				}
				next.ServeHTTP(w, r)
			})
		}, nil,
			RuleCORS, JMAPDocument, MistakeCORS, "Access-Control-Allow-Origin", "", "cannot read"},
		{"a sign-in that takes no GET", rootBase, oauthOnly, at("/login", status(405)), nil,
			RuleEndpoint, OAuthDocument, "", "authorization_endpoint", "Method Not Allowed", "with GET"},
		{"a sign-in that leads to itself", rootBase, oauthOnly, at("/login", redirectTo("/login")), nil,
			RuleRedirect, OAuthDocument, MistakeRedirect, "", "/login", "do not follow"},
		{"keys by another name", rootBase, oauthOnly, at("/auth/jwks.json", body("application/json", `{"KEYS":[{"kty":"RSA"}]}`)), nil,
			RuleEndpoint, OAuthDocument, "", "jwks_uri", `{"KEYS"`, "something else answers"},
		{"a key that is none", rootBase, oauthOnly, at("/auth/jwks.json", body("application/json", `{"keys":[null]}`)), nil,
			RuleEndpoint, OAuthDocument, "", "jwks_uri", `{"keys":[null]}`, "a kty"},
		{"a web socket capability that is a list", rootBase, jmapOnly, changed(session, func(_ http.Header, body string) string {
			return regexp.MustCompile(`("urn:ietf:params:jmap:websocket"):(\{[^}]*\})`).ReplaceAllString(body, "$1:[$2]")
		}), token,
			RuleMalformed, JMAPDocument, "", webSocketCapability, "no such string", "RFC 8887"},
		{"a session behind a redirect that loses the path", pathBase, jmapOnly, at(sessionAtPath, redirectTo("/jmap/session")), nil,
			RuleRedirectPrefix, JMAPDocument, MistakeRedirect, "", "/jmap/session", "not mounted on /mail"},
		{"calendars at a web page", rootBase, davOnly, at("/dav/cal/", spa), nil,
			RuleHTML, DAVDocument, MistakeWellKnown, "", "a web page", "catch-all"},
		{"calendars that redirect to http", rootBase, davOnly, at("/dav/cal/", redirectTo("http://example.com/dav/cal/")), nil,
			RuleHTTP, DAVDocument, MistakeRedirect, "", "http://example.com/dav/cal/", "leads to http"},
		{"calendars that redirect to themselves", rootBase, davOnly, at("/dav/cal/", redirectTo("/dav/cal/")), nil,
			RuleRedirect, DAVDocument, MistakeRedirect, "", "/dav/cal/", "do not follow"},
		{"calendars that refuse everybody", rootBase, davOnly, at("/dav/cal/", status(403)), nil,
			RuleMethod, DAVDocument, MistakeMethod, "", "Forbidden", "every method"},
		{"a policy that is none", rootBase, nil, at(mtaSTSPath, body("text/plain", "mode: testing\r\nmax_age: 86400\r\n")), domain,
			RuleMalformed, MTASTSDocument, MistakeBody, "", "mode: testing", "mail clients cannot read"},
		{"a policy with a mode of its own", rootBase, nil, replaced(mtaSTSPath, "mode: testing", "mode: enforced"), domain,
			RuleMalformed, MTASTSDocument, MistakeBody, "", "version: STSv1", "mail clients cannot read"},
		{"a policy for ever", rootBase, nil, replaced(mtaSTSPath, "max_age: ", "max_age: soon"), domain,
			RuleMalformed, MTASTSDocument, MistakeBody, "", "version: STSv1", "mail clients cannot read"},
		{"a policy for a year and a second", rootBase, nil, at(mtaSTSPath, body("text/plain", "version: STSv1\nmode: testing\nmx: example.com\nmax_age: 31557601\n")), domain,
			RuleMalformed, MTASTSDocument, MistakeBody, "", "version: STSv1", "mail clients cannot read"},
		{"a policy without its type", rootBase, nil, withHeader(mtaSTSPath, "Content-Type", "application/octet-stream"), domain,
			RuleContentType, MTASTSDocument, "", "", "application/octet-stream", "RFC 8461 section 3.2"},
	}
}

func TestVerifyFindsAndNamesEachMistake(t *testing.T) {
	for _, f := range verifyFixtures() {
		t.Run(f.name, func(t *testing.T) {
			c := verifyConfig(t, f.base)
			if f.config != nil {
				f.config(&c)
			}
			h := correctServer(t, c)
			require.Empty(t, verify(t, h, f.base, withoutExpected(f.options)...).Findings, "without the mistake")
			if f.tamper != nil {
				h = f.tamper(h)
			}
			report := verify(t, h, f.base, f.options...)
			require.Len(t, report.Findings, 1, "%v", report.Findings)
			got := report.Findings[0]
			require.Equal(t, f.rule, got.Rule, "%v", got)
			require.Equal(t, f.document, got.Document, "%v", got)
			require.Equal(t, f.mistake, got.Mistake, "%v", got)
			require.Equal(t, f.field, got.Field, "%v", got)
			require.Contains(t, got.Got, f.got, "%v", got)
			require.Contains(t, got.Hint, f.hint, "%v", got)
			require.True(t, strings.HasPrefix(got.URL, "https://"), "%v", got)
			require.NotEmpty(t, got.Want)
			require.Contains(t, []Severity{SeverityError, SeverityWarning}, got.Severity)
		})
	}
}

// withoutExpected leaves the options that a correct server satisfies too.
func withoutExpected(opts []VerifyOption) []VerifyOption {
	var all []VerifyOption
	for _, o := range opts {
		v := newVerifyOptions([]VerifyOption{o})
		if len(v.expected) == 0 {
			all = append(all, o)
		}
	}
	return all
}
