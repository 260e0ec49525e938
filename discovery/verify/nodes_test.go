package verify

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

// A balancer sends each connection to the next node.
type balancer struct {
	nodes []http.Handler
	next  atomic.Int64
}

type nodeKey struct{}

func (b *balancer) connContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, nodeKey{}, b.nodes[int(b.next.Add(1))%len(b.nodes)])
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Context().Value(nodeKey{}).(http.Handler).ServeHTTP(w, r)
}

// balancedClient reaches the nodes by turns.
func balancedClient(t *testing.T, nodes ...http.Handler) *http.Client {
	b := &balancer{nodes: nodes}
	server := httptest.NewUnstartedServer(b)
	server.Config.ConnContext = b.connContext
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func keysOf(node string) tamper {
	return at("/auth/jwks.json", body("application/json", `{"keys":[{"kty":"RSA","kid":"`+node+`"}]}`))
}

func TestComparesConnections(t *testing.T) {
	correct := func(base string) http.Handler {
		return correctServer(t, discovery.Config{Base: mustBase(t, base), OAuth: &discovery.OAuth{}})
	}
	one := correct(rootBase)
	for _, c := range []struct {
		name  string
		nodes []http.Handler
		fresh int
		want  map[string]string // URL: got
		hint  string
	}{
		{name: "one node", nodes: []http.Handler{one}},
		{name: "two nodes with the same keys", nodes: []http.Handler{keysOf("a")(one), keysOf("a")(one)}},
		{name: "keys in another order", nodes: []http.Handler{
			at("/auth/jwks.json", body("application/json", `{"keys":[{"kty":"RSA","kid":"1"},{"kty":"EC","kid":"2"}]}`))(one),
			at("/auth/jwks.json", body("application/json", `{ "keys" : [ {"kid":"2","kty":"EC"}, {"kid":"1","kty":"RSA"} ] }`))(one),
		}},
		{name: "members in another order", nodes: []http.Handler{one, changed(oauthAtRoot, func(_ http.Header, body string) string {
			return " " + strings.Replace(body, `{"issuer":"`+rootBase+`",`, `{`, 1)[:len(body)-len(`"issuer":"`+rootBase+`",`)-1] + `,"issuer":"` + rootBase + `"}`
		})(one)}},
		{name: "three nodes with keys of their own", nodes: []http.Handler{keysOf("a")(one), keysOf("b")(one), keysOf("c")(one)},
			want: map[string]string{rootBase + "/auth/jwks.json": "3 different answers over 4 connections"}, hint: "share the keys"},
		{name: "three nodes, two connections", nodes: []http.Handler{keysOf("a")(one), keysOf("b")(one), keysOf("c")(one)}, fresh: 2,
			want: map[string]string{rootBase + "/auth/jwks.json": "2 different answers over 2 connections"}, hint: "share the keys"},
		{name: "one connection sees nothing", nodes: []http.Handler{keysOf("a")(one), keysOf("b")(one)}, fresh: 1},
		{name: "a node with other settings", nodes: []http.Handler{one, replaced(oauthAtRoot, `"S256"`, `"S256","plain"`)(one)},
			want: map[string]string{rootBase + oauthAtRoot: "2 different answers over 4 connections"}, hint: "not all have the same configuration"},
		{name: "a node without the document", nodes: []http.Handler{one, at("/.well-known/oauth-protected-resource", http.NotFound)(one)},
			want: map[string]string{rootBase + "/.well-known/oauth-protected-resource": "2 different answers over 4 connections: 200, 404"}, hint: "not all have the same configuration"},
		{name: "a rate limit is not a difference", nodes: []http.Handler{one, one, at(oauthAtRoot, status(http.StatusTooManyRequests))(one)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: balancedClient(t, c.nodes...), Fresh: c.fresh})
			require.NoError(t, err)
			got := make(map[string]string)
			for _, f := range report.Findings {
				if f.Rule != ruleNodes {
					continue
				}
				got[f.URL] = f.Got
				require.Equal(t, MistakeNodes, f.Mistake)
				require.Equal(t, SeverityError, f.Severity)
				require.Contains(t, f.Hint, c.hint)
			}
			if c.want == nil {
				c.want = map[string]string{}
			}
			require.Equal(t, c.want, got)
			if c.fresh != 1 {
				require.Equal(t, max(c.fresh, 4*(1-min(c.fresh, 1))), report.Connections)
			}
		})
	}
}

// closedAddress returns an address at which connections are refused. It is the client's end of an
// open connection, so that no listener gets its port.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// A balancer that keeps a client at one node hides the others. Config.Connect shows them.
func TestComparesNodesOfConnect(t *testing.T) {
	one := correctServer(t, discovery.Config{Base: mustBase(t, rootBase), OAuth: &discovery.OAuth{}})
	plain := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	gone := closedAddress(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // as a port that requires a PROXY header
	require.NoError(t, err)
	defer silent.Close()
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			io.CopyN(io.Discard, c, 1)
			c.Close()
		}
	}()
	secure := httptest.NewTLSServer(keysOf("a")(one))
	defer secure.Close()
	a, a2, b := plain(keysOf("a")(one)), plain(keysOf("a")(one)), plain(keysOf("b")(one))
	for _, c := range []struct {
		name        string
		connect     []string
		connections int
		rules       []string
		got         []string // parts, one a finding
		mistake     Mistake
	}{
		{name: "the same", connect: []string{a, a2}, connections: 6},
		{name: "one with TLS, one without", connect: []string{a, secure.Listener.Addr().String()}, connections: 6},
		{name: "one of three", connect: []string{a, b, a2}, connections: 7, rules: []string{ruleNodes}, got: []string{"2 different answers over 7 connections; " + a + " and " + a2 + " differs from " + b}, mistake: MistakeNodes},
		{name: "not the one behind the proxy", connect: []string{b}, connections: 5, rules: []string{ruleNodes}, got: []string{"2 different answers over 5 connections"}, mistake: MistakeNodes},
		{name: "one that is down", connect: []string{gone, a}, connections: 5, rules: []string{ruleUnreachable}, got: []string{"refused"}, mistake: MistakeBackend},
		{name: "one that requires a PROXY header", connect: []string{a, silent.Addr().String()}, connections: 5, rules: []string{ruleUnreachable}, got: []string{""}, mistake: MistakeProxyHeader},
		{name: "one that is down, one with other keys", connect: []string{gone, a, b}, connections: 6, rules: []string{ruleUnreachable, ruleNodes}, got: []string{"refused", "2 different answers over 6 connections"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: balancedClient(t, keysOf("a")(one)), Connect: c.connect, Bearer: verifyToken})
			require.NoError(t, err)
			require.Len(t, report.Findings, len(c.rules), "%v", report.Findings)
			for i, f := range report.Findings {
				require.Equal(t, c.rules[i], f.Rule)
				require.Contains(t, f.Got, c.got[i])
				if c.mistake != "" {
					require.Equal(t, c.mistake, f.Mistake)
				}
				if f.Rule == ruleUnreachable {
					require.True(t, strings.HasPrefix(f.URL, "tcp://127.0.0.1:"), f.URL)
				}
			}
			require.Equal(t, c.connections, report.Connections)
		})
	}
}

// A change that the proxy makes, such as a path that the node itself does not have, is not a
// difference between nodes.
func TestStrippedPathIsNotADifference(t *testing.T) {
	h := correctServer(t, discovery.Config{Base: mustBase(t, pathBase), OAuth: &discovery.OAuth{}})
	node := httptest.NewServer(below("/mail", http.NotFound)(h))
	defer node.Close()
	report, err := Run(t.Context(), mustBase(t, pathBase), Config{Client: balancedClient(t, behindProxy(t, pathBase, true, h)), Connect: []string{node.Listener.Addr().String()}})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// The comparison sends no credentials.
func TestNodesGetNoToken(t *testing.T) {
	var mu sync.Mutex
	var tokens []string
	one := correctServer(t, verifyConfig(t, rootBase))
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		tokens = append(tokens, r.Header.Get("Authorization"))
		mu.Unlock()
		one.ServeHTTP(w, r)
	}))
	defer node.Close()
	report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: publicClient(t, one), Connect: []string{node.Listener.Addr().String()}, Bearer: verifyToken, Fresh: 1})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	require.NotEmpty(t, tokens)
	for _, token := range tokens {
		require.Empty(t, token)
	}
}

func TestRunNamesABadAddress(t *testing.T) {
	many := make([]string, 17)
	for i := range many {
		many[i] = fmt.Sprintf("127.0.0.1:%d", 1+i)
	}
	for _, c := range []struct {
		config Config
		want   string
	}{
		{config: Config{Connect: []string{"127.0.0.1:80", "127.0.0.1"}}, want: `invalid address "127.0.0.1" in Connect`},
		{config: Config{Connect: []string{""}}, want: `invalid address "" in Connect`},
		{config: Config{Connect: []string{":80"}}, want: `invalid address ":80" in Connect`},
		{config: Config{Connect: []string{"a:0"}}, want: `invalid address "a:0" in Connect`},
		{config: Config{Connect: []string{"a:http"}}, want: `invalid address "a:http" in Connect`},
		{config: Config{Connect: []string{"a:65536"}}, want: `invalid address "a:65536" in Connect`},
		{config: Config{Connect: []string{"http://a:80"}}, want: `invalid address "http://a:80" in Connect`},
		{config: Config{Connect: []string{"a:80", "b:80", "a:80"}}, want: `the address "a:80" twice`},
		{config: Config{Connect: many}, want: "Connect has 17 addresses: use at most 16"},
		{config: Config{Fresh: -1}, want: "Fresh is -1"},
		{config: Config{Fresh: 65}, want: "Fresh is 65"},
	} {
		_, err := Run(t.Context(), mustBase(t, rootBase), c.config)
		require.ErrorContains(t, err, c.want)
		require.True(t, strings.HasPrefix(err.Error(), "verify: "))
	}
	s := newSettings(Config{Connect: many[:16]})
	require.NoError(t, s.check())
}

// A node that hangs costs the time of one request.
func TestIsBoundedInTimeWhereNodesHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		correct := correctServer(t, verifyConfig(t, rootBase))
		h := at(oauthAtRoot, func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) > 1 {
				hang(w, r)
				return
			}
			correct.ServeHTTP(w, r)
		})(correct)
		start := time.Now()
		report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: &http.Client{Transport: &inMemory{handler: h}}})
		require.NoError(t, err)
		require.Len(t, report.Findings, 1, "%v", report.Findings)
		require.Equal(t, ruleTimeout, report.Findings[0].Rule)
		require.Equal(t, "no answer in time over 4 connections, after one that was answered", report.Findings[0].Got)
		require.LessOrEqual(t, time.Since(start), defaultRequestTimeout)
	})
}

// A client that has already used HTTP/2 makes a new connection for each sample.
func TestSamplesOverHTTP2(t *testing.T) {
	var mu sync.Mutex
	connections := make(map[string]int)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[fmt.Sprint(r.ProtoMajor, " ", r.RemoteAddr)]++
		mu.Unlock()
		io.WriteString(w, "{}")
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	f := newFetcher(mustBase(t, server.URL), newSettings(Config{Client: server.Client()}))
	require.NoError(t, f.send(t.Context(), get(server.URL)).err)
	require.Len(t, connections, 1)
	for connection := range connections {
		require.True(t, strings.HasPrefix(connection, "2 "), connection)
	}
	clear(connections)
	for _, s := range f.samples(t.Context(), server.URL, make([]string, 5)) {
		require.Equal(t, "200", s.status)
	}
	require.Len(t, connections, 5)
	for connection, requests := range connections {
		require.True(t, strings.HasPrefix(connection, "1 "), connection)
		require.Equal(t, 1, requests)
	}
	require.NoError(t, f.send(t.Context(), get(server.URL)).err)
	require.Len(t, connections, 6, "the client itself still has its connection of HTTP/2")
}
