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

	// Payload is written together with the header, so that bytes that a client has sent
	// already (see [Conn.ReadArrived]) reach the server in one segment with the header.
	Payload []byte
}

// sendBuffer is how much a new TCP connection takes without waiting for its peer.
const sendBuffer = 2048

// DialContext dials, and sends h before it returns. ctx limits both. It returns the
// connection that Dial returned, on which splice(2) works. If sending h fails, it closes the
// connection and returns the error.
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
