// What to copy: all of it, if your sessions may be silent for long and you do not
// want to lose splice(2) over finding out. What to change: nothing.

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A duplex connection can end one of its directions: *net.TCPConn,
// *proxyproto.Conn, *tls.Conn.
type duplex interface {
	net.Conn
	CloseWrite() error
}

var (
	errIdle  = errors.New("nothing moved for the idle timeout")
	errStuck = errors.New("the other side did not take what was sent")
)

// A session's traffic.
type traffic struct {
	idle  time.Duration
	began time.Time
	moved atomic.Int64 // when bytes last moved, in either direction, since began
	up    int64        // bytes from the client
	down  int64        // and to it
}

// pass passes bytes on until both directions have ended. The end of one is
// passed on as such: the other may go on. The error is what ended both at once; the
// connections are reset then.
func (t *traffic) pass(client, backend duplex) error {
	t.began = time.Now()
	var (
		both  sync.WaitGroup
		once  sync.Once
		first error
	)
	run := func(n *int64, dst, src duplex) {
		both.Go(func() {
			if err := t.copy(n, dst, src); err != nil {
				once.Do(func() { first = err }) // the rest comes of the reset
				reset(client)
				reset(backend)
			}
		})
	}
	run(&t.up, backend, client)
	run(&t.down, client, backend)
	both.Wait()
	return first
}

// copy passes one direction on. io.Copy does not say when bytes move: on Linux
// they never come out of the kernel, by splice(2), and only a TLS connection is
// different. So it is interrupted from time to time by a deadline for reading, which
// loses nothing. A write that was interrupted could not go on; its deadline
// is only met by a peer that takes nothing, or nearly.
func (t *traffic) copy(sum *int64, dst, src duplex) error {
	look := t.idle / 8
	for {
		now := time.Now()
		src.SetReadDeadline(now.Add(look))
		dst.SetWriteDeadline(now.Add(look + t.idle))
		n, err := io.Copy(dst, src)
		*sum += n
		if n > 0 {
			t.moved.Store(int64(time.Since(t.began)))
		}
		switch {
		case err == nil:
			return dst.CloseWrite()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case time.Since(now) >= look+t.idle:
			return errStuck
		// The other direction may have moved, and say so only after its look.
		case time.Since(t.began)-time.Duration(t.moved.Load()) >= t.idle+look:
			return errIdle
		}
	}
}

// reset ends a connection so that its peer cannot take that for the orderly end of
// what it receives.
func reset(c net.Conn) {
	for {
		switch t := c.(type) {
		case *net.TCPConn:
			t.SetLinger(0) // RST instead of FIN
			t.Close()
			return
		case interface{ NetConn() net.Conn }: // not through tls.Conn.Close, which says a proper goodbye
			c = t.NetConn()
		default:
			c.Close()
			return
		}
	}
}
