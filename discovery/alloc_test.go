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

// An answer has header values of its own, which take one allocation.
func TestDocumentsAllocateTheirHeaderValuesOnly(t *testing.T) {
	set := fullSet(t, "https://example.com/mail")
	h := NewServer(set, ServerConfig{})
	etag := set.documents["plain"].etag
	for _, tt := range []struct {
		name, method, target string
		fields               []string
		status               int
	}{
		{"200", "GET", "/mail/doc", nil, 200},
		{"200 of a host", "GET", "/hosts", []string{"Host: a.example:8443"}, 200},
		{"200 with other tags", "GET", "/doc", []string{`If-None-Match: "a", W/"b"`}, 200},
		{"200 of metadata", "GET", "/mail/.well-known/openid-configuration", nil, 200},
		{"200 of an account", "GET", "/api/discover/demo@example.com", nil, 200},
		{"200 of a policy", "GET", "/.well-known/mta-sts.txt", []string{"Host: mta-sts.a.example"}, 200},
		{"404 of metadata", "GET", "/.well-known/openid-configuration/other", nil, 404},
		{"head", "HEAD", "/doc", nil, 200},
		{"304", "GET", "/doc", []string{`If-None-Match: "a", W/` + etag}, 304},
		{"404", "GET", "/.well-known/other", nil, 404},
		{"404 of another host", "GET", "/hosts", []string{"Host: b.example"}, 404},
		{"404 with escapes", "GET", "/mail%2Fdoc", nil, 404},
		{"405", "POST", "/doc", nil, 405},
		{"preflight", "OPTIONS", "/doc", nil, 204},
		{"redirect", "PROPFIND", "/.well-known/caldav", nil, 307},
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
