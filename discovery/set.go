package discovery

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/publicurl"
)

// A Set is every document of one configuration, encoded. It is immutable and may
// be used by several goroutines. A nil Set has no documents.
type Set struct {
	base      publicurl.Base
	issuer    string
	prefix    string // of the base, decoded
	documents map[Document]*document
	routes    map[string]route // by decoded path
	keep      []string         // see builder.keep
	sections
}

// sections has the values for documents that are made for each request.
type sections struct {
	accounts []string // decoded paths that end in "/" and are followed by an account
	webUI    route
	session  *sessionTemplate // nil: no JMAP

	realm           string
	challenges      map[string]challenge // by Resource.Path
	unknown         challenge            // for paths that are not protected resources
	sessionResource string               // its Resource.Path
	mail            *mailSettings        // nil: no Mail
	policies        map[string]*document // of MTA-STS, by domain
}

// A route is the answer at a path: one of static, byHost and dynamic.
type route struct {
	document Document
	static   *document
	byHost   map[string]*document // lower case, without port
	dynamic  func(*Server, *Set, http.ResponseWriter, *http.Request)
	location string // 307 to this URL
}

// Base returns the base that the documents are built on.
func (s *Set) Base() publicurl.Base {
	if s == nil {
		return publicurl.Base{}
	}
	return s.base
}

// Issuer returns the issuer of the server's own OAuth and OpenID documents, which is also
// the iss parameter of authorization responses (RFC 9207 section 2) and the iss claim
// of ID tokens. It is OAuth.Issuer, by default the base. On a relative base it is the prefix
// or "".
func (s *Set) Issuer() string {
	if s == nil {
		return ""
	}
	return s.issuer
}

// Bytes returns a copy of a document as it is served, or nil if the Set does not have the
// document. For the JMAP session of an account see [Set.Session].
func (s *Set) Bytes(d Document) []byte {
	if doc := s.document(d); doc != nil {
		return bytes.Clone(doc.body)
	}
	return nil
}

// ETag returns the entity tag that a document is served with, in its quotes, or "" if the
// Set does not have the document.
func (s *Set) ETag(d Document) string {
	if doc := s.document(d); doc != nil {
		return doc.etag
	}
	return ""
}

func (s *Set) document(d Document) *document {
	if s == nil {
		return nil
	}
	return s.documents[d]
}

// find returns the route for the path of a request. The path is decoded; raw is
// http.Request.URL.RawPath, set if the path alone does not determine the escapes.
func (s *Set) find(path, raw string) (route, bool) {
	if s == nil {
		return route{}, false
	}
	// "%2F" is not "/": such a path is not one of ours, unless an account has it.
	ambiguous := raw != "" && hasEncodedSlash(raw)
	if !ambiguous {
		if r, ok := s.routes[path]; ok {
			return r, true
		}
		if r, ok := s.findFolded(path); ok {
			return r, true
		}
	}
	if ambiguous {
		path = raw
	}
	for _, prefix := range s.accounts {
		if rest, ok := strings.CutPrefix(path, prefix); ok && rest != "" && !strings.Contains(rest, "/") {
			return s.webUI, true
		}
	}
	return route{}, false
}

func hasEncodedSlash(raw string) bool {
	for i := 0; i+2 < len(raw); i++ {
		if raw[i] == '%' && (raw[i+1] == '2' && raw[i+2]|0x20 == 'f' || raw[i+1] == '5' && raw[i+2]|0x20 == 'c') {
			return true
		}
	}
	return false
}

// stripURL returns a copy of u without the prefix, if it has it. A path with an
// escaped slash in the prefix, or directly behind it, does not have it.
func (s *Set) stripURL(u *url.URL) (*url.URL, bool) {
	path, ok := strings.CutPrefix(u.Path, s.prefix)
	if !ok || path != "" && path[0] != '/' {
		return u, false
	}
	for _, e := range s.keep {
		if u.Path == e || e[len(e)-1] == '/' && strings.HasPrefix(u.Path, e) {
			return u, false
		}
	}
	raw := u.RawPath
	if raw != "" && raw == u.EscapedPath() { // else net/url ignores it too
		n := escapedLen(raw, len(s.prefix))
		if hasEncodedSlash(raw[:n]) || n < len(raw) && raw[n] != '/' {
			return u, false
		}
		raw = raw[n:]
	} else {
		raw = ""
	}
	if path == "" {
		path = "/"
	}
	stripped := *u
	stripped.Path, stripped.RawPath = path, raw
	return &stripped, true
}

// escapedLen returns the length of the escaped path that corresponds to the first n bytes of
// the decoded path.
func escapedLen(raw string, n int) int {
	i := 0
	for ; n > 0; n-- {
		if raw[i] == '%' {
			i += 2
		}
		i++
	}
	return i
}
