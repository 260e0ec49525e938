package proxyproto_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// FuzzForward forwards a stream over sockets and other connections. The stream is first, which
// may be a header, and then the payload. The script says how the client sends it:
//
//	0..3   write some bytes, from 1 byte to 320 KiB
//	4      write single bytes
//	5      wait until the server has received everything
//	6      end the stream
//	7      reset the connection, or close both connections of the proxy
func FuzzForward(f *testing.F) {
	ends := newForwardEnds(f)
	v1 := "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n"
	all := append([]byte{3 << 3, 5, 2<<3 | 4, 5, 3<<3 | 2, 5}, bytes.Repeat([]byte{31<<3 | 3}, 7)...)
	all = append(all, 5, 1<<3, 5, 6)
	for src := range sources {
		for dst := range destinations {
			f.Add(all, []byte("EHLO\r\n"), uint8(src), uint8(dst), false, uint32(100_000))
			f.Add([]byte{31<<3 | 3, 5, 7}, []byte{}, uint8(src), uint8(dst), true, uint32(3))
			f.Add([]byte{31<<3 | 3, 31<<3 | 3, 1<<3 | 7}, []byte("a"), uint8(src), uint8(dst), false, uint32(1<<20))
		}
		f.Add([]byte{10<<3 | 4, 5, 2<<3 | 3, 5}, []byte(proxy4()), uint8(src), uint8(0), false, uint32(0))
		f.Add([]byte{31 << 3, 5}, []byte(v1), uint8(src), uint8(2), true, uint32(0))
		f.Add([]byte{10 << 3, 6}, []byte(signature), uint8(src), uint8(0), false, uint32(0))
	}
	f.Fuzz(func(t *testing.T, script, first []byte, src, dst uint8, useCopy bool, limit uint32) {
		if len(script) > 40 || len(first) > ends.maxFirst {
			return
		}
		goroutines, sockets := runtime.NumGoroutine(), openSockets()
		s := &forwardScript{
			t: t, ends: ends, steps: script, stream: ends.streamOf(first),
			source: sources[int(src)%len(sources)], destination: destinations[int(dst)%len(destinations)],
			useCopy: useCopy, limit: int64(limit % (1 << 20)),
			more: make(chan struct{}, 1), unread: make(chan struct{}), returned: make(chan struct{}),
		}
		s.run()
		for i := 0; runtime.NumGoroutine() > goroutines; i++ {
			require.Less(t, i, 10_000_000, "a goroutine is left")
			runtime.Gosched()
		}
		require.LessOrEqual(t, openSockets(), sockets, "a socket is left")
	})
}

// A forwardScript is one run of FuzzForward.
type forwardScript struct {
	t           *testing.T
	ends        *forwardEnds
	steps       []byte
	stream      []byte
	source      string
	destination string
	useCopy     bool // io.Copy instead of Forward
	limit       int64

	client, src, dst, server net.Conn

	sent     int   // bytes of stream
	reset    bool  // the client reset its connection
	stopped  bool  // the proxy closed its connections
	accepted int64 // by a destination that counts
	broken   bool  // dst has returned an error
	reported int64 // to progress
	writing  bool
	received atomic.Int64
	more     chan struct{} // has a value if received has changed
	unread   chan struct{} // closed when the server reads no more
	returned chan struct{} // closed when Forward has returned
}

var errBroken = errors.New("broken")

func (s *forwardScript) run() {
	t := s.t
	s.connect()
	defer s.ends.close()
	var err error
	go func() {
		defer close(s.returned)
		err = s.forward()
	}()
	sender := make(chan struct{})
	go func() { defer close(sender); s.send() }()
	go func() { defer close(s.unread); s.receive() }()
	<-s.returned
	abort(s.src)  // so that the sender ends
	s.dst.Close() // so that the receiver ends
	<-sender
	<-s.unread
	require.False(t, s.writing, "the last report is of an unfinished transfer")

	want := s.want()
	received := s.received.Load()
	switch {
	case s.forged():
		require.Less(t, s.reported, int64(len("PROXY UNKNOWN ")), "a header got through")
	case err == nil:
		require.EqualValues(t, len(want), s.reported, "no error, but bytes are missing")
	default:
		require.LessOrEqual(t, s.reported, int64(len(want)))
	}
	if s.destination == "counts" || s.destination == "short" || s.destination == "fails" {
		require.Equal(t, s.accepted, s.reported)
	}
	if s.destination == "closes early" {
		require.LessOrEqual(t, received, s.reported)
	} else {
		require.Equal(t, s.reported, received, "the destination accepted %d bytes", s.reported)
	}
	s.requireCause(err)
}

// requireCause checks that Forward returned an error if and only if there was a reason.
func (s *forwardScript) requireCause(err error) {
	var causes []error
	must := false // there is an error
	short := int64(len(s.want())) > s.limit
	if s.forged() {
		causes, must = append(causes, proxyproto.ErrUntrustedHeader), true
	}
	if s.reset && s.source != "unix" && s.source != "pipe" { // for which it is the end
		causes, must = append(causes, errReset), true
	}
	if s.stopped {
		causes, must = append(causes, net.ErrClosed, io.ErrClosedPipe), true
	}
	switch s.destination {
	case "short":
		causes, must = append(causes, io.ErrShortWrite), must || short
	case "fails":
		causes, must = append(causes, errBroken), must || short
	case "closes early":
		causes = append(causes, errReset, errPipe)
	case "expires":
		causes = append(causes, os.ErrDeadlineExceeded)
	}
	if err == nil {
		require.False(s.t, must, "no error: want one of %v", causes)
		return
	}
	for _, cause := range causes {
		if errors.Is(err, cause) {
			return
		}
	}
	require.Fail(s.t, "unexpected error", "%v: want one of %v", err, causes)
}

// want returns the bytes that were sent and are not a header.
func (s *forwardScript) want() []byte { return s.stream[:s.sent] }

// forged reports whether a client that may not send a header has sent one.
func (s *forwardScript) forged() bool {
	switch s.source {
	case "direct", "direct over a wrapper", "direct over a Conn", "trusted over a Conn":
	default:
		return false
	}
	for _, h := range []string{signature, "PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN ", "PROXY UNKNOWN\r"} {
		if strings.HasPrefix(string(s.want()[:min(s.sent, 20)]), h) {
			return true
		}
	}
	return false
}

func (s *forwardScript) forward() error {
	if s.useCopy {
		n, err := io.Copy(s.dst, s.src)
		s.reported = n
		return err
	}
	return proxyproto.Forward(s.dst, s.src, func(writing bool, n int64) {
		s.requireRunning()
		require.NotEqual(s.t, writing, s.writing, "two reports of the same kind")
		require.True(s.t, n >= 0 && n <= 1<<20 && (n == 0 || !writing), "%d bytes", n)
		s.writing = writing
		s.reported += n
		if s.destination == "expires" { // see receive
			s.dst.SetWriteDeadline(time.Time{})
		}
	})
}

func (s *forwardScript) requireRunning() {
	select {
	case <-s.returned:
		s.t.Error("called after Forward has returned")
	default:
	}
}
