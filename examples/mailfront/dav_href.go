// go-webdav answers PROPFIND on its root with the path of the principal, and reports nothing for a
// collection without its final slash. This file corrects both answers.

package main

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
)

// maxHrefSearch is the number of bytes of an answer in which the first href is searched.
const maxHrefSearch = 4096

// findProperties serves PROPFIND. It sets the href of the first response to the requested path,
// with or without its final slash (RFC 4918 sections 5.2 and 9.1).
func (t davTree) findProperties(next http.Handler, w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/") + "/"
	answered := path
	switch path {
	case t.root + "/":
		answered = t.principal()
	case t.principal(), t.home(), t.collection():
	default:
		if strings.Count(strings.TrimPrefix(path, t.root), "/") <= 3 { // the path of a principal or a home
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

// A hrefWriter replaces the first href within the first maxHrefSearch bytes.
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

// release writes the bytes that are held back.
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
