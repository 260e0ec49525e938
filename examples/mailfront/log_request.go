// Copy logRequest, which logs a request as soon as its status is known, because a request for events
// lasts for hours. Change the attributes.

package main

import (
	"log/slog"
	"net/http"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// maxLoggedPath is the maximum number of bytes of a path in the log. Clients choose the path.
const maxLoggedPath = 256

// logRequest returns a ResponseWriter that logs the request with its method, path and status. The
// query is not logged, because it may contain codes and tokens. Call done after the handler has
// returned.
func (f *frontend) logRequest(w http.ResponseWriter, r *http.Request, cl client.Client) (logged http.ResponseWriter, done func()) {
	method, path := r.Method, r.URL.EscapedPath() // save them, because a handler may change them
	lw := &loggedResponse{ResponseWriter: w, log: func(status int) {
		cl.Log(f.log, "session", slog.String("method", loggedText(method)), slog.String("path", loggedText(path)), slog.Int("status", status))
	}}
	return lw, func() {
		if p := recover(); p != nil { // net/http closes the connection without a status
			lw.status(0)
			panic(p)
		}
		lw.status(http.StatusOK)
	}
}

// loggedText returns a text of a client in the form in which it is logged.
func loggedText(s string) string {
	s = client.Quote(s)
	if len(s) > maxLoggedPath {
		s = s[:maxLoggedPath] + "…"
	}
	return s
}

type loggedResponse struct {
	http.ResponseWriter
	log  func(status int)
	done bool
}

func (w *loggedResponse) status(status int) {
	if !w.done && (status >= 200 || status == 0) { // a 1xx status is not final
		w.done = true
		w.log(status)
	}
}

func (w *loggedResponse) WriteHeader(status int) {
	w.status(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *loggedResponse) Write(b []byte) (int, error) {
	w.status(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (w *loggedResponse) Flush() {
	w.status(http.StatusOK)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap returns the ResponseWriter for http.ResponseController.
func (w *loggedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }
