package discovery

import (
	"net/http"
	"strings"
)

// A challenge is the WWW-Authenticate value of a protected resource.
type challenge struct {
	plain   string // for a request without a token
	invalid string // for a request whose token was refused

	realm, metadata string // the parameters that are before and after the others
}

func newChallenge(realm, metadataURL string) challenge {
	c := challenge{realm: "Bearer realm=" + quoted(realm)}
	if metadataURL != "" {
		c.metadata = ", resource_metadata=" + quoted(metadataURL)
	}
	c.plain = c.realm + c.metadata
	c.invalid = c.with("invalid_token", nil)
	return c
}

// with returns the challenge with an error code and the scopes that are needed (RFC 6750
// section 3). A scope that is not a scope-token is left out, because it cannot be quoted or
// would be read as two scopes.
func (c *challenge) with(code string, scopes []string) string {
	var b strings.Builder
	b.WriteString(c.realm)
	if code != "" {
		b.WriteString(`, error="` + code + `"`)
	}
	separator := `, scope="`
	for _, s := range scopes {
		if s != "" && isScope(s) {
			b.WriteString(separator + s)
			separator = " "
		}
	}
	if separator == " " {
		b.WriteString(`"`)
	}
	b.WriteString(c.metadata)
	return b.String()
}

// quoted returns a quoted-string (RFC 9110 section 5.6.4) of printable ASCII.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// realm determines the realm, and the challenge for paths that are not protected resources.
func (b *builder) realm() {
	realm := b.base.String()
	if b.base.IsRelative() {
		realm += "/" // RFC 6750 section 3: Bearer has a parameter, and it is the realm
	}
	if o := b.config.OAuth; o != nil && o.Realm != "" {
		if !isPrintableASCII(o.Realm) {
			b.fail(&Error{Document: BaseResource, Field: "realm", Input: o.Realm, Rule: "use printable ASCII", Clause: "RFC 9110 section 11.5"})
		}
		realm = o.Realm
	}
	b.set.realm = realm
	b.set.challenges = make(map[string]challenge)
	b.set.unknown = newChallenge(realm, "")
}

func (b *builder) challenge(resource, metadataURL string) {
	b.set.challenges[resource] = newChallenge(b.set.realm, metadataURL)
}

// Challenge returns the value of the WWW-Authenticate field for a 401 answer to r
// (RFC 6750 section 3), such as
//
//	Bearer realm="https://example.com", scope="mail", resource_metadata="https://example.com/.well-known/oauth-protected-resource"
//
// by which a client finds the authorization server (RFC 9728 section 5.1). If r has a
// bearer token, the challenge also has error="invalid_token". r may be nil.
//
// The resource is a [Resource.Path], the path of the JMAP session, or "" for the
// base. Clients must not use metadata whose resource is not the URL that they requested
// (RFC 9728 section 3.3): give the resource that r is for, and list it in
// Config.Resources. If it is not listed, and on a relative base, the challenge has no
// resource_metadata.
//
// The scopes are those that a token for r needs. A scope that is not a scope-token (RFC
// 6749 section 3.3) is left out.
func (s *Set) Challenge(r *http.Request, resource string, scopes ...string) string {
	c := s.challengeOf(resource)
	switch invalid := hasBearer(r); {
	case len(scopes) > 0 && invalid:
		return c.with("invalid_token", scopes)
	case len(scopes) > 0:
		return c.with("", scopes)
	case invalid:
		return c.invalid
	}
	return c.plain
}

// Unauthorized answers r with 401 and [Set.Challenge]. Web applications of other origins
// can read the answer (CORS). WWW-Authenticate fields that w has already, such as that of
// Basic, are kept and come first.
func (s *Set) Unauthorized(w http.ResponseWriter, r *http.Request, resource string, scopes ...string) {
	refuse(w, r, http.StatusUnauthorized, s.Challenge(r, resource, scopes...), unauthorizedBody)
}

// Forbidden answers r, whose token is valid and does not have the scopes, with 403 and a
// challenge with error="insufficient_scope" (RFC 6750 section 3.1). It is otherwise like
// [Set.Unauthorized].
func (s *Set) Forbidden(w http.ResponseWriter, r *http.Request, resource string, scopes ...string) {
	c := s.challengeOf(resource)
	refuse(w, r, http.StatusForbidden, c.with("insufficient_scope", scopes), forbiddenBody)
}

func refuse(w http.ResponseWriter, r *http.Request, status int, challenge string, body []byte) {
	f := answerFields(w)
	f.add("Www-Authenticate", challenge)
	f.set("Cache-Control", "no-store")
	f.send(w, r, status, textPlain, body)
}

var (
	unauthorizedBody = []byte("401 unauthorized\n")
	forbiddenBody    = []byte("403 forbidden\n")
	noChallenge      = newChallenge("/", "") // of a nil Set
)

func (s *Set) challengeOf(resource string) challenge {
	if s == nil || s.challenges == nil { // also the zero Set
		return noChallenge
	}
	if c, ok := s.challenges[resource]; ok {
		return c
	}
	return s.unknown
}

// hasBearer reports whether a request has a bearer token in its header. The challenge for a
// request without a token must not have an error code (RFC 6750 section 3.1).
func hasBearer(r *http.Request) bool {
	if r == nil {
		return false
	}
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer")
}
