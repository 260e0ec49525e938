package discovery

import (
	"encoding/json"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// encodePerRequest composes the OpenID document from the Host field of each request.
func encodePerRequest(lists openIDMetadata) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		base := "https://" + r.Host
		m := lists
		m.Issuer = base
		m.AuthorizationEndpoint = base + "/login"
		m.TokenEndpoint = base + "/auth/token"
		m.DeviceAuthorizationEndpoint = base + "/auth/device"
		m.IntrospectionEndpoint = base + "/auth/introspect"
		m.RegistrationEndpoint = base + "/auth/register"
		m.JWKSURI = base + "/auth/jwks.json"
		m.UserinfoEndpoint = base + "/auth/userinfo"
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(m); err != nil {
			panic(err)
		}
	}
}

// BenchmarkDocument reports ns/op of the handler, encode-ns/op of encodePerRequest, and the
// ratio of both, x-encode. Both are measured in turns in the same run.
func BenchmarkDocument(b *testing.B) {
	set := fullSet(b, "https://mail.example.com")
	h := NewServer(set, ServerConfig{})
	var lists openIDMetadata
	require.NoError(b, json.Unmarshal(set.Bytes(OpenIDDocument), &lists))
	encode := encodePerRequest(lists)
	const path = "/.well-known/openid-configuration"
	_, ours := ask(b, h, "GET", path)
	_, peers := ask(b, encode, "GET", path, "Host: mail.example.com")
	require.Equal(b, ours+"\n", peers)
	for _, bb := range []struct {
		name, target string
		fields       []string
		status       int
	}{
		{name: "200", target: path, status: 200},
		{name: "304", target: path, fields: []string{"If-None-Match: " + set.ETag(OpenIDDocument)}, status: 304},
		{name: "304-list", target: path, fields: []string{`If-None-Match: "a", W/` + set.ETag(OpenIDDocument)}, status: 304},
		{name: "404", target: path + "/other", status: 404},
	} {
		b.Run(bb.name, func(b *testing.B) {
			r := request(b, "GET", bb.target, bb.fields...)
			w := &reusedWriter{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				w.reset()
				h.ServeHTTP(w, r)
			}
			require.Equal(b, bb.status, w.status)
			const turns, n = 10, 5000
			var ours, peer time.Duration
			for range turns { // other load affects both
				runtime.GC() // garbage of the peer does not affect it
				ours += timeOf(n, h, w, r)
				peer += timeOf(n, encode, w, r)
			}
			b.ReportMetric(float64(peer)/(turns*n), "encode-ns/op")
			b.ReportMetric(float64(ours)/float64(peer), "x-encode")
		})
	}
}

// timeOf returns how long a handler takes for n requests.
func timeOf(n int, h http.Handler, w *reusedWriter, r *http.Request) time.Duration {
	start := time.Now()
	for range n {
		w.reset()
		h.ServeHTTP(w, r)
	}
	return time.Since(start)
}

// BenchmarkSession encodes the session of an account for each request.
func BenchmarkSession(b *testing.B) {
	set := jmapSet(b, "https://mail.example.com", nil)
	h := NewServer(set, ServerConfig{Session: func(*http.Request) (Account, error) { return demoAccount(), nil }})
	r := request(b, "GET", "/jmap/session")
	w := &reusedWriter{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		w.reset()
		h.ServeHTTP(w, r)
	}
	require.Equal(b, 200, w.status)
}
