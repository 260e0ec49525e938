// go-webdav answers PROPFIND on its root with the path of the principal, and a request for a
// collection without its final slash with nothing. This file corrects both.

package main

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
)

// maxHrefSearch is how much of an answer may come before its first href, in bytes.
const maxHrefSearch = 4096

// findProperties serves PROPFIND: the first response has the href that was asked for,
// with or without a slash at its end (RFC 4918 sections 5.2 and 9.1).
func (t davTree) findProperties(next http.Handler, w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/") + "/"
	answered := path
	switch path {
	case t.root + "/":
		answered = t.principal()
	case t.principal(), t.home(), t.collection():
	default:
		if strings.Count(strings.TrimPrefix(path, t.root), "/") <= 3 { // where a principal or a home would be
			http.Error(w, errNotFound.Error(), http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r) // an object
		return
	}
	asked := r.URL.EscapedPath()
	if asked == strings.TrimSuffix(asked, "/") {
		w.Header().Set("Content-Location", asked+"/")
	}
	u := *r.URL
	u.Path, u.RawPath = path, ""
	inner := *r
	inner.URL = &u
	out := &hrefWriter{ResponseWriter: w, from: hrefElement((&url.URL{Path: answered}).String()), to: hrefElement(asked)}
	next.ServeHTTP(out, &inner)
	out.release()
}

func hrefElement(path string) []byte {
	var b bytes.Buffer
	b.WriteString("<href>")
	xml.EscapeText(&b, []byte(path)) // a Buffer returns no error
	b.WriteString("</href>")
	return b.Bytes()
}

// A hrefWriter replaces an element, once, within the first maxHrefSearch bytes.
type hrefWriter struct {
	http.ResponseWriter
	from, to []byte
	held     []byte
	done     bool
}

func (w *hrefWriter) Write(b []byte) (int, error) {
	if w.done {
		return w.ResponseWriter.Write(b)
	}
	w.held = append(w.held, b...)
	if bytes.Contains(w.held, w.from) {
		w.held = bytes.Replace(w.held, w.from, w.to, 1)
	} else if len(w.held) < maxHrefSearch {
		return len(b), nil
	}
	if err := w.release(); err != nil {
		return 0, err
	}
	return len(b), nil
}

// release writes what is held.
func (w *hrefWriter) release() error {
	w.done = true
	held := w.held
	w.held = nil
	if len(held) == 0 {
		return nil
	}
	_, err := w.ResponseWriter.Write(held)
	return err
}
