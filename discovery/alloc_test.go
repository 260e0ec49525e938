package discovery

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A reusedWriter is a ResponseWriter that allocates nothing by itself.
type reusedWriter struct {
	header http.Header
	status int
	body   int
}

func (w *reusedWriter) Header() http.Header         { return w.header }
func (w *reusedWriter) WriteHeader(status int)      { w.status = status }
func (w *reusedWriter) Write(b []byte) (int, error) { w.body += len(b); return len(b), nil }

func (w *reusedWriter) reset() {
	clear(w.header)
	w.status, w.body = 0, 0
}

// The header values of an answer take one allocation.
func TestDocumentsAllocateHeaderOnly(t *testing.T) {
	set := fullSet(t, "https://example.com/mail")
	h := NewServer(set, ServerConfig{})
	etag := set.documents["plain"].etag
	for _, tt := range []struct {
		name, method, target string
		fields               []string
		status               int
	}{
		{name: "200", method: "GET", target: "/mail/doc", status: 200},
		{name: "200 of a host", method: "GET", target: "/hosts", fields: []string{"Host: a.example:8443"}, status: 200},
		{name: "200 with other tags", method: "GET", target: "/doc", fields: []string{`If-None-Match: "a", W/"b"`}, status: 200},
		{name: "200 of metadata", method: "GET", target: "/mail/.well-known/openid-configuration", status: 200},
		{name: "200 of an account", method: "GET", target: "/api/discover/demo@example.com", status: 200},
		{name: "200 of a policy", method: "GET", target: "/.well-known/mta-sts.txt", fields: []string{"Host: mta-sts.a.example"}, status: 200},
		{name: "404 of metadata", method: "GET", target: "/.well-known/openid-configuration/other", status: 404},
		{name: "head", method: "HEAD", target: "/doc", status: 200},
		{name: "304", method: "GET", target: "/doc", fields: []string{`If-None-Match: "a", W/` + etag}, status: 304},
		{name: "404", method: "GET", target: "/.well-known/other", status: 404},
		{name: "404 of another host", method: "GET", target: "/hosts", fields: []string{"Host: b.example"}, status: 404},
		{name: "404 with escapes", method: "GET", target: "/mail%2Fdoc", status: 404},
		{name: "405", method: "POST", target: "/doc", status: 405},
		{name: "preflight", method: "OPTIONS", target: "/doc", status: 204},
		{name: "redirect", method: "PROPFIND", target: "/.well-known/caldav", status: 307},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t, tt.method, tt.target, tt.fields...)
			w := &reusedWriter{header: make(http.Header)}
			allocs := testing.AllocsPerRun(100, func() {
				w.reset()
				h.ServeHTTP(w, r)
			})
			require.Equal(t, tt.status, w.status)
			require.LessOrEqual(t, allocs, 1.0)
		})
	}
}
