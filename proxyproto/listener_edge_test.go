package proxyproto_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// A gated connection reads only after its turn came, as on a loaded machine.
type gated struct {
	*net.TCPConn
	turn chan struct{}
}

func (c gated) Read(b []byte) (int, error) { <-c.turn; return c.TCPConn.Read(b) }

type gatedListener struct {
	net.Listener
	turn chan struct{}
}

func (l gatedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return gated{c.(*net.TCPConn), l.turn}, nil
}

func TestPeerWhoseHeaderIsInTheSocketIsNotSilent(t *testing.T) {
	turn := make(chan struct{})
	cfg := fromLoopback(t)
	cfg.MaxPending = 1
	l, err := proxyproto.New(gatedListener{listen(t), turn}, cfg)
	require.NoError(t, err)
	defer l.Close()
	connect(t, l, 1, proxy4())
	<-time.After(1200 * time.Millisecond) // longer than maxSilence, on a real socket
	close(turn)
	_, err = l.Accept()
	require.NoError(t, err)
}

func TestBytesBehindTheHeaderAreNotAnotherConnections(t *testing.T) {
	l := wrapped(t, proxyproto.Config{Trusted: trustnet.MustParse("127.0.0.1")})
	var conns []net.Conn
	for i := range 200 {
		c := connect(t, l, 1, proxy4()+fmt.Sprintf("payload of %05d", i))
		require.NotNil(t, c)
		s, err := l.Accept()
		require.NoError(t, err)
		defer s.Close()
		conns = append(conns, s)
	}
	for i, s := range conns {
		require.Equal(t, fmt.Sprintf("payload of %05d", i), read(t, s))
	}
}

func TestPrefixIsTheReceivers(t *testing.T) {
	var mu sync.Mutex
	var got []proxyproto.Rejection
	l := wrapped(t, proxyproto.Config{Trusted: trustnet.MustParse("127.0.0.1"), OnReject: func(r proxyproto.Rejection) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r)
	}})
	for i := range 200 {
		connect(t, l, 1, fmt.Sprintf("EHLO %05d", i))
		eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == i+1 })
	}
	for i, r := range got {
		require.Equal(t, fmt.Sprintf("EHLO %05d", i), string(r.Prefix))
	}
}

func TestEvictionTakesTheOldestOfTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 4})
		var clients []net.Conn
		for range 3 {
			clients = append(clients, f.mem.dial(proxyAddr))
		}
		elapse(2 * time.Second)                          // all three are silent, none was in the way
		clients = append(clients, f.mem.dial(proxyAddr)) // the fourth reaches the bound
		_, err := clients[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		synctest.Wait()
		require.Equal(t, proxyproto.Stats{Evicted: 1, Pending: 3}, f.Stats(), "one is enough")
		for _, c := range clients[1:] {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}
	})
}

func TestRefusedHeaderMakesRoomAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		start := time.Now()
		bad := f.mem.dial(proxyAddr)
		synctest.Wait() // the accept loop waits for room
		send(t, bad, "EHLO x\r\n")
		require.NotNil(t, f.mem.dial(clientAddr))
		require.Zero(t, time.Since(start))
	})
}

func TestCloseAtTheBoundEndsTheAcceptLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		f.mem.dial(clientAddr)
		synctest.Wait()
		require.NoError(t, f.Close())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, f.Shutdown(ctx), "nothing is left")
	})
}

func TestShutdownWakesEveryAcceptor(t *testing.T) {
	for _, pending := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, proxyproto.Config{})
			var silent net.Conn
			if pending {
				silent = f.mem.dial(proxyAddr)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					_, err := f.Accept()
					require.ErrorIs(t, err, net.ErrClosed)
				})
			}
			synctest.Wait()
			done := make(chan error, 1)
			go func() { done <- f.Shutdown(context.Background()) }()
			if pending {
				synctest.Wait()
				silent.Close()
			}
			wg.Wait() // a bubble in which one hangs ends the test
			require.NoError(t, <-done)
		})
	}
}

type deaf struct{ net.Conn }

func (c deaf) Close() error { return nil } // does not end Read

func TestCloseWakesEveryAcceptorThoughAConnectionHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		a, b := net.Pipe()
		f.mem.conns <- &memConn{deaf{b}, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, err := f.Accept(); require.ErrorIs(t, err, net.ErrClosed) })
		}
		synctest.Wait()
		start := time.Now()
		f.Close()
		wg.Wait()
		require.Zero(t, time.Since(start))
		a.Close()
	})
}

// The listener below hands out a connection that it accepted while it was closed.
type lateListener struct {
	*memListener
	late net.Conn
	once sync.Once
}

func (l *lateListener) Accept() (net.Conn, error) {
	c, err := l.memListener.Accept()
	if err != nil {
		l.once.Do(func() { c, err = l.late, nil })
	}
	return c, err
}

func TestConnectionAcceptedWhileClosingIsClosed(t *testing.T) {
	for _, from := range []string{proxyAddr, clientAddr} {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			inner := &lateListener{memListener: newMemListener(), late: &memConn{b, tcpAddr(from), tcpAddr(serverAddr)}}
			l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10")})
			require.NoError(t, err)
			synctest.Wait()
			start := time.Now()
			require.NoError(t, l.Close())
			_, err = a.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			require.Zero(t, time.Since(start))
			synctest.Wait()
			s := l.Stats()
			require.Zero(t, s.Pending+s.Ready)
		})
	}
}

func TestAcceptKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		next, want := 0, 0
		in := func() {
			next++
			f.mem.dial(fmt.Sprintf("203.0.113.7:%d", next))
		}
		out := func() {
			want++
			c, err := f.Accept()
			require.NoError(t, err)
			require.Equal(t, want, c.RemoteAddr().(*net.TCPAddr).Port)
		}
		for range 16 {
			in()
		}
		for range 5 {
			out() // the head is in the middle when the ring grows
		}
		for range 40 {
			in()
		}
		synctest.Wait()
		for range 51 {
			out()
		}
	})
}

func TestFallbackAddressesAreUnmapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for _, s := range []string{v2(0x21, 0x11, "\xcb\x00\x71\x07\x00\x00\x00\x00\x00\x00\x00\x00"), "EHLO"} {
			a, b := net.Pipe()
			send(t, a, s)
			f.mem.conns <- &memConn{b,
				&net.TCPAddr{IP: net.IPv4(192, 0, 2, 10), Port: 40000},
				&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25}}
		}
		c, err := f.Accept()
		require.NoError(t, err)
		require.Len(t, c.LocalAddr().(*net.TCPAddr).IP, net.IPv4len)
		synctest.Wait()
		require.Len(t, f.rejected()[0].Peer.(*net.TCPAddr).IP, net.IPv4len)
	})
}

func TestTLVThatStandsTwiceIsRefused(t *testing.T) {
	zero := proxy4(tlv(0x03, "\x00\x00\x00\x00"), tlv(0x03, "\x00\x00\x00\x00"))
	sum := crc32.Checksum([]byte(zero), crc32.MakeTable(crc32.Castagnoli)) // the first one is right
	two := zero[:len(zero)-11] + string(binary.BigEndian.AppendUint32(nil, sum)) + zero[len(zero)-7:]
	for name, h := range map[string]string{
		"ALPN":      proxy4(tlv(0x01, "a"), tlv(0x01, "a")),
		"unique ID": proxy4(tlv(0x05, "a"), tlv(0x05, "a")),
		"CRC32C":    two,
		"certs":     proxy4(sslTLV(7, 0, tlv(0x28, "a"), tlv(0x28, "b"))),
	} {
		_, rej := offer(t, proxyproto.Config{}, h)
		require.NotNil(t, rej, name)
		require.ErrorIs(t, rej.Err, proxyproto.ErrMalformed, name)
		require.Contains(t, rej.Err.Error(), "twice", name)
	}
}

func TestHeaderSaysLocal(t *testing.T) {
	conn, _ := offer(t, proxyproto.Config{}, v2(0x20, 0))
	require.True(t, conn.Info().Header().Local)
}

type cancels struct {
	net.Conn
	cancel func()
}

func (c cancels) Write(b []byte) (int, error) {
	c.cancel()
	elapse(time.Second) // the AfterFunc runs
	return len(b), nil
}

func TestDialerReportsAContextThatEndedDuringTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a, b := net.Pipe()
		defer b.Close()
		d := proxyproto.Dialer{Dial: func(context.Context, string, string) (net.Conn, error) { return cancels{a, cancel}, nil }}
		_, err := d.DialContext(ctx, "tcp", "x", proxyproto.Header{})
		require.ErrorIs(t, err, context.Canceled) // else its deadline is left behind
	})
}

func TestBackoffStartsAnewAndCloseEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for range 12 {
			f.mem.errs <- passingError{}
		}
		f.mem.dial(clientAddr)
		f.mem.errs <- passingError{}
		start := time.Now()
		f.mem.dial(clientAddr)
		require.Equal(t, 5*time.Millisecond, time.Since(start))
		for range 12 {
			f.mem.errs <- passingError{}
		}
		start = time.Now()
		f.Close()
		require.NoError(t, f.Shutdown(context.Background()))
		require.Zero(t, time.Since(start))
	})
}

type closeFails struct{ *memListener }

func (l closeFails) Close() error { l.memListener.Close(); return errors.New("close fails") }

func TestErrorOfTheListenerBelowIsReturnedByClose(t *testing.T) {
	l, err := proxyproto.New(closeFails{newMemListener()}, proxyproto.Config{})
	require.NoError(t, err)
	require.ErrorContains(t, l.Close(), "close fails")
	l, err = proxyproto.New(closeFails{newMemListener()}, proxyproto.Config{})
	require.NoError(t, err)
	require.ErrorContains(t, l.Shutdown(context.Background()), "close fails")
}
