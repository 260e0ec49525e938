package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/discovery/verify"
	"github.com/seed-94e48765/portico/publicurl"
)

const demoToken = "s3cret-token"

// A site is a server behind a proxy that ends TLS and strips /mail.
type site struct {
	url    string // public
	ca     string // file
	server *httptest.Server
}

// newSite starts a site. routed selects the paths outside /mail that the proxy passes on.
// change modifies the proxy's answers.
func newSite(t *testing.T, routed func(path string) bool, change func(*http.Response) error) site {
	t.Helper()
	var s site
	var documents http.Handler
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { documents.ServeHTTP(w, r) }))
	t.Cleanup(s.server.Close)
	target, err := url.Parse(s.server.URL)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		ModifyResponse: change,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.URL.Path = strings.TrimPrefix(r.Out.URL.Path, "/mail")
		},
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/mail/") || routed(r.URL.Path) {
			proxy.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	t.Cleanup(front.Close)
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	require.NoError(t, os.WriteFile(s.ca, certificate, 0o600))
	s.url = front.URL + "/mail"
	documents = newServer(t, s.url)
	return s
}

func wellKnown(path string) bool { return strings.HasPrefix(path, "/.well-known/") }
func nothing(string) bool        { return false }

// newServer returns a server with OAuth and a JMAP session.
func newServer(t *testing.T, public string) http.Handler {
	base, err := publicurl.Parse(public)
	require.NoError(t, err)
	set, err := discovery.Build(discovery.Config{
		Base:  base,
		OAuth: &discovery.OAuth{},
		JMAP:  &discovery.JMAP{},
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") })
	mux.HandleFunc("GET /auth/jwks.json", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"keys":[]}`) })
	for _, path := range []string{"POST /auth/token", "POST /jmap/{$}"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(http.StatusBadRequest)
		})
	}
	return discovery.NewServer(set, discovery.ServerConfig{Next: mux, Session: func(r *http.Request) (discovery.Account, error) {
		if r.Header.Get("Authorization") != "Bearer "+demoToken {
			return discovery.Account{}, discovery.ErrUnauthenticated
		}
		return discovery.Account{Username: "jane@example.com"}, nil
	}})
}

func doctor(t *testing.T, token string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := func(name string) (string, bool) {
		require.Equal(t, tokenVariable, name)
		return token, token != ""
	}
	status = run(t.Context(), args, env, &out, &errs)
	require.NotContains(t, out.String()+errs.String(), demoToken)
	return status, out.String(), errs.String()
}

func TestDoctorAcceptsCorrectServer(t *testing.T) {
	s := newSite(t, wellKnown, nil)
	for _, token := range []string{"", demoToken} {
		status, stdout, stderr := doctor(t, token, "-ca", s.ca, s.url)
		require.Equal(t, statusClean, status, stdout)
		require.Empty(t, stderr)
		require.True(t, strings.HasPrefix(stdout, s.url+": nothing wrong, "), stdout)
		require.Equal(t, 1, strings.Count(stdout, "\n"), stdout)
	}
}

func TestDoctorNamesMistakeAndFix(t *testing.T) {
	s := newSite(t, nothing, nil)
	status, stdout, stderr := doctor(t, "", s.url, "-ca", s.ca, "-connect", s.server.Listener.Addr().String())
	require.Equal(t, statusFindings, status)
	require.Empty(t, stderr)
	for _, want := range []string{
		": 4 findings, ",
		"error: document-missing in oauth-authorization-server",
		"error: document-missing in jmap-session",
		"between the client and the server;",
		"nothing wrong\n   GET ",
		"through the proxy  \"404\"\n      at the server      \"200\"",
		"Likely cause: well-known-not-routed",
		"acl well-known path /.well-known/oauth-authorization-server/mail /mail/.well-known/openid-configuration",
		"location = /.well-known/oauth-authorization-server/mail { proxy_pass",
		"@well-known path /.well-known/oauth-authorization-server/mail",
		"Path(`/.well-known/oauth-authorization-server/mail`)",
	} {
		require.Contains(t, stdout, want)
	}
}

func TestDoctorPrintsJSON(t *testing.T) {
	s := newSite(t, nothing, nil)
	status, stdout, _ := doctor(t, "", "-json", "-ca", s.ca, "-connect", s.server.URL, s.url)
	require.Equal(t, statusFindings, status)
	var d diagnosis
	require.NoError(t, json.Unmarshal([]byte(stdout), &d))
	require.Equal(t, s.url, d.URL)
	require.NotEmpty(t, d.Report.Findings)
	require.Len(t, d.ProxyOnly, len(d.Report.Findings))
	require.Empty(t, d.Server.Findings)
	require.NotEmpty(t, d.Differences)
	require.Len(t, d.Fixes[verify.MistakeWellKnown], len(products))
}

// A mistake of the server is distinguished from one of the proxy.
func TestDoctorSeparatesServerMistakes(t *testing.T) {
	s := newSite(t, wellKnown, func(r *http.Response) error {
		r.Header.Del("Access-Control-Allow-Origin")
		return nil
	})
	status, stdout, _ := doctor(t, "", "-connect", s.server.Listener.Addr().String(), "-ca", s.ca, s.url)
	require.Equal(t, statusFindings, status)
	require.Contains(t, stdout, "cors-missing")
	require.Contains(t, stdout, "between the client and the server;")
	require.NotContains(t, stdout, "the server's own answer has it too")

	other := strings.TrimSuffix(s.url, "/mail") // not the server's public URL
	status, stdout, _ = doctor(t, "", "-connect", s.server.Listener.Addr().String(), "-ca", s.ca, other)
	require.Equal(t, statusFindings, status)
	require.Contains(t, stdout, "the server's own answer has it too")
}

func TestDoctorComparesBytes(t *testing.T) {
	s := newSite(t, wellKnown, func(r *http.Response) error {
		if strings.HasPrefix(r.Request.URL.Path, "/.well-known/oauth-a") {
			body, err := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(append(body, ' ')))
			r.ContentLength++
			r.Header.Del("Content-Length")
			return err
		}
		return nil
	})
	status, stdout, _ := doctor(t, "", "-connect", s.server.Listener.Addr().String(), "-ca", s.ca, s.url)
	require.Equal(t, statusClean, status)
	require.Contains(t, stdout, "through the proxy  \"200 with ")
	require.Equal(t, 1, strings.Count(stdout, "through the proxy  "), stdout)
}

func TestDoctorConnectsWithTLS(t *testing.T) {
	s := newSite(t, wellKnown, nil)
	u, err := url.Parse(s.url)
	require.NoError(t, err)
	status, stdout, stderr := doctor(t, demoToken, "-connect", u.Host, "-ca", s.ca, s.url)
	require.Equal(t, statusClean, status, stdout+stderr)
	require.Contains(t, stdout, "no differences through the proxy")
}

func TestDoctorReportsErrors(t *testing.T) {
	s := newSite(t, wellKnown, nil)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	manyNodes := "127.0.0.1:1"
	for port := 2; port <= 17; port++ {
		manyNodes += fmt.Sprintf(",127.0.0.1:%d", port)
	}
	for name, c := range map[string]struct {
		args  []string
		token string
		want  string
	}{
		"no URL":                  {token: "", want: "give one URL, not 0"},
		"two URLs":                {args: []string{s.url, s.url}, token: "", want: "give one URL, not 2"},
		"no such flag":            {args: []string{"-x", s.url}, token: "", want: "not defined: -x"},
		"not a URL":               {args: []string{"mail.example.com"}, token: "", want: "https://mail.example.com"},
		"http":                    {args: []string{"http://mail.example.com"}, token: "", want: "https"},
		"a query":                 {args: []string{s.url + "?a"}, token: "", want: "query"},
		"no time":                 {args: []string{"-timeout", "0s", s.url}, token: "", want: "longer than 0"},
		"no port to connect":      {args: []string{"-connect", "127.0.0.1", s.url}, token: "", want: "use host:port"},
		"no file":                 {args: []string{"-ca", empty + "x", s.url}, token: "", want: "no such file"},
		"no certificate in it":    {args: []string{"-ca", empty, s.url}, token: "", want: "has no certificate in PEM"},
		"not a token":             {args: []string{s.url}, token: demoToken + "\n!", want: "is not a bearer token"},
		"not a domain":            {args: []string{"-ca", s.ca, "-domains", "a b", s.url}, token: "", want: "invalid mail domain"},
		"an unknown certificate":  {args: []string{s.url}, token: "", want: "give its file with -ca"},
		"another name":            {args: []string{"-ca", s.ca, "-connect", "127.0.0.1:1", strings.Replace(s.url, "127.0.0.1", "localhost", 1)}, token: "", want: "does not have the name localhost"},
		"no server":               {args: []string{closed.URL}, token: "", want: "nothing can be reached"},
		"a bad node":              {args: []string{"-connect", "127.0.0.1:8080,127.0.0.1", s.url}, token: "", want: `-connect has "127.0.0.1": use host:port`},
		"an empty node":           {args: []string{"-connect", "127.0.0.1:8080,", s.url}, token: "", want: `-connect has "": use host:port`},
		"a node's port":           {args: []string{"-connect", "127.0.0.1:http", s.url}, token: "", want: `-connect has "127.0.0.1:http"`},
		"a node twice":            {args: []string{"-connect", "127.0.0.1:1,http://127.0.0.1:1", s.url}, token: "", want: `-connect has "127.0.0.1:1" twice`},
		"an invalid foreign host": {args: []string{"-foreign-hosts", "id.example,https://id.example/x", s.url}, token: "", want: `-foreign-hosts has "https://id.example/x": use a host name`},
		"too many nodes":          {args: []string{"-connect", manyNodes, s.url}, token: "", want: "-connect has 17 addresses: use at most 16"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, stderr := doctor(t, c.token, c.args...)
			require.Equal(t, statusError, status)
			require.Contains(t, stderr, c.want)
			require.True(t, strings.HasPrefix(stderr, "doctor: "), stderr)
		})
	}
}

func TestDoctorStops(t *testing.T) {
	s := newSite(t, wellKnown, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	status := run(ctx, []string{"-ca", s.ca, s.url}, func(string) (string, bool) { return "", false }, &out, &errs)
	require.Equal(t, statusError, status)
	require.Contains(t, errs.String(), "context canceled")
}

func TestDoctorHelps(t *testing.T) {
	status, stdout, stderr := doctor(t, "", "-help")
	require.Equal(t, statusClean, status)
	require.Empty(t, stdout)
	for _, want := range []string{"Usage: doctor", "-connect", "-ca", "-json", "-foreign-hosts", tokenVariable} {
		require.Contains(t, stderr, want)
	}
}

// Every mistake of package verify has lines for every product, with all placeholders
// replaced.
func TestEveryMistakeHasAFix(t *testing.T) {
	base, err := publicurl.Parse("https://example.com/mail")
	require.NoError(t, err)
	root, err := publicurl.Parse("https://example.com")
	require.NoError(t, err)
	for _, m := range []verify.Mistake{
		verify.MistakeWellKnown, verify.MistakePrefix, verify.MistakePublicURL, verify.MistakeRedirect, verify.MistakeCache, verify.MistakeBody,
		verify.MistakeCORS, verify.MistakeBackend, verify.MistakeAccess, verify.MistakeAuthorization, verify.MistakeMethod,
		verify.MistakeHTTPSForced, verify.MistakeProxyHeader, verify.MistakeCertificate, verify.MistakeNodes,
	} {
		require.NotEmpty(t, meaning[m], m)
		d := &diagnosis{Report: &verify.Report{Findings: []verify.Finding{{Mistake: m}, {Mistake: "other"}}}}
		if m != verify.MistakePrefix { // needs a base with a path
			d.addFixes(root)
			for _, product := range products {
				if m == verify.MistakeWellKnown {
					require.Contains(t, d.Fixes[m][product], "/.well-known/oauth-authorization-server")
				}
				require.NotEmpty(t, d.Fixes[m][product])
				for _, hole := range []string{"= {", "path }", "path  ", "``"} {
					require.NotContains(t, d.Fixes[m][product], hole)
				}
			}
		}
		d.addFixes(base)
		require.Len(t, d.Fixes, 1)
		for _, product := range products {
			require.NotEmpty(t, d.Fixes[m][product], "%s %s", m, product)
			for _, left := range []string{"{prefix}", "{host}", "{url}"} {
				require.NotContains(t, d.Fixes[m][product], left)
			}
		}
	}
	require.Len(t, fixes, len(meaning)-1, "only MistakeBase has no lines")
}

// The fix is to run doctor with the other URL, so lines for the proxy are not printed.
func TestDoctorNamesWrongBase(t *testing.T) {
	atPath := newSite(t, wellKnown, nil)
	var documents http.Handler
	atRoot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { documents.ServeHTTP(w, r) }))
	t.Cleanup(atRoot.Close)
	documents = newServer(t, atRoot.URL)
	for _, c := range []struct {
		name, base string
		published  string
		flags      []string
	}{
		{name: "the root of a server at a path", base: strings.TrimSuffix(atPath.url, "/mail"), published: atPath.url, flags: []string{"-ca", atPath.ca}},
		{name: "the page of a server at the root", base: atRoot.URL + "/login", published: atRoot.URL},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, stdout, _ := doctor(t, "", append(c.flags, c.base)...)
			require.Contains(t, stdout, c.published)
			require.Contains(t, stdout, "Likely cause: wrong-base\nThe server is published at another URL")
			require.NotContains(t, stdout, "HAProxy")
			require.NotContains(t, stdout, "public-url-differs")
		})
	}
}

func TestTokenInTheClear(t *testing.T) {
	for _, c := range []struct {
		token, address string
		want           bool
	}{
		{token: "", address: "192.0.2.1", want: true},
		{token: demoToken, address: "192.0.2.1", want: false},
		{token: demoToken, address: "2001:db8::1", want: false},
		{token: demoToken, address: "127.0.0.1", want: true},
		{token: demoToken, address: "::1", want: true},
	} {
		cfg := &config{token: c.token}
		require.Equal(t, c.want, cfg.mayGoPlain(&net.TCPAddr{IP: net.ParseIP(c.address)}), "%v", c)
	}
	require.False(t, (&config{token: demoToken}).mayGoPlain(&net.UnixAddr{}))
}

func TestDoctorComparesMembers(t *testing.T) {
	find := func(field string) *verify.Report {
		return &verify.Report{Findings: []verify.Finding{{Document: "a", URL: "u", Rule: "r", Field: field}}}
	}
	for _, c := range []struct {
		proxy, server string
		want          []int
	}{
		{proxy: "token_endpoint", server: "token_endpoint", want: nil},
		{proxy: "authorization_endpoint, token_endpoint", server: "token_endpoint", want: nil},
		{proxy: "authorization_endpoint", server: "token_endpoint", want: []int{0}},
		{proxy: "", server: "", want: nil},
	} {
		d := &diagnosis{Report: find(c.proxy), Server: find(c.server)}
		d.compare()
		require.Equal(t, c.want, d.ProxyOnly, "%v", c)
	}
}

func TestDoctorReportsHiddenMistakes(t *testing.T) {
	s := newSite(t, wellKnown, nil)
	broken := httptest.NewServer(newServer(t, "https://other.example/mail"))
	defer broken.Close()
	status, stdout, _ := doctor(t, "", "-connect", broken.Listener.Addr().String(), "-ca", s.ca, s.url)
	require.Equal(t, statusFindings, status)
	require.Contains(t, stdout, "nothing wrong")
	require.Contains(t, stdout, "only at the server: ")
}

func TestDoctorChecksServerIfProxyIsDown(t *testing.T) {
	s := newSite(t, wellKnown, nil)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	down := closed.URL + "/mail"
	status, stdout, stderr := doctor(t, "", "-connect", s.server.Listener.Addr().String(), down)
	require.Equal(t, statusError, status)
	require.Contains(t, stderr, "nothing can be reached")
	require.Contains(t, stdout, "The server itself, past the proxy at ")
	status, stdout, _ = doctor(t, "", "-json", down)
	require.Equal(t, statusError, status)
	require.Contains(t, stdout, `"error": "verify: `)
	require.Contains(t, stdout, `"report": null`)
}

func TestDoctorCountsMissingDocuments(t *testing.T) {
	const u = "https://autoconfig.example.com/.well-known/autoconfig/mail/config-v1.1.xml"
	const other = "https://example.com/.well-known/user-agent-configuration.json"
	d := &diagnosis{
		URL:     "https://example.com/mail",
		domains: []string{"example.com"},
		Report:  &verify.Report{Checked: []verify.Checked{{Method: "GET", URL: u, Error: "no such host"}, {Method: "GET", URL: other, Status: 404}, {Method: "GET", URL: "https://example.com/mail/login", Status: 404}}},
		Server:  &verify.Report{Checked: []verify.Checked{{Method: "GET", URL: u, Status: 200}, {Method: "GET", URL: other, Status: 200}, {Method: "GET", URL: "https://example.com/mail/login", Status: 200}}},
	}
	d.compare()
	require.Equal(t, 1, d.withheld())
	require.Equal(t, d.Report.Checked[:1], d.notFound())
	require.Equal(t, "documents of the server that the proxy does not pass on: 1", d.summary())
	d.Report.Findings = make([]verify.Finding, 2)
	require.Equal(t, "2 findings, documents of the server that the proxy does not pass on: 1", d.summary())
}

func TestDoctorComparesNodes(t *testing.T) {
	s := newSite(t, wellKnown, nil)
	good := s.server.Listener.Addr().String()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/jwks.json") {
			io.WriteString(w, `{"keys":[{"kty":"RSA","kid":"other"}]}`)
			return
		}
		s.server.Config.Handler.ServeHTTP(w, r)
	}))
	defer other.Close()
	client, err := net.Dial("tcp", other.Listener.Addr().String())
	require.NoError(t, err)
	defer client.Close() // reserves the port
	gone, different := client.LocalAddr().String(), other.Listener.Addr().String()
	twin := httptest.NewServer(s.server.Config.Handler)
	defer twin.Close()
	equal := twin.Listener.Addr().String()
	for _, c := range []struct {
		name, connect string
		status        int
		want          []string
	}{
		{name: "one node", connect: good, status: statusClean, want: []string{": nothing wrong, ", "each document over 5 connections", "no differences through the proxy"}},
		{name: "two equal nodes", connect: good + "," + equal, status: statusClean, want: []string{": nothing wrong, ", "over 6 connections; the 2 nodes have the same documents and keys"}},
		{name: "a node with keys of its own", connect: good + "," + different, status: statusFindings, want: []string{": 1 finding, ", "error: nodes-disagree in oauth-authorization-server, jwks_uri", "2 different answers over 6 connections; " + good + " differs from " + different, "share the keys", "Likely cause: nodes-differ", "balance source"}},
		{name: "a node that is down", connect: good + "," + gone, status: statusFindings, want: []string{": 1 finding, ", "error: unreachable in config", "tcp://" + gone, "refused", "past the proxy at " + good + ": nothing wrong", "Likely cause: backend-not-reached"}},
		{name: "the first node is down", connect: gone + "," + good, status: statusFindings, want: []string{": 1 finding, ", "tcp://" + gone, "past the proxy at " + good + ": nothing wrong"}},
		{name: "the only node is down", connect: gone, status: statusFindings, want: []string{": 1 finding, ", "tcp://" + gone, "refused"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, _ := doctor(t, demoToken, "-ca", s.ca, "-connect", c.connect, s.url)
			require.Equal(t, c.status, status, stdout)
			for _, want := range c.want {
				require.Contains(t, stdout, want)
			}
			require.Equal(t, c.status == statusClean && strings.Contains(c.connect, ","), strings.Contains(stdout, "the same documents"), stdout)
			require.NotContains(t, stdout, " nodes answer over")
		})
	}
}

func TestDoctorPrintsErrorCauses(t *testing.T) {
	s := newSite(t, wellKnown, nil)
	status, stdout, stderr := doctor(t, "", "-json", s.url)
	require.Equal(t, statusError, status)
	require.Contains(t, stderr, "\nif you know the certificate or its authority, give its file with -ca")
	var d diagnosis
	require.NoError(t, json.Unmarshal([]byte(stdout), &d))
	require.Contains(t, d.Error, "\nif you know the certificate")
}
