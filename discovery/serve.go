package discovery

import (
	"net/http"
	"strings"
)

const (
	readMethods     = "GET, HEAD, OPTIONS"
	redirectMethods = "GET, HEAD, OPTIONS, PROPFIND, REPORT"
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
	f := answerFields(w)
	if r.Header["If-Match"] != nil && !matches(r.Header["If-Match"], doc.etag, false) {
		f.set("Cache-Control", "no-store")
		f.set("Content-Length", "0")
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	if set.base.IsRelative() {
		// Caches must not keep this answer, because the next one may be absolute.
		f.set("Cache-Control", "no-store")
	} else {
		// With no-cache a cache may keep the document and must revalidate it. With a
		// lifetime the switch to another base would not be live.
		f.set("Cache-Control", "no-cache")
		f.set("Etag", doc.etag)
		if matches(r.Header["If-None-Match"], doc.etag, true) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	f.set("Content-Type", doc.contentType)
	f.set("Content-Length", doc.length)
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(doc.body)
	}
}

// reads reports whether the method is GET or HEAD. It answers all others.
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

// serveRedirect redirects every method with its body to the location: DAV clients send
// PROPFIND to a well-known location (RFC 6764 section 5).
func serveRedirect(w http.ResponseWriter, r *http.Request, set *Set, location string) {
	if r.Method == http.MethodOptions && r.Header["Access-Control-Request-Method"] != nil {
		preflight(w, redirectMethods)
		return
	}
	f := answerFields(w)
	if set.base.IsRelative() {
		f.set("Cache-Control", "no-store")
	} else {
		f.set("Cache-Control", "no-cache")
	}
	f.set("Location", location)
	f.set("Content-Length", "0")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// matches reports whether an If-None-Match or If-Match field, which may have
// several lines, holds the entity tag or is "*" (RFC 9110 sections 13.1.1 and
// 13.1.2). For If-None-Match the comparison is weak: W/ does not matter (section
// 8.8.3.2). Text after a malformed entity tag is ignored, so that the whole document is
// sent.
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
// section 8.8.3), or 0 if s does not begin with one.
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

// hostname returns the name in a Host field without port and root dot, as in the keys of
// route.byHost.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
