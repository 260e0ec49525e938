package webpage

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const acceptHTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func serve(t *testing.T, method, accept string, handler http.HandlerFunc) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "/x", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	Errors(handler).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(b)
}

func failWith(status int, text, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, text, status)
	}
}

func TestABrowserGetsAnErrorAsAPage(t *testing.T) {
	for _, test := range []struct {
		name       string
		method     string
		status     int
		text       string
		retryAfter string
		contains   []string
		retry      bool
	}{
		{name: "404", method: "GET", status: 404, text: "404 page not found", contains: []string{"<h1>Page not found</h1>", "Check the address"}},
		{name: "403 of a handler", method: "POST", status: 403, text: "TLS is required.", contains: []string{"<h1>Access denied</h1>", "TLS is required."}},
		{name: "405", method: "GET", status: 405, text: "Method Not Allowed", contains: []string{"<h1>Not a page</h1>"}},
		{name: "429", method: "GET", status: 429, text: "slow down", retryAfter: "900", contains: []string{"<h1>Too many requests</h1>", "You can try again in 15 minutes."}, retry: true},
		{name: "429 of a form", method: "POST", status: 429, text: "slow down", retryAfter: "900", contains: []string{"in 15 minutes"}},
		{name: "500", method: "GET", status: 500, text: "internal server error", contains: []string{"<h1>Server error</h1>"}},
		{name: "503", method: "GET", status: 503, text: "The store does not answer.", retryAfter: "10", contains: []string{"<h1>Temporarily unavailable</h1>", "The store does not answer.", "in 10 seconds"}, retry: true},
		{name: "any other status", method: "GET", status: 418, text: "short and stout", contains: []string{"teapot</h1>", "short and stout"}},
		{name: "markup", method: "GET", status: 403, text: "<script>alert(1)</script>", contains: []string{"&lt;script&gt;"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			response := serve(t, test.method, acceptHTML, failWith(test.status, test.text, test.retryAfter))
			page := body(t, response)
			require.Equal(t, test.status, response.StatusCode)
			h := response.Header
			require.Equal(t, "text/html; charset=utf-8", h.Get("Content-Type"))
			require.Equal(t, test.retryAfter, h.Get("Retry-After"))
			require.Equal(t, "no-store", h.Get("Cache-Control"))
			require.Equal(t, "DENY", h.Get("X-Frame-Options"))
			require.Equal(t, Policy(""), h.Get("Content-Security-Policy"))
			require.NotContains(t, h.Get("Content-Security-Policy"), "script-src")
			for _, text := range test.contains {
				require.Contains(t, page, text)
			}
			require.NotContains(t, page, "<script")
			require.Equal(t, test.retry, strings.Contains(page, "Try again</a>"))
			require.Contains(t, page, "<style>"+styleSheet+"</style>", "the hash is of this text")
		})
	}
}

func TestOtherAnswersPassUnchanged(t *testing.T) {
	fail := failWith(404, "404 page not found", "")
	for _, test := range []struct {
		name, accept string
		handler      http.HandlerFunc
		status       int
		contentType  string
		body         string
	}{
		{name: "an error for a program", handler: fail, status: 404, contentType: "text/plain; charset=utf-8", body: "404 page not found\n"},
		{name: "an error for curl", accept: "*/*", handler: fail, status: 404, contentType: "text/plain; charset=utf-8", body: "404 page not found\n"},
		{name: "an error in JSON", accept: acceptHTML, status: 400, contentType: "application/json", body: `{"error":"x"}`, handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"x"}`)
		}},
		{name: "plain text", accept: acceptHTML, status: 200, contentType: "text/plain", body: "hello", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, "hello")
		}},
		{name: "a redirect", accept: acceptHTML, status: 303, body: "", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "admin")
			w.WriteHeader(303)
		}},
		{name: "an error after the answer", accept: acceptHTML, status: 200, contentType: "application/json", body: "{}late\n", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "{}")
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(500)
			io.WriteString(w, "late\n")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			response := serve(t, "GET", test.accept, test.handler)
			require.Equal(t, test.status, response.StatusCode)
			require.Equal(t, test.contentType, response.Header.Get("Content-Type"))
			require.Equal(t, test.body, body(t, response))
		})
	}
}

func TestErrorWriterController(t *testing.T) {
	server := httptest.NewServer(Errors(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		if err := out.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/error" {
			http.Error(w, strings.Repeat("long ", 1000), http.StatusForbidden)
		} else {
			io.WriteString(w, "event")
		}
		if err := out.Flush(); err != nil {
			t.Error(err)
		}
	})))
	defer server.Close()
	for path, want := range map[string]string{"/": "event", "/error": "<h1>Access denied</h1>"} {
		r, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
		require.NoError(t, err)
		r.Header.Set("Accept", acceptHTML)
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		require.Contains(t, body(t, response), want)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for value, want := range map[string]string{
			"": "", "soon": "", "-1": "", "99999999999": "",
			"0": "in a second", "1": "in a second", "2": "in 2 seconds", "59": "in 59 seconds", "60": "in a minute", "61": "in 2 minutes",
			"899": "in 15 minutes", "900": "in 15 minutes", "7140": "in 119 minutes", "7200": "in 2 hours", "7201": "in 3 hours",
			time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat): "in 2 minutes",
			time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat):       "in a second",
		} {
			require.Equal(t, want, Wait(http.Header{"Retry-After": {value}}), value)
		}
	})
}
