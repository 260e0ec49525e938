// What to copy: all of it, if your sessions may be silent for long and you do not
// want to lose splice(2) over finding out. What to change: nothing.

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
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

	open  atomic.Int32          // directions that have not ended
	first atomic.Pointer[error] // what ended both at once
}

// pass passes bytes on until both directions have ended, and then calls ended, once.
// It does not wait. The end of one direction is passed on as such: the other may go
// on. The error is what ended both at once; the connections are reset then.
func (t *traffic) pass(client, backend duplex, ended func(error)) {
	t.began = time.Now()
	t.open.Store(2)
	run := func(n *int64, dst, src duplex) {
		err := t.copy(n, dst, src)
		if err != nil {
			t.first.CompareAndSwap(nil, &err) // the rest comes of the reset
			reset(client)
			reset(backend)
		}
		if t.open.Add(-1) == 0 {
			if first := t.first.Load(); first != nil {
				err = *first
			}
			ended(err)
		}
	}
	go run(&t.up, backend, client)
	go run(&t.down, client, backend)
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
		n, err := transfer(dst, src)
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

// transfer is io.Copy with fewer frames on the stack, which an idle session keeps.
func transfer(dst, src duplex) (int64, error) {
	if c, ok := dst.(*proxyproto.Conn); ok {
		return c.ReadFrom(src)
	}
	if c, ok := src.(*proxyproto.Conn); ok {
		return c.WriteTo(dst)
	}
	return io.Copy(dst, src)
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
