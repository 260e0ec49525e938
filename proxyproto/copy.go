package proxyproto

import (
	"io"
	"reflect"
	"sync"
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

// WriteTo implements io.WriterTo, and with it io.Copy from a Conn. It works as
// [Conn.ReadFrom] does.
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

// A transfer is small until bulkReads reads in a row have filled a buffer. For
// fewer bytes splice(2) costs more system calls than read(2) and write(2), and it
// holds a pipe of two descriptors while it waits.
const (
	smallBuffer = 8 << 10
	bulkReads   = 2
)

var smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}

// copySmall copies from r to w until r ends or the transfer proves large, and calls bulk
// then. It calls bulk at once for readers that are not sockets, and for wrappers of sockets
// even if they have a method SyscallConn, because bytes that they have read before are not in
// the socket.
func copySmall(w io.Writer, r io.Reader, bulk func() (int64, error)) (sum int64, err error) {
	s, ok := r.(syscall.Conn)
	if !ok || !isOfNet(r) || !canPoll {
		return bulk()
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return bulk() // closed: its own Read reports that
	}
	for full := 0; full < bulkReads; {
		b, n, err := readReady(raw)
		if n > 0 {
			m, werr := writeAll(w, b[:n])
			sum += int64(m)
			err = werr
		}
		if b != nil {
			smallBuffers.Put(b)
		}
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return sum, err
		}
		if n == smallBuffer {
			full++
		} else {
			full = 0
		}
	}
	n, err := bulk()
	return sum + n, err
}

// isOfNet reports whether the type of r is one of package net: *net.TCPConn,
// *net.UnixConn, or the type without WriteTo that hides a *net.TCPConn in io.Copy.
func isOfNet(r io.Reader) bool {
	t := reflect.TypeOf(r)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "net"
}
