package verify

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

// inMemory is a transport without a network, for tests with time in them.
type inMemory struct {
	handler http.Handler
	mu      sync.Mutex
	asked   []*http.Request
}

func (m *inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	m.asked = append(m.asked, r.Clone(context.Background()))
	m.mu.Unlock()
	server := r.Clone(r.Context())
	server.Host, server.RequestURI = r.URL.Host, r.URL.RequestURI()
	server.Body = http.NoBody
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, server)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func hang(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestIsBoundedInTime(t *testing.T) {
	for _, c := range []struct {
		name     string
		tamper   tamper
		check    Config
		most     time.Duration
		rules    []string
		document discovery.Document
	}{
		{name: "one document hangs", tamper: at(oauthAtRoot, hang), most: defaultRequestTimeout, rules: []string{ruleTimeout}, document: discovery.OAuthDocument},
		{name: "an endpoint hangs", tamper: at("/auth/token", hang), most: defaultRequestTimeout, rules: []string{ruleTimeout}, document: discovery.OAuthDocument},
		{name: "shorter requests", tamper: at("/.well-known/jmap", hang), check: Config{RequestTimeout: time.Second}, most: time.Second, rules: []string{ruleTimeout}, document: discovery.JMAPDocument},
		{name: "too little time for all", tamper: at("/auth/token", hang), check: Config{Timeout: time.Second}, most: time.Second, rules: []string{ruleTimeout}, document: configDocument},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &http.Client{Transport: &inMemory{handler: c.tamper(correctServer(t, verifyConfig(t, rootBase)))}}
				start := time.Now()
				c.check.Client = client
				report, err := Run(t.Context(), mustBase(t, rootBase), c.check)
				require.NoError(t, err)
				require.LessOrEqual(t, time.Since(start), c.most)
				var rules []string
				for _, f := range report.Findings {
					rules = append(rules, f.Rule)
					require.Equal(t, c.document, f.Document)
					require.Equal(t, MistakeBackend, f.Mistake)
				}
				require.Equal(t, c.rules, rules, "%v", report.Findings)
			})
		})
	}
}

// A body that arrives byte by byte is a timeout, too.
func TestBoundsSlowBodies(t *testing.T) {
	h := correctServer(t, verifyConfig(t, rootBase))
	synctest.Test(t, func(t *testing.T) {
		fast := &inMemory{handler: h}
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := fast.RoundTrip(r)
			if err == nil && r.URL.Path == oauthAtRoot {
				response.Body = &slowBody{ctx: r.Context(), rest: response.Body}
			}
			return response, err
		})
		start := time.Now()
		report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: &http.Client{Transport: transport}, RequestTimeout: 3 * time.Second})
		require.NoError(t, err)
		require.Len(t, report.Findings, 1, "%v", report.Findings)
		require.Equal(t, ruleTimeout, report.Findings[0].Rule, "%v", report.Findings)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

// A slowBody returns one byte each second.
type slowBody struct {
	ctx  context.Context
	rest io.ReadCloser
}

func (b *slowBody) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return b.rest.Read(p[:min(1, len(p))])
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func (b *slowBody) Close() error { return b.rest.Close() }

func TestReportsWhyItCouldNotRun(t *testing.T) {
	relative, err := publicurl.Relative("/mail")
	require.NoError(t, err)
	base := mustBase(t, rootBase)
	refused := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("connection refused")
	}}}
	unknown := httptest.NewUnstartedServer(http.NotFoundHandler())
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0)
	unknown.StartTLS()
	defer unknown.Close()
	toUnknown := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, unknown.Listener.Addr().String())
	}}}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	toPlain := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, plain.Listener.Addr().String())
	}}}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		client *http.Client
		base   publicurl.Base
		check  Config
		want   string
	}{
		{name: "no base", ctx: t.Context(), base: publicurl.Base{}, check: Config{}, want: "the base has no host"},
		{name: "a relative base", ctx: t.Context(), base: relative, check: Config{}, want: "the base has no host"},
		{name: "an invalid domain", ctx: t.Context(), base: base, check: Config{MailDomains: []string{"EXAMPLE.com"}}, want: `invalid mail domain "EXAMPLE.com"`},
		{name: "a refused connection", ctx: t.Context(), client: refused, base: base, check: Config{}, want: "nothing can be reached: check host, port and scheme: connection refused"},
		{name: "an unknown certificate", ctx: t.Context(), client: toUnknown, base: base, check: Config{}, want: "the certificate is not trusted"},
		{name: "no TLS", ctx: t.Context(), client: toPlain, base: base, check: Config{}, want: "nothing can be reached"},
		{name: "a context that has ended", ctx: ended, client: refused, base: base, check: Config{}, want: "context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check.Client = c.client
			report, err := Run(c.ctx, c.base, c.check)
			require.Nil(t, report)
			require.ErrorContains(t, err, c.want)
			require.True(t, strings.HasPrefix(err.Error(), "verify: "), "%v", err)
			var cert *tls.CertificateVerificationError
			require.Equal(t, c.client == toUnknown, errors.As(err, &cert))
		})
	}
	t.Run("a server that never answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			_, err := Run(t.Context(), base, Config{Client: &http.Client{Transport: &inMemory{handler: http.HandlerFunc(hang)}}})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.LessOrEqual(t, time.Since(start), defaultTimeout)
		})
	})
}

// A jar that reports its use.
type countingJar struct{ n int }

func (j *countingJar) SetCookies(*url.URL, []*http.Cookie) { j.n++ }
func (j *countingJar) Cookies(*url.URL) []*http.Cookie     { j.n++; return nil }

func TestLeavesTheClientAlone(t *testing.T) {
	for _, follow := range []func(*http.Request, []*http.Request) error{nil, func(*http.Request, []*http.Request) error {
		t.Error("the caller's CheckRedirect was called")
		return nil
	}} {
		jar := &countingJar{}
		transport := &inMemory{handler: changed("/.well-known/jmap", func(h http.Header, body string) string {
			h.Set("Set-Cookie", "a=b")
			return body
		})(correctServer(t, verifyConfig(t, rootBase)))}
		client := &http.Client{Transport: transport, Jar: jar, CheckRedirect: follow, Timeout: time.Hour}
		report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: client})
		require.NoError(t, err)
		require.Empty(t, report.Findings)
		require.Zero(t, jar.n)
		require.Equal(t, follow == nil, client.CheckRedirect == nil)
		require.Same(t, transport, client.Transport)
		require.Equal(t, time.Hour, client.Timeout)
	}
}

func TestChangesNothingAtServer(t *testing.T) {
	transport := &inMemory{handler: correctServer(t, verifyConfig(t, rootBase))}
	_, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: &http.Client{Transport: transport}, Bearer: verifyToken})
	require.NoError(t, err)
	for _, r := range transport.asked {
		require.Contains(t, []string{"GET", "POST", "PROPFIND", "OPTIONS"}, r.Method)
		require.True(t, r.Body == nil || r.Body == http.NoBody, "%s %s has a body", r.Method, r.URL)
	}
}

func TestBoundsItsReport(t *testing.T) {
	var members, texts strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&members, `,"e%d_endpoint":"https://h%d.example/%s\u001b[31m"`, i, i, strings.Repeat("x", 20))
		fmt.Fprintf(&texts, `,"p%d_endpoint":"%s/%d"`, i, rootBase, i)
	}
	for name, doc := range map[string]string{
		"URLs elsewhere":  `{"issuer":"` + rootBase + `"` + members.String() + `}`,
		"URLs of its own": `{"issuer":"` + rootBase + `"` + texts.String() + `}`,
		"a long string":   `{"issuer":"` + strings.Repeat("é", 100_000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			transport := &inMemory{handler: at(oauthAtRoot, body("application/json", doc))(http.NotFoundHandler())}
			report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: &http.Client{Transport: transport}})
			require.NoError(t, err)
			require.NotEmpty(t, report.Findings)
			requireBounded(t, report)
			require.Less(t, len(transport.asked), maxEndpoints+40)
		})
	}
}

func TestCountsFindingsThatItLeavesOut(t *testing.T) {
	v := &verifier{report: &Report{}}
	for i := range maxFindings + 7 {
		v.add(Finding{Rule: ruleOutside, Hint: fmt.Sprint(i)})
	}
	require.Len(t, v.report.Findings, maxFindings)
	require.Equal(t, 7, v.report.Omitted)
}

func TestClip(t *testing.T) {
	v := new(verifier)
	for _, test := range []struct{ in, want string }{
		{in: strings.Repeat("a", 400), want: strings.Repeat("a", 400)},
		{in: strings.Repeat("a", 401), want: strings.Repeat("a", 397) + "…"},
		{in: strings.Repeat("é", 300), want: strings.Repeat("é", 198) + "…"},
		{in: "a" + strings.Repeat("é", 300), want: "a" + strings.Repeat("é", 198) + "…"},
		{in: strings.Repeat("\x1b", 134), want: strings.Repeat("\uFFFD", 132) + "…"}, // each takes three bytes
		{in: strings.Repeat("\xff", 500), want: "\uFFFD…"},
		{in: strings.Repeat("a", 398) + "\xff\x1b", want: strings.Repeat("a", 397) + "…"},
	} {
		require.Equal(t, test.want, v.clip(test.in))
		require.Equal(t, test.want, v.clip(test.want), "what is clipped stays as it is")
	}
}

func requireBounded(t testing.TB, report *Report) {
	t.Helper()
	require.LessOrEqual(t, len(report.Findings), maxFindings)
	require.LessOrEqual(t, len(report.Checked), maxChecked)
	check := func(all ...string) {
		for _, s := range all {
			require.LessOrEqual(t, len(s), maxFindingLength)
			require.NotContains(t, s, "\x1b")
			require.NotContains(t, s, verifyToken)
		}
	}
	for _, f := range report.Findings {
		require.NotEmpty(t, f.Rule)
		require.NotEmpty(t, f.Hint)
		require.NotEmpty(t, f.URL)
		check(string(f.Document), f.URL, f.Field, f.Got, f.Want, f.Hint)
	}
	for _, c := range report.Checked {
		check(string(c.Document), c.URL, c.Location, c.Error)
	}
}

func TestReportHasStableNames(t *testing.T) {
	h := replaced(oauthAtRoot, rootBase+"/login", "http://example.com/login")(correctServer(t, discovery.Config{Base: mustBase(t, rootBase), OAuth: &discovery.OAuth{}}))
	report := verify(t, h, rootBase, Config{})
	require.Len(t, report.Findings, 1)
	text, err := json.Marshal(report.Findings[0])
	require.NoError(t, err)
	require.JSONEq(t, `{
		"document": "oauth-authorization-server",
		"url": "https://example.com/.well-known/oauth-authorization-server",
		"field": "authorization_endpoint",
		"rule": "http-for-https",
		"got": "http://example.com/login",
		"want": "a URL below https://example.com",
		"hint": "the server takes the connection from the proxy for the client's: set its public URL, or let the proxy tell it the scheme",
		"mistake": "public-url-differs",
		"severity": "error"
	}`, string(text))
	require.Equal(t, `error: http-for-https: oauth-authorization-server authorization_endpoint at https://example.com/.well-known/oauth-authorization-server: got "http://example.com/login", want a URL below https://example.com: the server takes the connection from the proxy for the client's: set its public URL, or let the proxy tell it the scheme`, report.Findings[0].String())
	text, err = json.Marshal(report)
	require.NoError(t, err)
	var names map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &names))
	require.Contains(t, names, "base")
	require.Contains(t, names, "checked")
	require.Contains(t, names, "findings")
}

// A report without findings lists the requests.
func TestReportListsWhatWasChecked(t *testing.T) {
	report := verify(t, correctServer(t, verifyConfig(t, pathBase)), pathBase, Config{})
	seen := make(map[string]int)
	for _, c := range report.Checked {
		seen[c.Method+" "+c.URL] = c.Status
		require.Equal(t, c.Bytes > 0, len(c.SHA256) == 64, "%v", c)
	}
	for what, status := range map[string]int{
		"GET https://example.com" + oauthAtPath:                                          200,
		"GET https://example.com" + openIDAtPath:                                         200,
		"GET https://example.com/.well-known/oauth-protected-resource/mail":              200,
		"GET https://example.com/.well-known/oauth-protected-resource/mail/jmap/session": 200,
		"GET https://example.com/.well-known/jmap":                                       307,
		"GET https://example.com/mail/jmap/session":                                      401,
		"OPTIONS https://example.com/mail/jmap/session":                                  204,
		"PROPFIND https://example.com/.well-known/caldav":                                307,
		"PROPFIND https://example.com/mail/dav/card/":                                    401,
		"POST https://example.com/mail/auth/token":                                       400,
		"GET https://example.com/mail/auth/jwks.json":                                    200,
		"GET https://example.com/mail/api/discover":                                      200,
		"GET https://example.com/.well-known/user-agent-configuration.json":              200,
	} {
		require.Equal(t, status, seen[what], what)
	}
}

func FuzzReportIsBounded(f *testing.F) {
	for _, s := range []string{`{"issuer":"https://example.com","token_endpoint":"/x","jwks_uri":"https://example.com/k","keys":[]}`, `{"keys":null}`,
		`<clientConfig><calendar type="caldav"><url>http://example.com/</url></calendar></clientConfig>`, "version: STSv1\nmode: none\nmax_age: 1", `{"protocols":{"jmap":{"url":""}}}`,
		`{"apiUrl":"https://example.com/a","downloadUrl":"%7BaccountId%7D","capabilities":{"urn:ietf:params:jmap:websocket":{"url":"ws://"}}}`, "[[[[", "<!doctype html>", "\x1b[2J", ""} {
		f.Add(200, "application/json", "", s)
		f.Add(401, "text/html", `Bearer resource_metadata="https://example.com/.well-known/x`, s)
		f.Add(302, "", "https://example.com/"+s, s)
	}
	base, err := publicurl.Parse(rootBase)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, status int, contentType, header, text string) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			w.Header()["Location"] = []string{header}
			w.Header()["Www-Authenticate"] = []string{header}
			w.Header()["Access-Control-Allow-Origin"] = []string{contentType}
			w.WriteHeader(100 + status&0x1ff)
			io.WriteString(w, text)
		})
		report, err := Run(t.Context(), base, Config{Client: &http.Client{Transport: &inMemory{handler: h}}, Bearer: verifyToken, MailDomains: []string{"example.com"}, MaxBytes: 1 << 16})
		if err == nil {
			requireBounded(t, report)
		}
	})
}

// A document with many relative URLs is compared with a fresh one once.
func TestComparesADocumentOnce(t *testing.T) {
	const many = 300_000
	var entries strings.Builder
	for range many {
		entries.WriteString(`,""`)
	}
	transport := &inMemory{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/oauth-protected-resource" {
			http.NotFound(w, r)
			return
		}
		body("application/json", `{"resource":"`+rootBase+`","authorization_servers":[""`+entries.String()+`]}`)(w, r)
	})}
	v := &verifier{base: mustBase(t, rootBase), settings: newSettings(Config{Client: &http.Client{Transport: transport}}), report: new(Report)}
	v.fetcher = newFetcher(v.base, v.settings)
	v.run(t.Context())
	require.Len(t, v.kept, 1)
	require.Len(t, v.report.Findings, 1)
	v.fetcher = nil // a request would panic
	require.False(t, v.isKept(t.Context(), discovery.BaseResource, rootBase+"/.well-known/oauth-protected-resource"))
	require.LessOrEqual(t, len(transport.asked), 30)
}

func TestShowsErrorsAsFindings(t *testing.T) {
	refused := errors.New("x509: \x1b[31mred\r\nFAKE")
	_, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, refused })}})
	require.ErrorIs(t, err, refused)
	require.NotContains(t, err.Error(), "\x1b")
	require.NotContains(t, err.Error(), "\n")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWithAllBytesThatThereAre(t *testing.T) {
	c := verifyConfig(t, rootBase)
	require.Empty(t, verify(t, correctServer(t, c), rootBase, Config{MaxBytes: math.MaxInt64}).Findings)
}

// Members beyond the limit are not checked. The last member below it is checked.
func TestMemberLimit(t *testing.T) {
	for wrong, want := range map[int]bool{1: true, maxMembers: true, maxMembers + 1: false} {
		var issuers, keys []string
		members := map[string]any{"issuer": rootBase}
		for i := 1; i <= maxMembers+1; i++ {
			issuer, key, u := "https://other.example", `{"kty":"RSA"}`, "https://example.com/x"
			if i == wrong {
				issuer, key, u = "http://example.com", `{}`, "https://other.example/x"
			}
			issuers, keys = append(issuers, issuer), append(keys, key)
			members[fmt.Sprintf("m%03d_endpoint", i)] = u
		}
		metadata, err := json.Marshal(members)
		require.NoError(t, err)
		resource, err := json.Marshal(map[string]any{"resource": rootBase, "authorization_servers": issuers})
		require.NoError(t, err)
		for _, c := range []struct{ path, body, field string }{
			{path: "/.well-known/oauth-protected-resource", body: string(resource), field: "authorization_servers"},
			{path: oauthAtRoot, body: string(metadata), field: fmt.Sprintf("m%03d_endpoint", wrong)},
		} {
			transport := &inMemory{handler: at(c.path, body("application/json", c.body))(correctServer(t, discovery.Config{Base: mustBase(t, rootBase), OAuth: &discovery.OAuth{}}))}
			report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: &http.Client{Transport: transport}})
			require.NoError(t, err)
			found := slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Field == c.field && f.Rule != ruleEndpoint })
			require.Equal(t, want, found, "%s, number %d: %v", c.path, wrong, report.Findings)
		}
		h := at("/auth/jwks.json", body("application/json", `{"keys":[`+strings.Join(keys, ",")+`]}`))(correctServer(t, discovery.Config{Base: mustBase(t, rootBase), OAuth: &discovery.OAuth{}}))
		report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: &http.Client{Transport: &inMemory{handler: h}}})
		require.NoError(t, err)
		require.Equal(t, want, len(report.Findings) > 0, "key %d", wrong)
	}
}
