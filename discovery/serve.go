package discovery

import (
	"net/http"
	"strings"
)

// The header fields of answers. The slices are shared: a map entry costs nothing,
// and a handler around this one that adds to a field gets a copy, as each is full.
var (
	corsOrigin  = []string{"*"}
	corsExpose  = []string{"WWW-Authenticate, ETag"}
	corsHeaders = []string{"Authorization, Content-Type, Depth, If-None-Match, Prefer"} // Depth and Prefer are for DAV
	corsMaxAge  = []string{"86400"}
	nosniff     = []string{"nosniff"}
	noCache     = []string{"no-cache"}
	noStore     = []string{"no-store"}
	zero        = []string{"0"}
	textPlain   = []string{"text/plain; charset=utf-8"}
	readMethods = []string{"GET, HEAD, OPTIONS"}

	notFoundBody   = []byte("404 page not found\n")
	notFoundLength = []string{"19"}
)

// serveDocument answers with a document, or 404 if it is nil.
func serveDocument(w http.ResponseWriter, r *http.Request, set *Set, doc *document) {
	if doc == nil {
		notFound(w, r)
		return
	}
	if !reads(w, r) {
		return
	}
	h := w.Header()
	common(h)
	if r.Header["If-Match"] != nil && !matches(r.Header["If-Match"], doc.etag, false) {
		h["Cache-Control"] = noStore
		h["Content-Length"] = zero
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	if set.base.IsRelative() {
		// The next answer may be absolute: nothing may keep this one.
		h["Cache-Control"] = noStore
	} else {
		// no-cache lets a cache keep it, but not use it without asking. With a
		// lifetime instead the switch to another base would not be live.
		h["Cache-Control"] = noCache
		h["Etag"] = doc.etagHeader
		if matches(r.Header["If-None-Match"], doc.etag, true) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h["Content-Type"] = doc.contentType
	h["Content-Length"] = doc.length
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(doc.body)
	}
}

// reads reports whether the request is to GET or HEAD. It answers all others.
func reads(w http.ResponseWriter, r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodOptions:
		preflight(w, readMethods)
	default:
		notAllowed(w, readMethods)
	}
	return false
}

// notAllowed answers 405 with the methods that are.
func notAllowed(w http.ResponseWriter, methods []string) {
	h := w.Header()
	common(h)
	h["Allow"] = methods
	h["Content-Length"] = zero
	w.WriteHeader(http.StatusMethodNotAllowed)
}

// common sets what every answer has: documents are public, so that a web
// application of any origin may read them, and are what their type says.
func common(h http.Header) {
	h["Access-Control-Allow-Origin"] = corsOrigin
	h["Access-Control-Expose-Headers"] = corsExpose
	h["X-Content-Type-Options"] = nosniff
}

func preflight(w http.ResponseWriter, methods []string) {
	h := w.Header()
	common(h)
	h["Allow"] = methods
	h["Access-Control-Allow-Methods"] = methods
	h["Access-Control-Allow-Headers"] = corsHeaders // "*" does not cover Authorization
	h["Access-Control-Max-Age"] = corsMaxAge
	w.WriteHeader(http.StatusNoContent)
}

// notFound is not to be kept: the document may be there after the next Swap.
func notFound(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	common(h)
	h["Cache-Control"] = noStore
	h["Content-Type"] = textPlain
	h["Content-Length"] = notFoundLength
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		w.Write(notFoundBody)
	}
}

// serveRedirect sends every method on to the location, with its body: DAV clients
// ask a well-known location with PROPFIND (RFC 6764 section 5).
func serveRedirect(w http.ResponseWriter, r *http.Request, set *Set, location []string) {
	if r.Method == http.MethodOptions && r.Header["Access-Control-Request-Method"] != nil {
		preflight(w, redirectMethods)
		return
	}
	h := w.Header()
	common(h)
	h["Cache-Control"] = noCache
	if set.base.IsRelative() {
		h["Cache-Control"] = noStore
	}
	h["Location"] = location
	h["Content-Length"] = zero
	w.WriteHeader(http.StatusTemporaryRedirect)
}

var redirectMethods = []string{"GET, HEAD, OPTIONS, PROPFIND, REPORT"}

// matches reports whether an If-None-Match or If-Match field, which may have
// several lines, holds the entity tag or is "*" (RFC 9110 sections 13.1.1 and
// 13.1.2). For If-None-Match the comparison is weak: W/ does not matter (section
// 8.8.3.2). What comes after something malformed does not count, so that the whole
// document is sent.
func matches(lines []string, etag string, weak bool) bool {
	if len(lines) == 1 && strings.Trim(lines[0], " \t") == "*" {
		return true
	}
	for _, s := range lines {
		for {
			for s != "" && (s[0] == ' ' || s[0] == '\t' || s[0] == ',') {
				s = s[1:] // a list may have empty elements (section 5.6.1)
			}
			if s == "" {
				break
			}
			rest, isWeak := strings.CutPrefix(s, "W/")
			n, same := len(etag), strings.HasPrefix(rest, etag)
			if !same {
				n = opaqueTagLen(rest)
			}
			if n == 0 {
				return false
			}
			after := rest[n:]
			for after != "" && (after[0] == ' ' || after[0] == '\t') {
				after = after[1:]
			}
			if after != "" && after[0] != ',' {
				return false
			}
			if same && (weak || !isWeak) {
				return true
			}
			s = after
		}
	}
	return false
}

// opaqueTagLen returns the length of the opaque-tag at the start of s (RFC 9110
// section 8.8.3), or 0 if there is none.
func opaqueTagLen(s string) int {
	if s == "" || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c < 0x21 || c == 0x7f: // no blanks and no control characters
			return 0
		}
	}
	return 0
}

// hostname is the name in a Host field, without port and root dot, as the keys of
// route.byHost are spelt.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
