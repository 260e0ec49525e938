package proxyproto

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// A transfer is small until bulkReads reads in a row have filled a buffer. For
// fewer bytes splice(2) costs more system calls than read(2) and write(2), and it
// holds a pipe of two descriptors while it waits.
const (
	smallBuffer = 8 << 10
	bulkReads   = 2
)

// A transfer of a bulky connection ends after bulkChunk bytes, or when bulkPause has
// passed: a connection that is no longer bulky must not hold the pipe of splice(2).
const (
	bulkChunk = 1 << 20
	bulkPause = 100 * time.Millisecond
)

// Forward copies from src to dst until src ends, as io.Copy does, and then returns nil. If it
// returns an error of src or dst, bytes may be missing at the end.
//
// Forward is one direction of a proxy whose sessions are silent most of the time. While it
// waits for bytes of a TCP or unix socket, or of a [Conn] on top of one, it needs the
// smallest stack that a goroutine has, and neither a buffer nor the two file descriptors of
// a pipe for splice(2). For other connections, such as those of crypto/tls, and on systems
// that are not Unix, it holds a buffer of 8 KiB. Large transfers use splice(2) if the
// operating system supports it.
//
// progress may be nil. Forward calls progress(true, 0) before it writes to dst, and
// progress(false, n) afterwards, where n is the number of bytes that dst accepted, at most
// 1 MiB. Between the two calls Forward waits for dst, and at most 100 ms for src. With these
// calls a proxy can find stalled sessions without a timer for each session. progress may
// set the write deadline of dst. It is not called after Forward has returned.
//
// Forward neither closes a connection nor ends its writing side. When it has returned nil,
// call CloseWrite of dst, so that the other side sees the end too. Do not set the read
// deadline of src while Forward runs: large transfers set it, and remove it when they end.
// To stop Forward, close src and dst.
//
// After an error reset both TCP connections, with SetLinger(0) and Close. After Close alone
// their peers would take what they received for complete. The TCP connection of a Conn is
// [Conn.NetConn].
//
// Before the reset, call Write(nil) of dst. If that fails, the error is that of dst: let the
// other direction end first, and do not call CloseWrite after it. A server that refuses the
// rest of a request answers and closes, which resets the connection, and the other direction
// forwards that answer.
func Forward(dst, src net.Conn, progress func(writing bool, n int64)) error {
	return newForwarding(dst, src, progress).run()
}

// A forwarding is a call of Forward. Its methods keep their variables in it: their frames
// and those of net.Conn's Write together fit into a stack of 2 KiB, which is what a
// goroutine begins with. TestForwardNeedsTheSmallestStack measures it.
type forwarding struct {
	dst      io.Writer
	src      net.Conn
	raw      syscall.RawConn // of src, nil if it is not a socket
	splices  bool            // bulky transfers are faster through ReadFrom of dst
	progress func(bool, int64)

	// Of the last read:
	b       *[smallBuffer]byte
	n       int
	failure error
	try     func(fd uintptr) bool // tryRead
}

func newForwarding(dst, src net.Conn, progress func(bool, int64)) *forwarding {
	if progress == nil {
		progress = func(bool, int64) {}
	}
	f := &forwarding{dst: dst, src: src, progress: progress}
	for c, ok := dst.(*Conn); ok; c, ok = dst.(*Conn) {
		dst = c.conn
		f.dst = dst // whose ReadFrom is splice(2)
	}
	for c, ok := src.(*Conn); ok; c, ok = src.(*Conn) {
		src = c.conn
	}
	if f.raw = rawConn(src); f.raw != nil {
		_, f.splices = f.dst.(*net.TCPConn)
	}
	return f
}

func (f *forwarding) run() error {
	err := f.skipLead()
	for full := 0; err == nil; {
		err = f.small()
		switch {
		case err != nil:
		case f.n < smallBuffer || !f.splices:
			full = 0
		default:
			if full++; full == bulkReads {
				full, err = 0, f.bulk()
			}
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// skipLead forwards what arrived along with a header, and what has to be compared with
// the signatures. From then on src is the connection below.
func (f *forwarding) skipLead() error {
	for {
		c, ok := f.src.(*Conn)
		if !ok {
			return nil
		}
		if c.lead.Load() == nil {
			f.src = c.conn
		} else if err := f.readLead(c); err != nil {
			return err
		}
	}
}

func (f *forwarding) readLead(c *Conn) error {
	b := make([]byte, 512)
	n, err := c.Read(b)
	return f.write(b[:n], err)
}

// small waits for bytes and forwards them through a buffer.
func (f *forwarding) small() (err error) {
	if f.raw == nil {
		return f.plain()
	}
	err = f.readReady()
	if f.n > 0 {
		err = f.write(f.b[:f.n], err)
	}
	f.release()
	return err
}

// plain is small for connections that are not sockets, such as those of crypto/tls.
func (f *forwarding) plain() (err error) {
	f.b = getBuffer()
	f.n, err = f.src.Read(f.b[:])
	err = f.write(f.b[:f.n], err)
	f.release()
	return err
}

// release returns the buffer.
func (f *forwarding) release() {
	if f.b != nil {
		putBuffer(f.b)
		f.b = nil
	}
}

// write writes b, and returns readErr if it succeeds.
func (f *forwarding) write(b []byte, readErr error) error {
	if len(b) == 0 {
		return readErr
	}
	f.progress(true, 0)
	n, err := f.dst.Write(b)
	f.progress(false, int64(n))
	if err == nil && n < len(b) {
		return io.ErrShortWrite
	}
	if err == nil {
		return readErr
	}
	return err
}

// bulk forwards large transfers until there is a pause.
func (f *forwarding) bulk() error {
	defer f.src.SetReadDeadline(time.Time{})
	for {
		if err := f.src.SetReadDeadline(time.Now().Add(bulkPause)); err != nil {
			return err
		}
		f.progress(true, 0)
		n, err := io.Copy(f.dst, &io.LimitedReader{R: f.src, N: bulkChunk})
		paused := false
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// If the deadline is that of dst, bytes are lost and this fails, too. progress may
			// change that deadline, so it is called later.
			_, err = f.dst.Write(nil)
			paused = err == nil
		}
		f.progress(false, n)
		switch {
		case err != nil || paused:
			return err
		case n < bulkChunk:
			return io.EOF
		}
	}
}

// buffers are those that are not in use. Unlike a sync.Pool it is seldom empty, and
// to allocate a buffer needs a larger stack than a forwarding.
var buffers = make(chan *[smallBuffer]byte, 64)

func getBuffer() *[smallBuffer]byte {
	select {
	case b := <-buffers:
		return b
	default:
		return new([smallBuffer]byte)
	}
}

func putBuffer(b *[smallBuffer]byte) {
	select {
	case buffers <- b:
	default:
	}
}
