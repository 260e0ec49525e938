package webauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// RetryAfterOutage is the Retry-After of answers while a required server is not available, in
// seconds (RFC 9110 section 10.2.3).
const RetryAfterOutage = "10"

// NoStore forbids caches to store the answer.
func NoStore(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }

// WriteJSON answers with v as JSON.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(b)
}

// CrossOrigin registers a handler that web applications of every origin may use. The
// handler must not use cookies.
func CrossOrigin(mux *http.ServeMux, path string, handler http.HandlerFunc, methods ...string) {
	allow := strings.Join(append(methods, http.MethodOptions), ", ")
	for _, method := range methods {
		mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
			AllowOrigins(w, "WWW-Authenticate")
			handler(w, r)
		})
	}
	mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, r *http.Request) {
		AllowOrigins(w, "WWW-Authenticate")
		Preflight(w, allow)
	})
}

// AllowOrigins allows web applications of every origin to read an answer and the given fields of
// its header.
func AllowOrigins(w http.ResponseWriter, fields string) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", fields)
}

// Preflight answers OPTIONS with the given methods. Every request header is allowed, including
// Authorization, which "*" does not include.
func Preflight(w http.ResponseWriter, methods string) {
	h := w.Header()
	h.Set("Allow", methods)
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "*, Authorization")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

// ServerError answers with status 500, and logs err.
func (a *Auth) ServerError(w http.ResponseWriter, r *http.Request, err error) {
	a.LogError(r, err)
	http.Error(w, "internal server error", http.StatusInternalServerError)
}

// LogError logs that a request has failed because of the server. It ignores errors of package
// guard and of an issuer that is not available, which have already been logged.
func (a *Auth) LogError(r *http.Request, err error) {
	if errors.Is(err, discovery.ErrUnavailable) {
		return
	}
	a.Log.Error("request failed", "proto", client.FromRequest(r).Listener, "path", client.Quote(r.URL.Path), "reason", client.Quote(err.Error()))
}

// LogFailure logs a request that has failed because of the client.
func (a *Auth) LogFailure(r *http.Request, message, code, description string) {
	a.Log.Debug(message, "client_ip", client.FromRequest(r).LogIP().String(), "error", code, "description", client.Quote(description))
}
