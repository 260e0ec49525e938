// What to copy: this file and watch.go, if sessions may be silent for long. What to change:
// nothing.

package main

import (
	"crypto/tls"
	"net"
	"sync/atomic"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A duplex connection can end one of its directions: *net.TCPConn,
// *proxyproto.Conn, *tls.Conn.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// A traffic is the two directions of a session.
type traffic struct {
	client, backend duplex
	clock           *clock
	moved           atomic.Int64 // when bytes last arrived or were accepted
	up, down        direction    // from and to the client
	alive           bool         // keepAlive was called; guarded by watch.mu

	open  atomic.Int32              // directions that have not ended
	first atomic.Pointer[error]     // error that ended a direction
	from  atomic.Pointer[direction] // direction that ended first
	ended func(error)               // called when both directions have ended
}

// A direction counts the bytes that it forwards.
type direction struct {
	bytes int64        // may be read when the direction has ended
	busy  atomic.Int64 // since when there are bytes to write, or 0
}

// pass forwards bytes until both directions have ended, and then calls ended, once. It
// does not wait. The end of one direction is passed on as a half-close, and the other direction
// continues. After an error both connections are reset, and ended gets the error.
func (t *traffic) pass() {
	t.open.Store(2)
	go t.forward(&t.up, t.backend, t.client)
	go t.forward(&t.down, t.client, t.backend)
}

// forward runs on its own goroutine. Before it waits it calls nothing that needs a larger stack,
// because the memory of an idle session is mostly two such stacks.
func (t *traffic) forward(d *direction, dst, src duplex) {
	err := proxyproto.Forward(dst, src, func(writing bool, n int64) {
		now := t.clock.now()
		t.moved.Store(now) // bytes have arrived, or were accepted
		if writing {
			d.busy.Store(now)
			return
		}
		d.busy.Store(0)
		d.bytes += n
	})
	t.end(d, err, dst)
}

// end ends one direction.
func (t *traffic) end(d *direction, err error, dst duplex) {
	t.from.CompareAndSwap(nil, d)
	_, isTLS := dst.(*tls.Conn)
	if err == nil && t.first.Load() == nil && (isTLS || t.open.Load() > 1) { // else Close of the socket sends the same
		d.busy.Store(t.clock.now()) // a close_notify waits for the client
		err = dst.CloseWrite()
		d.busy.Store(0)
	}
	switch {
	case err == nil:
	case isBroken(dst):
		// A server that closes its connection without reading everything resets it, and its last
		// answer may wait in the relay's socket. The other direction forwards that, and ends then.
		t.fail(err)
	default:
		t.cut(err)
	}
	if t.open.Add(-1) > 0 {
		return
	}
	if first := t.first.Load(); first != nil {
		t.cut(*first)
		t.ended(*first)
		return
	}
	t.ended(nil)
}

// fail records the reason. Later errors are results of the first one.
func (t *traffic) fail(err error) { t.first.CompareAndSwap(nil, &err) }

// cut resets both connections.
func (t *traffic) cut(err error) {
	t.fail(err)
	reset(t.client)
	reset(t.backend)
}

// reset ends a connection with an RST, so that the peer does not mistake it for the end of the
// data. Bytes that the system has not sent yet are lost.
func reset(c net.Conn) {
	c = lowest(c) // tls.Conn.Close sends a close_notify
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0) // RST instead of FIN
	}
	c.Close()
}

// isBroken reports whether the peer of c has reset the connection.
func isBroken(c net.Conn) bool {
	t, ok := lowest(c).(*net.TCPConn)
	if !ok {
		return false
	}
	_, err := t.Write(nil)
	return err != nil
}

// lowest returns the connection below all wrappers of c.
func lowest(c net.Conn) net.Conn {
	for {
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = w.NetConn()
	}
}
