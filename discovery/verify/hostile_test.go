package verify

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

// A bomb is gzip of endless zeros.
type bomb struct{ written atomic.Int64 }

func (b *bomb) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for range 1024 { // a gigabyte for each request
		n, err := z.Write(zeros)
		b.written.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// Run decompresses at most Config.MaxBytes.
func TestStopsReadingCompressedBomb(t *testing.T) {
	b := &bomb{}
	report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: publicClient(t, b), MaxBytes: 1 << 20})
	require.NoError(t, err)
	require.NotEmpty(t, report.Findings)
	for _, f := range report.Findings {
		require.Equal(t, ruleTooLarge, f.Rule, "%v", f)
	}
	for _, c := range report.Checked {
		require.Zero(t, c.Bytes)
	}
	requireBounded(t, report)
}

// Every answer redirects to a URL that has not been seen.
func TestBoundsRedirectsWithoutEnd(t *testing.T) {
	var n atomic.Int64
	transport := &inMemory{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		redirectTo(fmt.Sprintf("https://%s/%d%s", r.Host, n.Add(1), r.URL.Path))(w, r)
	})}
	report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: &http.Client{Transport: transport}, Bearer: verifyToken, MailDomains: []string{"example.com"}})
	require.NoError(t, err)
	require.NotEmpty(t, report.Findings)
	require.Less(t, len(transport.asked), 120)
	requireBounded(t, report)
}

// A token of 8 KB is in every part of the answer.
func TestDoesNotRepeatLongToken(t *testing.T) {
	token := strings.Repeat("0123456789abcdef", 512)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		switch r.URL.Path {
		case "/.well-known/jmap":
			redirectTo("/jmap/session")(w, r)
		case "/jmap/session":
			if auth == "" {
				answer(401, "text/plain", "", "WWW-Authenticate", "Bearer")(w, r)
				return
			}
			answer(200, "text/"+auth, `{"apiUrl":"`+auth+`","username":"`+auth+auth+`","x":"`+token[:100]+`"}`, "Cache-Control", token, "X-Echo", token)(w, r)
		case oauthAtRoot:
			answer(200, "application/json", `{"issuer":"`+rootBase+`/`+token+`","`+token[:50]+`_endpoint":"https://`+token+`"}`)(w, r)
		default:
			redirectTo("https://other.example/"+token)(w, r)
		}
	})
	report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: publicClient(t, h), Bearer: token})
	require.NoError(t, err)
	require.NotEmpty(t, report.Findings)
	requireBounded(t, report)
	text, err := json.Marshal(report)
	require.NoError(t, err)
	require.Contains(t, string(text), "[token]")
	require.NotContains(t, string(text), token[:200])
}

// If every body arrives byte by byte, Run takes at most Config.Timeout.
func TestTimeLimitOfSlowServer(t *testing.T) {
	h := correctServer(t, verifyConfig(t, rootBase))
	synctest.Test(t, func(t *testing.T) {
		fast := &inMemory{handler: h}
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := fast.RoundTrip(r)
			if err == nil {
				response.Body = &slowBody{ctx: r.Context(), rest: response.Body}
			}
			return response, err
		})
		start := time.Now()
		report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: &http.Client{Transport: transport}, Timeout: 30 * time.Second, Connect: []string{"127.0.0.1:1"}})
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(start), 30*time.Second)
		requireBounded(t, report)
	})
}

// The comparison also limits large answers that differ from the first.
func TestBoundsTheComparison(t *testing.T) {
	var n, bytes atomic.Int64
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		endless := io.LimitReader(nested{&bytes}, 1<<30)
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(io.MultiReader(strings.NewReader(fmt.Sprintf("[%d,", n.Add(1))), endless)), Request: r}, nil
	})
	v := &verifier{base: mustBase(t, rootBase), settings: newSettings(Config{Client: &http.Client{Transport: transport}, MaxBytes: 1 << 16}), report: new(Report)}
	v.fetcher = newFetcher(v.base, v.settings)
	for i := range 100 {
		u := fmt.Sprintf("%s/%d", rootBase, i)
		v.ask(t.Context(), discovery.OAuthDocument, get(u))
		v.fetcher.calls[get(u)].answer.err = nil
		v.compare(discovery.OAuthDocument, u, true)
	}
	require.Len(t, v.comparing, maxCompared)
	v.nodes(t.Context())
	require.LessOrEqual(t, n.Load(), int64(100+maxCompared*defaultFresh))
	require.LessOrEqual(t, bytes.Load(), n.Load()*(1<<16+1<<10))
	requireBounded(t, v.report)
}

// Different large answers are decoded up to a limit, which legal documents do not reach.
func TestComparisonByteLimit(t *testing.T) {
	f := newFetcher(mustBase(t, rootBase), newSettings(Config{}))
	a, b := &fetched{body: []byte(`{"a":1,"b":2}`)}, &fetched{body: []byte(`{"b":2, "a":1}`)}
	require.Equal(t, f.content(a), f.content(b))
	f.content(&fetched{body: make([]byte, maxContent)})
	require.NotEqual(t, f.content(a), f.content(b))
	require.Equal(t, f.content(a), f.content(a))
}

// nested is a deeply nested list.
type nested struct{ bytes *atomic.Int64 }

func (r nested) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '['
	}
	r.bytes.Add(int64(len(p)))
	return len(p), nil
}
