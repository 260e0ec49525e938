package discovery

import (
	"net/http"
	"strconv"
)

// maxFields is the highest number of header fields that an answer adds to those that were
// set before.
const maxFields = 8

// A fields sets the header fields of one answer. Answers do not share values: if a handler
// changes one in place, such as w.Header()["Etag"][0], other answers do not change. All values
// of an answer take one allocation.
type fields struct {
	header http.Header
	values []string
}

// answerFields returns the fields of an answer, with those that every answer has:
// documents are public, so that a web application of any origin may read them, and are
// of the type in Content-Type.
func answerFields(w http.ResponseWriter) fields {
	f := fields{header: w.Header(), values: make([]string, 0, maxFields)}
	f.set("Access-Control-Allow-Origin", "*")
	f.set("Access-Control-Expose-Headers", "WWW-Authenticate, ETag")
	f.set("X-Content-Type-Options", "nosniff")
	return f
}

// set sets a field, whose name is in its canonical form.
func (f *fields) set(name, value string) {
	f.header[name] = f.value(value)
}

// add adds a value to a field.
func (f *fields) add(name, value string) {
	before := f.header[name]
	if before == nil {
		f.set(name, value)
		return
	}
	f.header[name] = append(before[:len(before):len(before)], value)
}

// value returns a list of one value, which is full: an append to it makes a copy.
func (f *fields) value(value string) []string {
	f.values = append(f.values, value)
	n := len(f.values)
	return f.values[n-1 : n : n]
}

// preflight answers OPTIONS (Fetch section 4.8). Any request header is allowed: "*" does
// not cover Authorization, and browsers that do not support "*" read the other names.
func preflight(w http.ResponseWriter, methods string) {
	f := answerFields(w)
	f.set("Allow", methods)
	f.set("Access-Control-Allow-Methods", methods)
	f.set("Access-Control-Allow-Headers", "*, Authorization, Content-Type, Depth, If-None-Match, Prefer")
	f.set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

// notAllowed answers 405 with the methods that are allowed.
func notAllowed(w http.ResponseWriter, methods string) {
	f := answerFields(w)
	f.set("Allow", methods)
	f.set("Content-Length", "0")
	w.WriteHeader(http.StatusMethodNotAllowed)
}

// notFound answers 404. Caches must not keep it, because the document may exist after the next
// Swap.
func notFound(w http.ResponseWriter, r *http.Request) {
	send(w, r, http.StatusNotFound, textPlain, notFoundBody)
}

const textPlain = "text/plain; charset=utf-8"

var notFoundBody = []byte("404 page not found\n")

// send answers with a body that is made for this request, or that caches must not keep.
func send(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	f := answerFields(w)
	f.set("Cache-Control", "no-store")
	f.send(w, r, status, contentType, body)
}

// send writes the answer. r may be nil.
func (f *fields) send(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	f.set("Content-Type", contentType)
	f.set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r == nil || r.Method != http.MethodHead {
		w.Write(body)
	}
}
