package differential

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	theirs "github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// Each policy of go-proxyproto behaves like the Config that MIGRATION.md gives for it.
func TestPoliciesOfGoProxyproto(t *testing.T) {
	const refused = "refused"
	peer, elsewhere := trustnet.MustParse("127.0.0.1"), trustnet.MustParse("192.0.2.10")
	always := func(p theirs.Policy) theirs.ConnPolicyFunc {
		return func(theirs.ConnPolicyOptions) (theirs.Policy, error) { return p, nil }
	}
	for name, tt := range map[string]struct {
		policy       theirs.ConnPolicyFunc
		config       proxyproto.Config
		header, none string // results of seen for a client with and without a header
		theirHeader  string // header of go-proxyproto, if it differs
	}{
		"REQUIRE": {
			policy: always(theirs.REQUIRE), config: proxyproto.Config{Trusted: peer},
			header: "203.0.113.7 ping", none: refused,
		},
		"USE": {
			policy: always(theirs.USE), config: proxyproto.Config{Optional: peer},
			header: "203.0.113.7 ping", none: "127.0.0.1 ping",
		},
		"REJECT": {
			policy: always(theirs.REJECT), config: proxyproto.Config{Trusted: elsewhere},
			header: refused, none: "127.0.0.1 ping",
		},
		"REJECT for some": {
			policy: always(theirs.REJECT), config: proxyproto.Config{Direct: peer, Optional: elsewhere, Untrusted: proxyproto.Ignore},
			header: refused, none: "127.0.0.1 ping",
		},
		"IGNORE": {
			policy: always(theirs.IGNORE), config: proxyproto.Config{Optional: elsewhere, Untrusted: proxyproto.Ignore},
			header: "127.0.0.1 ping", none: "127.0.0.1 ping",
		},
		"IGNORE, with a list that is empty": {
			policy: always(theirs.IGNORE), config: proxyproto.Config{Optional: new(trustnet.Live), Untrusted: proxyproto.Ignore},
			header: "127.0.0.1 ping", none: "127.0.0.1 ping",
		},
		"SKIP": {
			policy: always(theirs.SKIP), config: proxyproto.Config{Direct: peer, Trusted: elsewhere},
			header: refused, none: "127.0.0.1 ping", theirHeader: "127.0.0.1 PROX",
		},
		"an error that wraps ErrInvalidUpstream": {
			policy: theirs.TrustProxyHeaderFrom(net.IPv4(192, 0, 2, 10)), config: proxyproto.Config{Trusted: elsewhere, Untrusted: proxyproto.Refuse},
			header: refused, none: refused,
		},
		"TrustProxyHeaderFrom": {
			policy: theirs.TrustProxyHeaderFrom(net.IPv4(127, 0, 0, 1)), config: proxyproto.Config{Trusted: peer, Untrusted: proxyproto.Refuse},
			header: "203.0.113.7 ping", none: refused,
		},
		"ConnLaxWhiteListPolicy": {
			//lint:ignore SA1019 servers that migrate use it
			policy: theirs.ConnMustLaxWhiteListPolicy([]string{"192.0.2.10"}), config: proxyproto.Config{Optional: elsewhere, Untrusted: proxyproto.Ignore},
			header: "127.0.0.1 ping", none: "127.0.0.1 ping",
		},
		"ConnStrictWhiteListPolicy": {
			//lint:ignore SA1019 servers that migrate use it
			policy: theirs.ConnMustStrictWhiteListPolicy([]string{"192.0.2.10"}), config: proxyproto.Config{Optional: elsewhere},
			header: refused, none: "127.0.0.1 ping",
		},
		"no policy, REQUIRE from everybody": {
			config: proxyproto.Config{Trusted: trustnet.MustParse("0.0.0.0/0", "::/0", "unix"), AllowTrustAll: true},
			header: "203.0.113.7 ping", none: refused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			wrapTheirs := func(l net.Listener) net.Listener { return &theirs.Listener{Listener: l, ConnPolicy: tt.policy} }
			wrapOurs := func(l net.Listener) net.Listener {
				ours, err := proxyproto.New(l, tt.config)
				require.NoError(t, err)
				return ours
			}
			const header = "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n"
			require.Equal(t, tt.header, seen(t, wrapOurs, header+"ping"))
			require.Equal(t, tt.none, seen(t, wrapOurs, "ping"))
			if tt.theirHeader == "" {
				tt.theirHeader = tt.header
			}
			require.Equal(t, tt.theirHeader, seen(t, wrapTheirs, header+"ping"))
			require.Equal(t, tt.none, seen(t, wrapTheirs, "ping"))
		})
	}
}

// seen returns the client's address and its first four bytes as a server reads them. It
// returns "refused" if the connection is not accepted or the first Read fails.
func seen(t *testing.T, wrap func(net.Listener) net.Listener, sent string) string {
	inner, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	l := wrap(inner)
	defer l.Close()
	served := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return // the test closed l
		}
		defer c.Close()
		first, err := bufio.NewReader(c).Peek(4)
		if err != nil {
			served <- "refused"
			return
		}
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		served <- host + " " + string(first)
	}()
	c, err := net.Dial("tcp4", inner.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(c, sent)
	require.NoError(t, err)
	_, _ = io.ReadAll(c) // until the server or the listener closes the connection
	select {
	case s := <-served:
		return s
	default:
		return "refused"
	}
}
