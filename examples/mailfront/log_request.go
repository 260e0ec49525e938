// What to copy: logRequest, which writes the line of a request with its status as soon as the
// status is known: a request for events goes on for hours. What to change: the attributes.

package main

import (
	"log/slog"
	"net/http"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// maxLoggedPath is how much of a path a line has, in bytes. Clients choose the path.
const maxLoggedPath = 256

// logRequest returns a ResponseWriter for the request that logs it with the method, the path and
// the status. The query is not logged, because it can have codes and tokens. Call done when the
// handler has returned.
func (f *frontend) logRequest(w http.ResponseWriter, r *http.Request, cl client.Client) (logged http.ResponseWriter, done func()) {
	method, path := r.Method, r.URL.EscapedPath() // before a handler changes them
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

// loggedText returns a text of a client for the log.
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
	if !w.done && (status >= 200 || status == 0) { // 1xx is not the last
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

// Flush sends what was written, for handlers that use http.Flusher.
func (w *loggedResponse) Flush() {
	w.status(http.StatusOK)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *loggedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }
