package proxyproto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// The tests in this file put load on a Listener with real sockets. The clients are in this
// process.

// fromLoopback trusts 127.0.0.1, has a header timeout for slow machines, and fails the test if a
// connection is refused.
func fromLoopback(t *testing.T) proxyproto.Config {
	return proxyproto.Config{
		Trusted:       trustnet.MustParse("127.0.0.1"),
		HeaderTimeout: time.Minute,
		OnReject:      func(r proxyproto.Rejection) { t.Errorf("refused: %v: %v", r.Peer, r.Err) },
	}
}

// fewer returns n, or a tenth of it with -short.
func fewer(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// patience is the time after which a test fails.
const patience = time.Minute

// eventually waits for a condition. Unlike require.Eventually it starts no goroutine, because
// some conditions count them.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); <-time.After(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "it did not happen in time")
	}
}

const question = "ping"

// answer serves l until it is closed and sends every question back. It returns the error of
// Accept when all clients have left.
func answer(l net.Listener) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		clients.Go(func() {
			defer c.Close()
			b := make([]byte, len(question))
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			c.Write(b)
			c.Read(b)
		})
	}
}

// answers serves l until the test ends.
func answers(t *testing.T, l net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer(l)
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}

// ask connects, sends the header and a question, and waits for the answer. It closes the
// connection when leave is closed.
func ask(addr net.Addr, header string, leave <-chan struct{}) error {
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, header+question); err != nil {
		return err
	}
	err = hear(c)
	<-leave
	return err
}

// hear waits for the answer.
func hear(c net.Conn) error {
	b := make([]byte, len(question))
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, b); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	if string(b) != question {
		return fmt.Errorf("the answer is %q", b)
	}
	return nil
}

// now is a closed channel.
var now = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// connect opens n connections to l, sends the header on each, and closes them at the end of the
// test.
func connect(t testing.TB, l net.Listener, n int, header string) []net.Conn {
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = io.WriteString(c, header)
		require.NoError(t, err)
		conns[i] = c
	}
	return conns
}

func TestBurstOfGoodPeersLosesNone(t *testing.T) {
	const bound = 256
	burst := fewer(5000)
	cfg := fromLoopback(t)
	cfg.MaxPending = bound
	l := wrapped(t, cfg)

	// One client after the other connects and sends, because the scheduler could delay a
	// client for a second between the two. No more clients wait than fit into the kernel's
	// queue, at most 4096: if the queue is full, a client tries again after a second.
	waiting := make(chan struct{}, 4000)
	errs := make(chan error)
	go func() {
		for range burst {
			waiting <- struct{}{}
			c, err := net.Dial("tcp", l.Addr().String())
			if err == nil {
				_, err = io.WriteString(c, proxy4()+question)
			}
			go func() {
				if err == nil {
					err = hear(c)
					c.Close()
				}
				errs <- err
				<-waiting
			}()
		}
	}()
	// No client is served before all have connected.
	eventually(t, func() bool { return len(waiting) == min(burst, cap(waiting)) && l.Stats().Ready >= bound })
	require.Equal(t, proxyproto.Stats{Proxied: bound, Ready: bound}, l.Stats())
	answers(t, l)
	for range burst {
		require.NoError(t, <-errs)
	}
	require.Equal(t, proxyproto.Stats{Proxied: uint64(burst)}, l.Stats())
}

func TestSilentPeersDoNotBlockGoodOne(t *testing.T) {
	silent := fewer(1000)
	l := wrapped(t, fromLoopback(t))
	answers(t, l)
	connect(t, l, silent, "")
	connect(t, l, 10, proxy4()[:20]) // nor do those that stop in the middle
	eventually(t, func() bool { return l.Stats().Pending == silent+10 })
	for range 100 {
		require.NoError(t, ask(l.Addr(), proxy4(), now))
	}
	require.Equal(t, proxyproto.Stats{Proxied: 100, Pending: silent + 10}, l.Stats())
	require.NoError(t, l.Close()) // before the clients leave and are refused for it
}

func TestCloseGivesEverythingBack(t *testing.T) {
	listen(t).Close() // package net has opened its own files
	goroutines, files := runtime.NumGoroutine(), openFiles(t)

	l := wrapped(t, fromLoopback(t))
	pending := connect(t, l, 500, "")
	ready := connect(t, l, 50, proxy4())
	eventually(t, func() bool { return l.Stats() == proxyproto.Stats{Proxied: 50, Pending: 500, Ready: 50} })

	require.NoError(t, l.Close())
	for range 2 {
		_, err := l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	}
	for _, c := range append(pending, ready...) {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		_, err := c.Read(make([]byte, 1))
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the server's end is still open")
		require.NoError(t, c.Close())
	}
	eventually(t, func() bool { return l.Stats() == proxyproto.Stats{Proxied: 50} })
	eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, func() bool { return openFiles(t) <= files })
}

// openFiles counts the file descriptors of this process.
func openFiles(t *testing.T) int {
	files, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Logf("descriptors are not counted: %v", err)
	}
	return len(files)
}

// A countingListener counts the connections that it accepted.
type countingListener struct {
	net.Listener
	accepted atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

func TestShutdownUnderLoad(t *testing.T) {
	inner := &countingListener{Listener: listen(t)}
	l, err := proxyproto.New(inner, fromLoopback(t))
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- answer(l) }()

	slow := connect(t, l, 50, "")
	var answered atomic.Int64
	var busy sync.WaitGroup
	for range 8 {
		busy.Go(func() {
			for {
				// A client in the kernel's queue, which closes with the socket, was
				// not accepted and gets no answer.
				err := ask(l.Addr(), proxy4(), now)
				var failed *net.OpError
				if errors.As(err, &failed) && failed.Op == "dial" {
					return // the socket is closed
				}
				if err == nil {
					answered.Add(1)
				}
			}
		})
	}
	eventually(t, func() bool { return answered.Load() >= 200 && l.Stats().Pending >= len(slow) })

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shutdown := make(chan error, 1)
	go func() { shutdown <- l.Shutdown(ctx) }()
	busy.Wait()
	for _, c := range slow {
		_, err := io.WriteString(c, proxy4()+question)
		require.NoError(t, err)
		require.NoError(t, hear(c))
		answered.Add(1)
		c.Close()
	}
	require.NoError(t, <-shutdown)
	require.ErrorIs(t, <-served, net.ErrClosed)
	require.Equal(t, inner.accepted.Load(), answered.Load())
	require.Equal(t, proxyproto.Stats{Proxied: uint64(answered.Load())}, l.Stats())
}
