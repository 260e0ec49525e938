package proxyproto_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// Defects that a review found.

type slowClear struct {
	net.Conn
	hold chan struct{}
}

func (c slowClear) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	<-c.hold
	return n, err
}

func TestHeaderThatWasReadIsNotEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		a, b := net.Pipe()
		hold := make(chan struct{})
		f.mem.conns <- &memConn{slowClear{b, hold}, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
		elapse(999 * time.Millisecond)
		send(t, a, proxy4())
		elapse(2 * time.Second)
		close(hold)
		c, err := f.Accept()
		require.NoError(t, err)
		send(t, a, "still usable: no deadline is left")
		require.Equal(t, "still usable: no deadline is left", read(t, c))
		require.Equal(t, proxyproto.Stats{Proxied: 1}, f.Stats())
	})
}

type noDeadline struct{ net.Conn }

func (noDeadline) SetReadDeadline(time.Time) error { return errors.New("not supported") }

func TestConnectionWithoutDeadlinesIsNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		a, b := net.Pipe()
		send(t, a, proxy4())
		f.mem.conns <- &memConn{noDeadline{b}, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
		synctest.Wait()
		require.Equal(t, proxyproto.Stats{TimedOut: 1}, f.Stats())
		require.ErrorContains(t, f.rejected()[0].Err, "takes no read deadline: not supported")
	})
}

type statsOnClose struct {
	net.Conn
	l **proxyproto.Listener
}

func (c statsOnClose) Close() error {
	(*c.l).Stats()
	return c.Conn.Close()
}

func TestConnectionsAreClosedOutsideTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		a, b := net.Pipe()
		defer a.Close()
		f.mem.conns <- &memConn{statsOnClose{b, &f.Listener}, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
		elapse(2 * time.Second)
		require.Equal(t, proxyproto.Stats{Evicted: 1}, f.Stats())
	})
}

func TestHeaderIsTheCallersOwn(t *testing.T) {
	conn, _ := offer(t, proxyproto.Config{}, proxy4(tlv(0xe0, "a"), tlv(0xe1, "b"), tlv(0xe2, "c"), sslTLV(0, 0, tlv(0x2f, "x"))))
	h1 := conn.Info().Header()
	h1.TLVs = append(h1.TLVs, proxyproto.TLV{Type: 0xe9, Value: []byte("one")})
	h2 := conn.Info().Header()
	h2.TLVs = append(h2.TLVs, proxyproto.TLV{Type: 0xe9, Value: []byte("two")})
	require.Equal(t, "one", string(h1.TLVs[3].Value))
	h1.TLS.Client = true
	h1.TLS.TLVs[0].Type = 0
	secure, known := proxyproto.Secure(conn)
	require.False(t, secure)
	require.True(t, known)
	require.Equal(t, byte(0x2f), conn.Info().TLS.TLVs[0].Type)
	require.Equal(t, proxyproto.Header{}, (*proxyproto.Info)(nil).Header())
}

func TestSubTLVThatStandsTwiceIsRefusedThoughTheFirstIsEmpty(t *testing.T) {
	_, rej := offer(t, proxyproto.Config{}, proxy4(sslTLV(7, 0, tlv(0x22, ""), tlv(0x22, "admin"))))
	require.ErrorIs(t, rej.Err, proxyproto.ErrMalformed)
}

func TestCloseOfABrokenListenerEndsAcceptWithErrClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		f.mem.errs <- errors.New("broken")
		synctest.Wait()
		f.Close()
		_, err := f.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestPrefixOfASplitForgedHeaderBeginsAtItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		client, server := direct(t, f)
		send(t, client, "PROXY TC", "P4 192.0.2.99 198.51.100.1 50000 25\r\n")
		io.ReadAll(server)
		require.Equal(t, "PROXY TCP4 192.0.2.99 198.51.100.1 50000 25\r\n", string(f.rejected()[0].Prefix))
	})
}

func TestPeerOfASetThatTrustsAllIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{Trusted: trustnet.MustParse("0.0.0.0/0")})
		client, server := direct(t, f)
		send(t, client, proxy4())
		_, err := io.ReadAll(server)
		require.ErrorContains(t, err, "AllowTrustAll")
	})
}

func TestShutdownOfNothingIgnoresAContextThatHasEnded(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, proxyproto.Config{})
			require.NoError(t, f.Shutdown(context.Background()))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.NoError(t, f.Shutdown(ctx))
		})
	}
}

func TestEveryConnectionHasItsOwnLocalAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for _, own := range []*net.TCPAddr{
			{IP: net.IPv4(192, 0, 2, 1), Port: 25},
			{IP: net.IPv4(192, 0, 2, 2), Port: 25}, // the same but the address
			{IP: net.IPv4(192, 0, 2, 2), Port: 587},
			{IP: net.ParseIP("fe80::1"), Port: 587, Zone: "eth0"},
			{IP: net.ParseIP("fe80::1"), Port: 587, Zone: "eth1"},
			{IP: net.IPv4(192, 0, 2, 1), Port: 25},
		} {
			a, b := net.Pipe()
			defer a.Close()
			f.mem.conns <- &memConn{b, tcpAddr(clientAddr), own}
			c, err := f.Accept()
			require.NoError(t, err)
			require.Equal(t, own.String(), c.LocalAddr().String())
		}
	})
}
