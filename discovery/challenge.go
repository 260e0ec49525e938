package discovery

import (
	"net/http"
	"strings"
)

// A challenge is the WWW-Authenticate field of a 401 answer, ready to be shared by
// all answers.
type challenge struct {
	plain   []string
	invalid []string // for a request that had a bearer token
}

func newChallenge(realm, metadataURL string) challenge {
	text := "Bearer realm=" + quoted(realm)
	metadata := ""
	if metadataURL != "" {
		metadata = ", resource_metadata=" + quoted(metadataURL)
	}
	return challenge{
		plain:   []string{text + metadata},
		invalid: []string{text + `, error="invalid_token"` + metadata},
	}
}

// quoted returns a quoted-string (RFC 9110 section 5.6.4) of printable ASCII.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// realm determines the realm, and the challenge for what is no protected resource.
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
//	Bearer realm="https://example.com", resource_metadata="https://example.com/.well-known/oauth-protected-resource"
//
// by which a client finds the authorization server (RFC 9728 section 5.1). If r
// came with a bearer token there is error="invalid_token" too. r may be nil.
//
// The resource is a [Resource.Path], the path of the JMAP session, or "" for the
// base. Clients must not use metadata whose resource is not the URL that they asked
// for (RFC 9728 section 3.3): name the resource that r is for, and list it in
// Config.Resources. For one that is not listed, and with a relative base, there is no
// resource_metadata.
func (s *Set) Challenge(r *http.Request, resource string) string {
	return s.challengeLines(r, resource)[0]
}

// Unauthorized answers r with 401 and [Set.Challenge], in such a way that web
// applications of other origins can read it. WWW-Authenticate fields that w has
// already, such as that of Basic, stay and come first.
func (s *Set) Unauthorized(w http.ResponseWriter, r *http.Request, resource string) {
	h := w.Header()
	common(h)
	lines := s.challengeLines(r, resource)
	if before := h["Www-Authenticate"]; before != nil {
		lines = append(before[:len(before):len(before)], lines...)
	}
	h["Www-Authenticate"] = lines
	h["Cache-Control"] = noStore
	h["Content-Type"] = textPlain
	h["Content-Length"] = unauthorizedLength
	w.WriteHeader(http.StatusUnauthorized)
	if r == nil || r.Method != http.MethodHead {
		w.Write(unauthorizedBody)
	}
}

var (
	unauthorizedBody   = []byte("401 unauthorized\n")
	unauthorizedLength = []string{"17"}
	noChallenge        = newChallenge("/", "") // of a nil Set
)

func (s *Set) challengeLines(r *http.Request, resource string) []string {
	c := noChallenge
	if s != nil && s.challenges != nil { // not the zero Set
		var ok bool
		if c, ok = s.challenges[resource]; !ok {
			c = s.unknown
		}
	}
	if hasBearer(r) {
		return c.invalid
	}
	return c.plain
}

// hasBearer reports whether a request has a bearer token in its header. Without one
// there must be no error code: nothing of the request was wrong (RFC 6750 section
// 3.1).
func hasBearer(r *http.Request) bool {
	if r == nil {
		return false
	}
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer")
}
