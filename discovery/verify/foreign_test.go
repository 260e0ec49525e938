package verify

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

const foreignIssuer = "https://id.example/realms/mail"

// foreignOnly is a server whose users sign in at another server.
func foreignOnly(issuers ...string) func(*discovery.Config) {
	return func(c *discovery.Config) {
		*c = discovery.Config{Base: c.Base, JMAP: c.JMAP, AuthorizationServers: issuers}
	}
}

// An issuerHost is the foreign host of a test. Everything else goes to the server.
type issuerHost struct {
	mu       sync.Mutex
	requests []*http.Request
	answers  map[string]http.HandlerFunc // by path; else 404
}

func (i *issuerHost) atOrigin(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != host {
			next.ServeHTTP(w, r)
			return
		}
		i.mu.Lock()
		i.requests = append(i.requests, r.Clone(context.Background()))
		i.mu.Unlock()
		if answer := i.answers[r.URL.Path]; answer != nil {
			answer(w, r)
			return
		}
		http.NotFound(w, r)
	})
}

const (
	foreignOAuth  = "/.well-known/oauth-authorization-server/realms/mail"
	foreignOpenID = "/realms/mail/.well-known/openid-configuration"
	secretText    = "secret-of-the-foreign-host"
)

func TestAsksForeignIssuerForItsOwnName(t *testing.T) {
	own := answer(200, "application/json", `{"issuer":"`+foreignIssuer+`"}`)
	other := answer(200, "application/json", `{"issuer":"https://`+secretText+`"}`)
	big := answer(200, "application/json", `{"issuer":"`+foreignIssuer+`"`+strings.Repeat(" ", 2<<20)+`}`)
	for _, c := range []struct {
		name     string
		answers  map[string]http.HandlerFunc
		rule     string // "": no finding
		severity Severity
		got      string
		requests int
	}{
		{name: "OAuth's document", answers: map[string]http.HandlerFunc{foreignOAuth: own}, requests: 1},
		{name: "OpenID's document", answers: map[string]http.HandlerFunc{foreignOpenID: own}, requests: 2},
		{name: "another issuer", answers: map[string]http.HandlerFunc{foreignOAuth: other}, requests: 1, rule: ruleIssuer, severity: SeverityError, got: "the metadata of another issuer"},
		{name: "another issuer in OpenID's document", answers: map[string]http.HandlerFunc{foreignOpenID: other}, requests: 2, rule: ruleIssuer, severity: SeverityError, got: "the metadata of another issuer"},
		{name: "no metadata", requests: 2, rule: ruleMissing, severity: SeverityWarning, got: "status 404"},
		{name: "no issuer", answers: map[string]http.HandlerFunc{foreignOAuth: answer(200, "application/json", `{"x":"`+secretText+`"}`)}, requests: 2, rule: ruleMissing, severity: SeverityWarning, got: "status 404"},
		{name: "a redirect, which is not followed", answers: map[string]http.HandlerFunc{foreignOAuth: redirectTo("https://id.example/" + secretText), foreignOpenID: redirectTo("https://example.com/" + secretText)}, requests: 2, rule: ruleMissing, severity: SeverityWarning, got: "status 302"},
		{name: "too many bytes", answers: map[string]http.HandlerFunc{foreignOAuth: big}, requests: 1, rule: ruleUnreachable, severity: SeverityWarning, got: "too many bytes"},
		{name: "a connection that breaks off", answers: map[string]http.HandlerFunc{foreignOAuth: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}, requests: 1, rule: ruleUnreachable, severity: SeverityWarning, got: "no answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := verifyConfig(t, rootBase)
			foreignOnly(foreignIssuer)(&config)
			host := &issuerHost{answers: c.answers}
			check := Config{Bearer: verifyToken, ForeignHosts: []string{"ID.example"}}
			report := verify(t, host.atOrigin("id.example", correctServer(t, config)), rootBase, check)
			require.Len(t, host.requests, c.requests)
			for _, r := range host.requests {
				require.Equal(t, http.MethodGet, r.Method)
				for _, field := range []string{"Authorization", "Cookie", "Origin", "Referer"} {
					require.Empty(t, r.Header.Get(field), field)
				}
			}
			text, err := json.Marshal(report)
			require.NoError(t, err)
			require.NotContains(t, string(text), secretText, "a text of the foreign answer")
			if c.rule == "" {
				require.Empty(t, report.Findings)
				return
			}
			// The resources of the base and the session name the issuer. It is requested once.
			require.Len(t, report.Findings, 1, "%v", report.Findings)
			got := report.Findings[0]
			require.Equal(t, c.rule, got.Rule)
			require.Equal(t, c.severity, got.Severity)
			require.Equal(t, c.got, got.Got)
			require.Equal(t, "authorization_servers", got.Field)
			require.NotEmpty(t, got.Hint)
		})
	}
}

// A dial function of the caller, and a transport of another type, decide where a name leads.
// The former may request only hosts that the caller lists, and the latter no foreign host.
func TestForeignHostNeedsOwnDialer(t *testing.T) {
	config := verifyConfig(t, rootBase)
	foreignOnly(foreignIssuer)(&config)
	host := &issuerHost{}
	h := host.atOrigin("id.example", correctServer(t, config))
	client := publicClient(t, h)
	for name, check := range map[string]Config{
		"a dial function":                   {Client: client},
		"another host is listed":            {Client: client, ForeignHosts: []string{"example", "id.example:8443", "other.id.example"}},
		"another transport":                 {Client: &http.Client{Transport: roundTripper(client.Transport.RoundTrip)}},
		"another transport, and the host":   {Client: &http.Client{Transport: roundTripper(client.Transport.RoundTrip)}, ForeignHosts: []string{"id.example"}},
		"a dial function for TLS":           {Client: &http.Client{Transport: dialTLS(client.Transport.(*http.Transport))}},
		"a dial function without a context": {Client: &http.Client{Transport: dialPlain(client.Transport.(*http.Transport))}},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := Run(t.Context(), mustBase(t, rootBase), check)
			require.NoError(t, err)
			require.Empty(t, host.requests)
			require.Empty(t, report.Findings)
			requireNotAsked(t, report, foreignIssuer, errNoDialling)
		})
	}
}

func dialTLS(t *http.Transport) *http.Transport {
	t = t.Clone()
	dial, config := t.DialContext, t.TLSClientConfig
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return tls.Client(c, config), nil
	}
	t.DialContext = nil
	return t
}

func dialPlain(t *http.Transport) *http.Transport {
	t = t.Clone()
	dial := t.DialContext
	t.DialContext = nil
	//lint:ignore SA1019 a Client may still have the old dial functions
	t.Dial = func(network, address string) (net.Conn, error) { return dial(context.Background(), network, address) }
	return t
}

func requireNotAsked(t *testing.T, report *Report, issuer string, why error) {
	t.Helper()
	for _, c := range report.Checked {
		if c.URL == issuer || strings.HasPrefix(c.URL, issuer+"/.well-known/") || strings.Contains(c.URL, "/.well-known/oauth-authorization-server/realms/mail") {
			require.True(t, c.Skipped)
			require.Equal(t, why.Error(), c.Error)
			return
		}
	}
	require.Fail(t, "the issuer is not in the report")
}

// Run does not connect to a private address, whatever the name of the issuer. The clients have no
// dial function, so that Run controls the dialling.
func TestForeignIssuersArePublic(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("needs a loopback address that is not that of the server: %v", err)
	}
	var connections atomic.Int32
	private := httptest.NewUnstartedServer(answer(200, "application/json", `{"issuer":"https://other.example"}`))
	private.Listener.Close()
	private.Listener = listener
	private.Config.ErrorLog = log.New(io.Discard, "", 0)
	private.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	private.StartTLS()
	defer private.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)

	var h http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	defer server.Close()
	for _, host := range []string{"127.0.0.2", "[::ffff:127.0.0.2]"} {
		issuer := "https://" + host + ":" + port + "/realms/mail"
		h = correctServer(t, discovery.Config{Base: mustBase(t, server.URL), JMAP: &discovery.JMAP{}, AuthorizationServers: []string{issuer}})
		insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		for name, client := range map[string]*http.Client{"nil": nil, "no transport": {}, "the standard transport": {Transport: http.DefaultTransport}, "a transport without dial functions": insecure} {
			report, err := Run(t.Context(), mustBase(t, server.URL), Config{Client: client})
			require.NoError(t, err)
			require.Empty(t, report.Findings, "%s %s", host, name)
			requireNotAsked(t, report, issuer, errNotPublic)
		}
		require.Zero(t, connections.Load())
		proxied := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(mustURL(t, server.URL))}}
		h = at("/", http.NotFound)(http.NotFoundHandler())
		v := &verifier{base: mustBase(t, server.URL), settings: newSettings(Config{Client: proxied}), report: new(Report)}
		_, err := newFetcher(v.base, v.settings).foreignClient(mustURL(t, issuer))
		require.ErrorIs(t, err, errNoDialling, "a proxy connects wherever it likes")
	}
	issuer := "https://127.0.0.2:" + port + "/realms/mail"
	h = correctServer(t, discovery.Config{Base: mustBase(t, server.URL), JMAP: &discovery.JMAP{}, AuthorizationServers: []string{issuer}})
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	report, err := Run(t.Context(), mustBase(t, server.URL), Config{Client: insecure, ForeignHosts: []string{"127.0.0.2"}})
	require.NoError(t, err)
	require.Len(t, report.Findings, 1, "%v", report.Findings)
	require.Equal(t, ruleIssuer, report.Findings[0].Rule)
	require.NotZero(t, connections.Load())
}

func TestForeignIssuerGetsNoCertificate(t *testing.T) {
	secret := tls.Certificate{Certificate: [][]byte{{1}}}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{secret}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &secret, nil }}}}
	for _, hosts := range [][]string{nil, {"id.example"}} {
		f := newFetcher(mustBase(t, rootBase), newSettings(Config{Client: client, ForeignHosts: hosts}))
		foreign, err := f.foreignClient(mustURL(t, foreignIssuer))
		require.NoError(t, err)
		require.Nil(t, foreign.Jar)
		c := foreign.Transport.(*http.Transport).TLSClientConfig
		require.Empty(t, c.Certificates)
		require.Nil(t, c.GetClientCertificate)
	}
	require.Len(t, client.Transport.(*http.Transport).TLSClientConfig.Certificates, 1, "the caller's is not changed")
}

func TestIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true, "64:ff9b::8.8.8.8": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "127.0.0.1": false, "169.254.169.254": false, "172.16.0.1": false, "192.168.1.1": false,
		"192.0.0.8": false, "192.0.2.1": false, "192.88.99.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::127.0.0.1": false, "fe80::1": false, "fe80::1%eth0": false, "2606:4700::1111%eth0": false, "fc00::1": false, "fec0::1": false, "ff02::1": false, "100::1": false,
		"2001::1": false, "2001:db8::1": false, "2002:7f00:1::1": false, "3fff::1": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b:1::1": false,
	} {
		require.Equal(t, want, isPublic(netip.MustParseAddr(address)), address)
	}
	require.False(t, isPublic(netip.Addr{}))
}

func TestChecksIssuersOfResource(t *testing.T) {
	resource := func(issuers string) tamper {
		return replaced("/.well-known/oauth-protected-resource", `["`+rootBase+`"]`, issuers)
	}
	const atOrigin = "/.well-known/oauth-authorization-server/other"
	requireFound(t, []fixture{
		{name: "another server at the origin has another name", base: rootBase, config: oauthOnly,
			tamper: both(resource(`["`+rootBase+`/other"]`), at(atOrigin, answer(200, "application/json", `{"issuer":"`+rootBase+`/else"}`))),
			rule:   ruleIssuer, document: discovery.BaseResource, field: "authorization_servers", got: rootBase + "/other", hint: "has another issuer"},
		{name: "another server at the origin has no metadata", base: rootBase, config: oauthOnly, tamper: resource(`["` + rootBase + `/other"]`),
			rule: ruleMissing, document: discovery.BaseResource, field: "authorization_servers", got: rootBase + "/other", hint: "no metadata of this issuer"},
		{name: "a foreign issuer on http", base: rootBase, config: oauthOnly, tamper: resource(`["http://id.example"]`),
			rule: ruleIssuer, document: discovery.BaseResource, field: "authorization_servers", got: "http://id.example", hint: "no client accepts this issuer"},
		{name: "a foreign issuer with a query", base: rootBase, config: oauthOnly, tamper: resource(`["https://id.example?tenant=1"]`),
			rule: ruleIssuer, document: discovery.BaseResource, field: "authorization_servers", got: "https://id.example?tenant=1", hint: "no client accepts this issuer"},
		{name: "the server names itself and has no metadata", base: rootBase, config: davOnly, tamper: both(at(oauthAtRoot, http.NotFound), at(openIDAtRoot, http.NotFound)),
			rule: ruleMissing, document: discovery.OAuthDocument, mistake: MistakeWellKnown, got: "404", hint: "names the server as its own authorization server"},
	})
	requireClean(t, []neighbour{
		{name: "another server at the origin", base: rootBase, config: oauthOnly,
			tamper: both(resource(`["`+rootBase+`/other"]`), at(atOrigin, answer(200, "application/json", `{"issuer":"`+rootBase+`/other"}`)))},
		{name: "another server at the origin, with a slash and OpenID", base: pathBase, config: foreignOnly(rootBase + "/other/"),
			tamper: at("/other/.well-known/openid-configuration", answer(200, "application/json", `{"issuer":"`+rootBase+`/other/"}`))},
		{name: "an issuer with a slash everywhere", base: rootBase, config: func(c *discovery.Config) { c.OAuth.Issuer = rootBase + "/" }, tamper: func(next http.Handler) http.Handler { return next }, check: Config{Bearer: verifyToken, MailDomains: []string{"example.com"}}},
		{name: "an issuer with a slash everywhere, at a path", base: pathBase, config: func(c *discovery.Config) { c.OAuth.Issuer = pathBase + "/" }, tamper: func(next http.Handler) http.Handler { return next }},
	})
}

func TestAsksFewForeignIssuers(t *testing.T) {
	var issuers []string
	for i := range 20 {
		issuers = append(issuers, fmt.Sprintf("https://id.example/realms/%d", i))
	}
	config := verifyConfig(t, rootBase)
	foreignOnly(issuers...)(&config)
	host := &issuerHost{}
	report := verify(t, host.atOrigin("id.example", correctServer(t, config)), rootBase, Config{ForeignHosts: []string{"id.example"}})
	require.Len(t, host.requests, 2*maxForeign)
	for _, c := range report.Checked {
		require.Equal(t, c.Error == errTooMany.Error(), c.Skipped, "%v", c)
	}
	requireNotAsked(t, report, issuers[maxForeign], errTooMany)
	requireBounded(t, report)
}

func TestRunRefusesInvalidForeignHosts(t *testing.T) {
	for _, host := range []string{"", "https://id.example", "id.example/x", "a b", "jane@id.example", ":443"} {
		_, err := Run(t.Context(), mustBase(t, rootBase), Config{ForeignHosts: []string{"id.example", host}})
		require.ErrorContains(t, err, fmt.Sprintf("verify: invalid foreign host %q", host))
	}
}
