package discovery_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/seed-94e48765/portico/discovery"
)

// printDocument prints a document of the Set of a configuration, indented.
func printDocument(c discovery.Config, d discovery.Document) {
	set, err := discovery.Build(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	var b bytes.Buffer
	if err := json.Indent(&b, set.Bytes(d), "", "  "); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.String())
}

// The zero value is an authorization server with the authorization code and refresh
// tokens, for public clients.
func ExampleOAuth() {
	printDocument(discovery.Config{
		Base:  mustParse("https://example.com/mail"),
		OAuth: &discovery.OAuth{Scopes: []string{"mail", "offline_access"}},
	}, discovery.OAuthDocument)
	// Output:
	// {
	//   "issuer": "https://example.com/mail",
	//   "authorization_endpoint": "https://example.com/mail/login",
	//   "token_endpoint": "https://example.com/mail/auth/token",
	//   "jwks_uri": "https://example.com/mail/auth/jwks.json",
	//   "scopes_supported": [
	//     "mail",
	//     "offline_access"
	//   ],
	//   "response_types_supported": [
	//     "code"
	//   ],
	//   "response_modes_supported": [
	//     "query"
	//   ],
	//   "grant_types_supported": [
	//     "authorization_code",
	//     "refresh_token"
	//   ],
	//   "token_endpoint_auth_methods_supported": [
	//     "none"
	//   ],
	//   "code_challenge_methods_supported": [
	//     "S256"
	//   ]
	// }
}

// An error names the document, the member, the rule and the clause.
func ExampleOAuth_error() {
	_, err := discovery.Build(discovery.Config{
		Base:  mustParse("https://mail.example.com"),
		OAuth: &discovery.OAuth{CodeChallengeMethods: []string{"plain"}},
	})
	fmt.Println(err)
	var e *discovery.Error
	fmt.Println(errors.As(err, &e), e.Document, e.Field, e.Clause)
	// Output:
	// discovery: oauth-authorization-server: code_challenge_methods_supported: "plain": a server with PKCE must have S256: list it (RFC 7636 section 4.2)
	// true oauth-authorization-server code_challenge_methods_supported RFC 7636 section 4.2
}

// A server whose clients can register, and whose authorization responses name their
// issuer.
func ExampleOpenID() {
	printDocument(discovery.Config{
		Base: mustParse("https://mail.example.com"),
		OAuth: &discovery.OAuth{
			RegistrationPath: "/auth/register",
			IssuerParameter:  true,
			Scopes:           []string{"openid", "email"},
		},
		OpenID: &discovery.OpenID{UserinfoPath: "/auth/userinfo", Claims: []string{"sub", "email"}},
	}, discovery.OpenIDDocument)
	// Output:
	// {
	//   "issuer": "https://mail.example.com",
	//   "authorization_endpoint": "https://mail.example.com/login",
	//   "token_endpoint": "https://mail.example.com/auth/token",
	//   "registration_endpoint": "https://mail.example.com/auth/register",
	//   "jwks_uri": "https://mail.example.com/auth/jwks.json",
	//   "scopes_supported": [
	//     "openid",
	//     "email"
	//   ],
	//   "response_types_supported": [
	//     "code"
	//   ],
	//   "response_modes_supported": [
	//     "query"
	//   ],
	//   "grant_types_supported": [
	//     "authorization_code",
	//     "refresh_token"
	//   ],
	//   "token_endpoint_auth_methods_supported": [
	//     "none"
	//   ],
	//   "code_challenge_methods_supported": [
	//     "S256"
	//   ],
	//   "authorization_response_iss_parameter_supported": true,
	//   "userinfo_endpoint": "https://mail.example.com/auth/userinfo",
	//   "subject_types_supported": [
	//     "public"
	//   ],
	//   "id_token_signing_alg_values_supported": [
	//     "RS256"
	//   ],
	//   "claims_supported": [
	//     "sub",
	//     "email"
	//   ],
	//   "request_uri_parameter_supported": false
	// }
}

// With an authorization server the base and the JMAP session are resources already.
func ExampleResource() {
	c := discovery.Config{
		Base:      mustParse("https://example.com/mail"),
		OAuth:     &discovery.OAuth{Scopes: []string{"mail", "calendars"}},
		JMAP:      &discovery.JMAP{},
		Resources: []discovery.Resource{{Path: "/dav/cal/", Name: "Calendars", Scopes: []string{"calendars"}}},
	}
	printDocument(c, discovery.ResourceDocument("/dav/cal/"))
	printDocument(c, discovery.ResourceDocument("/jmap/session"))
	// Output:
	// {
	//   "resource": "https://example.com/mail/dav/cal/",
	//   "authorization_servers": [
	//     "https://example.com/mail"
	//   ],
	//   "scopes_supported": [
	//     "calendars"
	//   ],
	//   "bearer_methods_supported": [
	//     "header"
	//   ],
	//   "resource_name": "Calendars"
	// }
	// {
	//   "resource": "https://example.com/mail/jmap/session",
	//   "authorization_servers": [
	//     "https://example.com/mail"
	//   ],
	//   "scopes_supported": [
	//     "mail",
	//     "calendars"
	//   ],
	//   "bearer_methods_supported": [
	//     "header"
	//   ]
	// }
}

// Tokens come from an identity provider elsewhere: there is no OAuth section.
func ExampleResource_identityProvider() {
	printDocument(discovery.Config{
		Base: mustParse("https://mail.example.com"),
		JMAP: &discovery.JMAP{},
		Resources: []discovery.Resource{{
			Path:                 "/jmap/session",
			AuthorizationServers: []string{"https://id.example.com/realms/staff"},
		}},
	}, discovery.ResourceDocument("/jmap/session"))
	// Output:
	// {
	//   "resource": "https://mail.example.com/jmap/session",
	//   "authorization_servers": [
	//     "https://id.example.com/realms/staff"
	//   ],
	//   "bearer_methods_supported": [
	//     "header"
	//   ]
	// }
}

// The document is the one of OpenID, or of OAuth without it, for every account.
func ExampleWebUI() {
	set, err := discovery.Build(discovery.Config{
		Base:   mustParse("https://mail.example.com"),
		OAuth:  &discovery.OAuth{},
		OpenID: &discovery.OpenID{},
		WebUI:  &discovery.WebUI{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	discovery.NewServer(set, discovery.ServerConfig{}).ServeHTTP(w,
		httptest.NewRequest("GET", "http://10.0.0.1:8080/api/discover/jane@example.com", nil))
	var answer struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
	}
	err = json.Unmarshal(w.Body.Bytes(), &answer)
	fmt.Println(answer.Issuer, answer.Authorization, err)
	fmt.Println(bytes.Equal(w.Body.Bytes(), set.Bytes(discovery.OpenIDDocument)))
	// Output:
	// https://mail.example.com https://mail.example.com/login <nil>
	// true
}

func ExampleSet_Challenge() {
	set, err := discovery.Build(discovery.Config{
		Base:  mustParse("https://example.com/mail"),
		OAuth: &discovery.OAuth{Realm: "Mail"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Challenge(nil, ""))

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer expired")
	fmt.Println(set.Challenge(r, ""))
	// Output:
	// Bearer realm="Mail", resource_metadata="https://example.com/.well-known/oauth-protected-resource/mail"
	// Bearer realm="Mail", error="invalid_token", resource_metadata="https://example.com/.well-known/oauth-protected-resource/mail"
}

// A handler of the application, behind the documents.
func ExampleSet_Unauthorized() {
	set, err := discovery.Build(discovery.Config{
		Base:      mustParse("https://mail.example.com"),
		OAuth:     &discovery.OAuth{},
		Resources: []discovery.Resource{{Path: "/dav/cal/"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var server *discovery.Server
	server = discovery.NewServer(set, discovery.ServerConfig{
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			server.Current().Unauthorized(w, r, "/dav/cal/")
		}),
	})
	w := httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequest("PROPFIND", "/dav/cal/", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 401 Bearer realm="https://mail.example.com", resource_metadata="https://mail.example.com/.well-known/oauth-protected-resource/dav/cal/"
}
