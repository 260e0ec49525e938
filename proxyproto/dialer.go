package proxyproto

import (
	"context"
	"fmt"
	"net"
	"time"
)

// A Dialer opens connections that begin with a PROXY header. The zero value
// uses a net.Dialer.
type Dialer struct {
	// Dial opens the connection. Nil means the DialContext method of a
	// net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Payload is written after the header, in the same Write. It is for the bytes that a
	// client has sent already (see [Conn.ReadArrived]), which then reach the server in one
	// segment with the header. Every connection of the Dialer begins with it, so use a
	// Dialer for each client. DialContext does not keep or modify it.
	Payload []byte
}

// sendBuffer is how much a new TCP connection takes without waiting for its peer.
const sendBuffer = 2048

// DialContext dials, and sends h and Payload before it returns. ctx limits all of that. It
// returns the connection that Dial returned, on which splice(2) works. Without Dial that is a
// *net.TCPConn for the network "tcp". If it cannot send, it closes the connection and returns
// the error.
func (d *Dialer) DialContext(ctx context.Context, network, address string, h Header) (net.Conn, error) {
	b, err := h.format() // before a connection is opened
	if err != nil {
		return nil, err
	}
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	b = append(b, d.Payload...)
	if _, ok := c.(*net.TCPConn); ok && len(b) <= sendBuffer {
		_, err = c.Write(b)
	} else {
		err = writeUntil(ctx, c, b)
	}
	if err != nil {
		c.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("proxyproto: cannot send the header to %s: %w", address, err)
	}
	return c, nil
}

// writeUntil writes b until ctx ends.
func writeUntil(ctx context.Context, c net.Conn, b []byte) error {
	// When ctx ends, a deadline long ago ends the Write.
	stop := context.AfterFunc(ctx, func() { c.SetWriteDeadline(time.Unix(1, 0)) })
	_, err := c.Write(b)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	return err
}
