package discovery

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/publicurl"
)

// Build validates the configuration and encodes every document. The error is one or more
// [*Error], joined; the Set is nil then.
func Build(c Config) (*Set, error) {
	if c.Base == (publicurl.Base{}) {
		return nil, &Error{Document: configDocument, Field: "Base", Rule: "it is required: use publicurl.Parse, FromHostname, FromEnv or Relative"}
	}
	return newBuilder(c).build()
}

func (b *builder) build() (*Set, error) {
	b.issuers()
	b.oauth()
	b.openID()
	b.resources()
	b.jmap()
	b.dav()
	b.webUI()
	b.mail()
	b.mtaSTS()
	b.checkEndpoints()
	b.checkBase()
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	return b.set, nil
}

// A builder collects a Set and the errors of its configuration.
type builder struct {
	config Config
	base   publicurl.Base
	set    *Set
	errs   []error

	metadata  oauthMetadata // of oauth, for openID and resources
	endpoints []endpoint
}

// An endpoint is a path that a document refers to.
type endpoint struct {
	document Document
	field    string
	path     string // decoded; of a template, the part before the first variable
}

func newBuilder(c Config) *builder {
	set := &Set{base: c.Base, issuer: c.Base.String(), routes: make(map[string]route), documents: make(map[Document]*document)}
	set.prefix, _ = url.PathUnescape(c.Base.Prefix()) // Parse has checked it
	return &builder{config: c, base: c.Base, set: set}
}

func (b *builder) fail(e *Error) { b.errs = append(b.errs, e) }

// endpoint returns the URL of an endpoint. It returns "" if the server does not have the
// endpoint, and reports a path that is wrong. An optional endpoint has no default.
func (b *builder) endpoint(d Document, field, path, def string) string {
	path = orDefault(path, def)
	if isAbsent(path) {
		return ""
	}
	u, err := b.base.Join(path)
	if err != nil {
		b.fail(&Error{Document: d, Field: field, Input: path, Rule: "use a path below the base", Err: err})
	}
	b.keep(d, field, path)
	return u
}

// template is like endpoint for a URI template, which has no default.
func (b *builder) template(d Document, field, path string) string {
	u, err := b.base.Template(path)
	if err != nil {
		b.fail(&Error{Document: d, Field: field, Input: path, Rule: "use a URI template of RFC 6570 level 1 below the base", Err: err})
	}
	b.keep(d, field, path)
	return u
}

// keep notes an endpoint. If its own path begins with the prefix of the base, such as
// /auth/token on https://example.com/auth, Server.next must not take it for one
// that still has the prefix. An endpoint that is the prefix alone, such as /jmap/
// on https://example.com/jmap, cannot be distinguished from the start page there.
func (b *builder) keep(d Document, field, path string) {
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "{")
	decoded, err := url.PathUnescape(path)
	b.endpoints = append(b.endpoints, endpoint{d, field, decoded})
	if rest, ok := strings.CutPrefix(decoded, b.set.prefix); err == nil && ok && b.set.prefix != "" && len(rest) > 1 && rest[0] == '/' {
		b.set.keep = append(b.set.keep, decoded)
	}
}

// checkEndpoints reports endpoints whose path is that of a document, as clients request it
// or as a proxy passes it on: the document would answer in place of the endpoint. The
// documents that are endpoints themselves are not reported.
func (b *builder) checkEndpoints() {
	for _, e := range b.endpoints {
		for _, path := range []string{e.path, b.set.prefix + e.path} {
			r, found := b.set.find(path, "")
			if !found || e.document == WebUIDocument && r.document == WebUIDocument || e.field == sessionField && r.document == JMAPDocument {
				continue
			}
			b.fail(&Error{Document: e.document, Field: e.field, Input: e.path, Rule: "the document " + string(r.document) + " answers at this path: choose another one"})
			break
		}
	}
}

// checkBase refuses a base whose path ends in an endpoint or a page of the server itself. Such
// a base is the URL of that page, copied from a browser: all URLs would be published below
// it, and none would work.
func (b *builder) checkBase() {
	for i, page := range b.config.Pages {
		if u, err := b.base.Join(page); err != nil || u == b.base.String()+"/" {
			b.fail(&Error{Document: configDocument, Field: fmt.Sprintf("Pages[%d]", i), Input: page, Rule: "use the path of a page below the base, such as /admin", Err: err})
		}
		decoded, _ := url.PathUnescape(page) // Join has checked it
		b.endpoints = append(b.endpoints, endpoint{configDocument, "page", strings.TrimSuffix(decoded, "/")})
	}
	for _, e := range b.endpoints {
		if len(e.path) > 1 && strings.HasSuffix(b.set.prefix, e.path) {
			right := b.base.String() // without the segments of the path, however they are escaped
			for range strings.Count(e.path, "/") {
				right = right[:strings.LastIndexByte(right, '/')]
			}
			b.fail(&Error{Document: configDocument, Field: "Base", Input: b.base.String(), Rule: fmt.Sprintf("the path ends in %s, the %s of the server: use the URL without it, %q", e.path, e.field, right)})
			return
		}
	}
}

// redirect redirects a well-known location to a path below the base, unless the path is
// None.
func (b *builder) redirect(d Document, field, path string, name publicurl.Name) {
	location := b.endpoint(d, field, path, "")
	if location == "" {
		return
	}
	b.route(route{document: d, location: location}, b.wellKnown(name)...)
}

func orDefault(path, def string) string {
	if path == "" {
		return def
	}
	return path
}

// isAbsent reports whether a path, with its default filled in, means that there is no
// endpoint.
func isAbsent(path string) bool { return path == "" || path == None }

// add encodes a JSON document and serves it at the paths.
func (b *builder) add(d Document, v any, extra map[string]any, paths ...string) {
	if body, ok := b.encode(d, v, extra); ok {
		b.addBytes(d, body, contentTypeJSON, paths...)
	}
}

func (b *builder) encode(d Document, v any, extra map[string]any) ([]byte, bool) {
	body, err := encodeJSON(v, extra)
	if err != nil {
		b.fail(&Error{Document: d, Field: "Extra", Rule: err.Error()})
	}
	return body, err == nil
}

// addBytes serves a document at the paths.
func (b *builder) addBytes(d Document, body []byte, contentType string, paths ...string) {
	if b.set.documents[d] != nil {
		b.twice(d)
		return
	}
	doc := newDocument(body, contentType)
	b.set.documents[d] = doc
	b.route(route{document: d, static: doc}, paths...)
}

func (b *builder) twice(d Document) {
	b.fail(&Error{Document: d, Field: "path", Rule: "duplicate document in the configuration: remove one"})
}

// route registers the answer for the paths, which are escaped as in a URL. Two documents
// at one path are an error in the configuration.
func (b *builder) route(r route, paths ...string) {
	for _, p := range paths {
		decoded, err := url.PathUnescape(p)
		if err != nil {
			b.fail(&Error{Document: r.document, Field: "path", Input: p, Rule: "use valid percent escapes", Err: err})
			continue
		}
		if hasEncodedSlash(p) {
			// find does not match such a path: %2F is not "/"
			b.fail(&Error{Document: r.document, Field: "path", Input: p, Rule: "a document has no escaped slash or backslash in its path: choose another one"})
			continue
		}
		if other, taken := b.set.routes[decoded]; taken {
			if other.document != r.document {
				b.fail(&Error{Document: r.document, Field: "path", Input: p, Rule: "the document " + string(other.document) + " has this path already: choose another one"})
			}
			continue
		}
		b.set.routes[decoded] = r
	}
}

// absent answers 404 at the paths: with a relative base, for documents that make
// no sense without a host.
func (b *builder) absent(d Document, paths ...string) {
	b.route(route{document: d}, paths...)
}

// below returns the paths of a URL below the base: with the prefix, and without the prefix
// for a proxy that strips it.
func (b *builder) below(path string) []string {
	if prefix := b.base.Prefix(); prefix != "" {
		return []string{prefix + path, path}
	}
	return []string{path}
}

// wellKnown returns the paths of a well-known document: every location that clients try,
// through a proxy that strips the prefix or does not.
func (b *builder) wellKnown(name publicurl.Name) []string {
	urls, err := b.base.WellKnownAliases(name)
	if err != nil { // the names are constants
		b.fail(&Error{Document: Document(name), Field: "path", Rule: "no such well-known name", Err: err})
	}
	var paths []string
	for _, u := range urls {
		p := strings.TrimPrefix(u, b.base.Origin())
		paths = append(paths, p)
		if stripped, ok := b.strip(p); ok {
			paths = append(paths, stripped)
		}
	}
	return paths
}

// strip removes the prefix of the base from a path below it.
func (b *builder) strip(path string) (string, bool) {
	prefix := b.base.Prefix()
	if prefix == "" || !strings.HasPrefix(path, prefix+"/") {
		return path, false
	}
	return path[len(prefix):], true
}
