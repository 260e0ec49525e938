package proxyproto

import (
	"io"
	"net"
	"reflect"
	"syscall"
)

// ReadFrom implements io.ReaderFrom, which io.Copy to a Conn uses. If the operating
// system allows it, small transfers use a buffer that is held only while there is data
// to pass on, and large transfers use splice(2) or sendfile(2).
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	return copySmall(c.conn, r, func() (int64, error) {
		if f, ok := c.conn.(io.ReaderFrom); ok {
			return f.ReadFrom(r)
		}
		return io.Copy(struct{ io.Writer }{c.conn}, r)
	})
}

// WriteTo implements io.WriterTo, which io.Copy from a Conn uses. It works like
// [Conn.ReadFrom].
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	sum, err := c.writeLead(w)
	if err != nil {
		if err == io.EOF {
			err = nil
		}
		return sum, err
	}
	if to, ok := w.(*Conn); ok {
		w = to.conn // so that its ReadFrom does not begin with small transfers again
	}
	n, err := copySmall(w, c.conn, func() (int64, error) { return io.Copy(w, c.conn) })
	return sum + n, err
}

// writeLead writes the beginning of the stream, as long as a lead handles Read. It returns
// io.EOF if the stream ends there.
func (c *Conn) writeLead(w io.Writer) (sum int64, err error) {
	if c.lead.Load() == nil {
		return 0, nil
	}
	b := make([]byte, 512)
	for c.lead.Load() != nil && err == nil {
		var n int
		n, err = c.Read(b)
		if n > 0 {
			m, werr := writeAll(w, b[:n])
			sum += int64(m)
			if werr != nil {
				return sum, werr
			}
		}
	}
	return sum, err
}

func writeAll(w io.Writer, b []byte) (int, error) {
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// copySmall copies from r to w until r ends or the transfer proves large, and calls bulk
// then. It calls bulk at once for readers that are not sockets.
func copySmall(w io.Writer, r io.Reader, bulk func() (int64, error)) (sum int64, err error) {
	f := &forwarding{dst: w, progress: func(_ bool, n int64) { sum += n }}
	if f.raw = rawConn(r); f.raw == nil {
		return bulk()
	}
	f.src, _ = r.(net.Conn)
	for full := 0; full < bulkReads; {
		if err = f.small(); err != nil {
			if err == io.EOF {
				err = nil
			}
			return sum, err
		}
		if f.n == smallBuffer {
			full++
		} else {
			full = 0
		}
	}
	n, err := bulk()
	return sum + n, err
}

// rawConn returns r for readReady, or nil if r is not a socket. Wrappers of sockets do not
// count even if they have a method SyscallConn, because bytes that they have read before are
// not in the socket.
func rawConn(r any) syscall.RawConn {
	s, ok := r.(syscall.Conn)
	if !ok || !canPoll || !isOfNet(r) {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil // closed: its own Read reports that
	}
	return raw
}

// isOfNet reports whether the type of r is one of package net: *net.TCPConn,
// *net.UnixConn, or the type without WriteTo that hides a *net.TCPConn in io.Copy.
func isOfNet(r any) bool {
	t := reflect.TypeOf(r)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "net"
}
