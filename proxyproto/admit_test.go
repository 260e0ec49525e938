package proxyproto_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/internal/proxymark"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// The outcomes for a peer that sends a header, and for a peer that does not.
const (
	isTrusted  = "the header counts; required"
	isOptional = "the header counts; direct"
	isDirect   = "the header is an error; direct"
	isIgnored  = "the header is dropped; direct"
	isRefused  = "refused"
)

// outcomeOf returns the outcome for a peer. It calls beforeNew and afterNew for each Listener
// that it makes.
func outcomeOf(t *testing.T, c proxyproto.Config, from string, beforeNew, afterNew func()) string {
	outcome := func(sent string) (o string) {
		synctest.Test(t, func(t *testing.T) {
			mem := newMemListener()
			beforeNew()
			l, err := proxyproto.New(mem, c)
			require.NoError(t, err)
			defer l.Close()
			afterNew()
			l.Start()
			client := mem.dial(from)
			send(t, client, sent)
			elapse(time.Second)
			if l.Stats().Ready == 0 {
				o = "refused"
				return
			}
			conn, err := l.Accept()
			require.NoError(t, err)
			if conn.(*proxyproto.Conn).Info().Version == 2 {
				o = "the header counts"
				return
			}
			b := make([]byte, 100)
			n, err := conn.Read(b)
			switch {
			case err != nil:
				require.ErrorIs(t, err, proxyproto.ErrUntrustedHeader)
				o = "the header is an error"
			case sent == "hello":
				require.Equal(t, sent, string(b[:n]))
				o = "direct"
			default:
				require.Equal(t, "hello", string(b[:n]))
				o = "the header is dropped"
			}
		})
		return o
	}
	with, without := outcome(proxy4()+"hello"), outcome("hello")
	switch {
	case with != "refused" && without == "refused":
		return with + "; required"
	case with == without:
		return with
	}
	return with + "; " + without
}

func TestFirstListThatContainsPeerDecides(t *testing.T) {
	proxy, other, none := trustnet.MustParse("192.0.2.10"), trustnet.MustParse("198.51.100.1"), (*trustnet.Set)(nil)
	for _, tt := range []struct {
		name                      string
		direct, trusted, optional *trustnet.Set
		untrusted                 proxyproto.Policy
		want                      string
	}{
		{name: "on no list", direct: other, trusted: other, optional: other, want: isDirect},
		{name: "on no list, Refuse", direct: other, trusted: other, optional: other, untrusted: proxyproto.Refuse, want: isRefused},
		{name: "on no list, Ignore", direct: other, trusted: other, optional: other, untrusted: proxyproto.Ignore, want: isIgnored},
		{name: "no lists", direct: none, trusted: none, optional: none, want: isDirect},
		{name: "no lists, Refuse", direct: none, trusted: none, optional: none, untrusted: proxyproto.Refuse, want: isRefused},
		{name: "Trusted", direct: other, trusted: proxy, optional: other, want: isTrusted},
		{name: "Trusted, Refuse", direct: none, trusted: proxy, optional: none, untrusted: proxyproto.Refuse, want: isTrusted},
		{name: "Trusted, Ignore", direct: none, trusted: proxy, optional: none, untrusted: proxyproto.Ignore, want: isTrusted},
		{name: "Optional", direct: other, trusted: other, optional: proxy, want: isOptional},
		{name: "Optional, Refuse", direct: none, trusted: none, optional: proxy, untrusted: proxyproto.Refuse, want: isOptional},
		{name: "Optional, Ignore", direct: none, trusted: none, optional: proxy, untrusted: proxyproto.Ignore, want: isOptional},
		{name: "Direct", direct: proxy, trusted: other, optional: other, want: isDirect},
		{name: "Direct, Refuse", direct: proxy, trusted: none, optional: none, untrusted: proxyproto.Refuse, want: isDirect},
		{name: "Direct, Ignore", direct: proxy, trusted: other, optional: none, untrusted: proxyproto.Ignore, want: isDirect},
		{name: "Direct before Trusted and Optional", direct: proxy, trusted: proxy, optional: proxy, want: isDirect},
		{name: "Direct before Trusted and Optional, Refuse", direct: proxy, trusted: proxy, optional: proxy, untrusted: proxyproto.Refuse, want: isDirect},
		{name: "Trusted before Optional", direct: none, trusted: proxy, optional: proxy, want: isTrusted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, outcomeOf(t, proxyproto.Config{
				Direct: tt.direct, Trusted: tt.trusted, Optional: tt.optional, Untrusted: tt.untrusted,
			}, proxyAddr, func() {}, func() {}))
		})
	}
}

func TestNewRefusesListsThatTrustAll(t *testing.T) {
	set := func(items ...string) *trustnet.Set { return trustnet.MustParse(items...) }
	live := new(trustnet.Live)
	live.Store(set("::/0"))
	for _, tt := range []struct {
		name   string
		config proxyproto.Config
		quotes string // "" if the configuration is fine
	}{
		{name: "IPv4", config: proxyproto.Config{Trusted: set("0.0.0.0/0")}, quotes: "0.0.0.0/0"},
		{name: "IPv6", config: proxyproto.Config{Trusted: set("::/0")}, quotes: "::/0"},
		{name: "half of IPv4", config: proxyproto.Config{Trusted: set("0.0.0.0/2", "192.0.0.0/2")}, quotes: "0.0.0.0/2"},
		{name: "IPv6 in a Live", config: proxyproto.Config{Trusted: live}, quotes: "::/0"},
		{name: "a proxy and IPv6", config: proxyproto.Config{Trusted: set("192.0.2.10", "::/0")}, quotes: "192.0.2.10"},
		{name: "Optional", config: proxyproto.Config{Optional: set("0.0.0.0/0")}, quotes: "0.0.0.0/0"},
		{name: "Trusted is fine, Optional is not", config: proxyproto.Config{Trusted: set("192.0.2.10"), Optional: set("::/0")}, quotes: "::/0"},
		{name: "both together", config: proxyproto.Config{Trusted: set("0.0.0.0/2"), Optional: set("64.0.0.0/2")}, quotes: "0.0.0.0/1"},
		{name: "allowed", config: proxyproto.Config{Trusted: set("0.0.0.0/0"), Optional: set("::/0"), AllowTrustAll: true}, quotes: ""},
		{name: "Direct may be everyone", config: proxyproto.Config{Trusted: set("192.0.2.10"), Direct: set("0.0.0.0/0", "::/0")}, quotes: ""},
		{name: "less than half", config: proxyproto.Config{Trusted: set("0.0.0.0/2"), Optional: set("64.0.0.0/3")}, quotes: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := proxyproto.New(newMemListener(), tt.config)
			if tt.quotes == "" {
				require.NoError(t, err)
				require.NoError(t, l.Close())
				return
			}
			require.Nil(t, l)
			require.ErrorIs(t, err, trustnet.ErrTrustsAll)
			require.ErrorContains(t, err, tt.quotes)
			require.Regexp(t, "^proxyproto: ", err.Error())
			require.NotRegexp(t, goField, err.Error())
		})
	}
}

func TestLaterSetThatTrustsAllTrustsNoPeer(t *testing.T) {
	for _, tt := range []struct {
		name              string
		trusted, optional string // replaced by these after New
		allow             bool
		want              string
		count             uint64 // of Stats.TrustAll for one connection of the proxy
	}{
		{name: "Trusted covers IPv4", trusted: "0.0.0.0/0", want: isDirect, count: 1},
		{name: "Trusted covers IPv6 and the proxy", trusted: "192.0.2.10 ::/0", want: isDirect, count: 1},
		{name: "Trusted covers IPv4, allowed", trusted: "0.0.0.0/0", allow: true, want: isTrusted},
		{name: "Optional covers IPv4", optional: "0.0.0.0/0", want: isDirect, count: 1},
		{name: "Optional covers IPv4, allowed", optional: "0.0.0.0/0", allow: true, want: isOptional},
		{name: "Optional covers IPv4, the peer is trusted", trusted: "192.0.2.10", optional: "0.0.0.0/0", want: isTrusted},
		{name: "Trusted covers IPv4, the peer is optional", trusted: "0.0.0.0/0", optional: "192.0.2.10", want: isOptional},
		{name: "both together, the peer is trusted", trusted: "192.0.0.0/2", optional: "0.0.0.0/2", want: isDirect, count: 1},
		{name: "both together, the peer is optional", trusted: "0.0.0.0/2", optional: "192.0.0.0/2", want: isDirect, count: 1},
		{name: "both together, allowed", trusted: "192.0.0.0/2", optional: "0.0.0.0/2", allow: true, want: isTrusted},
		{name: "neither", trusted: "192.0.2.10", optional: "192.0.2.0/24", want: isTrusted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trusted, optional := new(trustnet.Live), new(trustnet.Live)
			c := proxyproto.Config{Trusted: trusted, Optional: optional, AllowTrustAll: tt.allow}
			empty := func() { trusted.Store(nil); optional.Store(nil) }
			replace := func() { trusted.Store(set(tt.trusted)); optional.Store(set(tt.optional)) }
			require.Equal(t, tt.want, outcomeOf(t, c, proxyAddr, empty, replace))
			synctest.Test(t, func(t *testing.T) {
				empty()
				f := newFixture(t, c)
				replace()
				for i := range uint64(3) {
					client := f.mem.dial(proxyAddr)
					send(t, client, proxy4())
					conn, err := f.Accept()
					require.NoError(t, err)
					require.Equal(t, (i+1)*tt.count, f.Stats().TrustAll)
					if tt.count > 0 {
						_, err = conn.Read(make([]byte, 100))
						require.ErrorIs(t, err, proxyproto.ErrUntrustedHeader)
						require.ErrorContains(t, err, "covers half of the Internet or more")
					}
				}
			})
		})
	}
}

func TestEachPairOfListsIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trusted, optional := new(trustnet.Live), new(trustnet.Live)
		f := newFixture(t, proxyproto.Config{Trusted: trusted, Optional: optional})
		for i, tt := range []struct {
			trusted, optional string
			want              bool // the header counts
		}{
			{trusted: "192.0.2.10", optional: "192.0.2.11", want: true},
			{trusted: "192.0.0.0/2", optional: "0.0.0.0/2", want: false},
			{trusted: "192.0.0.0/2", optional: "192.0.2.11", want: true},
			{trusted: "192.0.2.10", optional: "0.0.0.0/2", want: true},
			{trusted: "128.0.0.0/2", optional: "192.0.0.0/2", want: false},
		} {
			trusted.Store(set(tt.trusted))
			optional.Store(set(tt.optional))
			send(t, f.mem.dial(proxyAddr), proxy4())
			c, err := f.Accept()
			require.NoError(t, err)
			require.Equal(t, tt.want, c.(*proxyproto.Conn).Info().Version == 2, i)
		}
	})
}

func set(items string) *trustnet.Set { return trustnet.MustParse(strings.Fields(items)...) }

// ignoresForwarding reports whether package forwarded ignores forwarding headers of c.
func ignoresForwarding(t *testing.T, c net.Conn) bool {
	return proxymark.FromContext(proxyproto.ConnContext(t.Context(), c)) != nil
}

func TestListenerWithoutPeersDoesNotMark(t *testing.T) {
	empty, nilSet := new(trustnet.Set), (*trustnet.Set)(nil)
	for _, tt := range []struct {
		name   string
		config proxyproto.Config
		marks  bool
	}{
		{name: "nil", config: proxyproto.Config{}, marks: false},
		{name: "nil sets", config: proxyproto.Config{Trusted: nilSet, Optional: nilSet}, marks: false},
		{name: "empty sets", config: proxyproto.Config{Trusted: empty, Optional: empty}, marks: false},
		{name: "Direct only", config: proxyproto.Config{Direct: trustnet.MustParse("203.0.113.7")}, marks: false},
		{name: "Direct and Refuse", config: proxyproto.Config{Direct: trustnet.MustParse("203.0.113.7"), Untrusted: proxyproto.Refuse}, marks: false},
		{name: "Trusted", config: proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10")}, marks: true},
		{name: "Optional", config: proxyproto.Config{Optional: trustnet.MustParse("192.0.2.10")}, marks: true},
		{name: "an empty Live", config: proxyproto.Config{Trusted: new(trustnet.Live)}, marks: true},
		{name: "an empty Live for Optional", config: proxyproto.Config{Optional: new(trustnet.Live)}, marks: true},
		{name: "an empty Live and an empty set", config: proxyproto.Config{Trusted: empty, Optional: new(trustnet.Live)}, marks: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := newMemListener()
				l, err := proxyproto.New(mem, tt.config)
				require.NoError(t, err)
				defer l.Close()
				go func() { defer mem.dial(clientAddr).Close() }()
				c, err := l.Accept()
				require.NoError(t, err)
				require.Equal(t, tt.marks, ignoresForwarding(t, c))
				info, ok := proxyproto.FromContext(proxyproto.ConnContext(t.Context(), c))
				require.True(t, ok, "FromContext works without a mark")
				require.Same(t, c.(*proxyproto.Conn).Info(), info)
			})
		})
	}
}

func TestHeaderOnListenerWithoutPeers(t *testing.T) {
	for name, header := range forgedHeaders {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{Trusted: new(trustnet.Set)})
				client, server := direct(t, f)
				send(t, client, header)
				got, err := io.ReadAll(server)
				require.Empty(t, got)
				require.ErrorIs(t, err, proxyproto.ErrUntrustedHeader)
				require.ErrorContains(t, err, "turn the protocol off in the proxy for this port")
				require.Len(t, f.rejected(), 1)
				require.Equal(t, err, f.rejected()[0].Err)
				require.False(t, f.rejected()[0].Served)
			})
		})
	}
}

// chain connects through two Listeners, of which the second is on top of the first.
func chain(t *testing.T, lower, upper proxyproto.Config, sent string) net.Conn {
	mem := newMemListener()
	first, err := proxyproto.New(mem, lower)
	require.NoError(t, err)
	second, err := proxyproto.New(first, upper)
	require.NoError(t, err)
	t.Cleanup(func() { second.Close() })
	dialed := make(chan net.Conn, 1)
	go func() {
		client := mem.dial(proxyAddr)
		dialed <- client
		io.WriteString(client, sent)
	}()
	c, err := second.Accept()
	require.NoError(t, err)
	client := <-dialed
	t.Cleanup(func() { client.Close() })
	return c
}

func TestConnContextMarksChain(t *testing.T) {
	proxy, client := proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10")}, proxyproto.Config{Trusted: trustnet.MustParse("203.0.113.7")}
	for _, tt := range []struct {
		name         string
		lower, upper proxyproto.Config
		sent         string
		marks, known bool
		remote       string
	}{
		{name: "neither", lower: proxyproto.Config{}, upper: proxyproto.Config{}, sent: "", marks: false, known: true, remote: proxyAddr},
		{name: "the lower, with a header", lower: proxy, upper: proxyproto.Config{}, sent: proxy4(), marks: true, known: true, remote: clientAddr},
		{name: "the lower, without a client", lower: proxy, upper: proxyproto.Config{}, sent: v2(0x20, 0), marks: true, known: false, remote: proxyAddr},
		{name: "the lower, direct", lower: client, upper: proxyproto.Config{}, sent: "", marks: true, known: true, remote: proxyAddr},
		{name: "the upper, direct", lower: proxyproto.Config{}, upper: client, sent: "", marks: true, known: true, remote: proxyAddr},
		{name: "both, a header in a header", lower: proxy, upper: client, sent: proxy4() + "PROXY TCP4 198.51.100.9 198.51.100.1 1 25\r\n", marks: true, known: true, remote: "198.51.100.9:1"},
		{name: "both, direct in a header", lower: proxy, upper: proxy, sent: proxy4(), marks: true, known: true, remote: clientAddr},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := chain(t, tt.lower, tt.upper, tt.sent)
				require.Equal(t, tt.marks, ignoresForwarding(t, c))
				require.Equal(t, tt.remote, c.RemoteAddr().String())
				info, ok := proxyproto.FromConn(c)
				require.True(t, ok)
				require.Equal(t, tt.known, info.ClientKnown(), "the upper one must not present the proxy as the client")
				require.Equal(t, tt.remote, info.Client.String())
			})
		})
	}
}
