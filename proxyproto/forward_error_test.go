package proxyproto_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

func TestForwardReturnsErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		bulky   bool
		reports int // of progress before it fails: two of small transfers, then bulk
		fail    func(client, conn, backend, server *net.TCPConn)
		want    error
	}{
		"source reset":             {bulky: false, reports: 2, fail: func(client, _, _, _ *net.TCPConn) { client.SetLinger(0); client.Close() }, want: errReset},
		"source closed":            {bulky: false, reports: 2, fail: func(_, conn, _, _ *net.TCPConn) { conn.Close() }, want: net.ErrClosed},
		"source's own deadline":    {bulky: false, reports: 2, fail: func(_, conn, _, _ *net.TCPConn) { conn.SetReadDeadline(time.Unix(1, 0)) }, want: os.ErrDeadlineExceeded},
		"destination's, bulky":     {bulky: true, reports: 5, fail: func(_, _, backend, _ *net.TCPConn) { backend.SetWriteDeadline(time.Unix(1, 0)) }, want: os.ErrDeadlineExceeded},
		"destination closed, bulk": {bulky: true, reports: 5, fail: func(_, _, backend, _ *net.TCPConn) { backend.Close() }, want: net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			client, conn := socketPair(t)
			backend, server := socketPair(t)
			started := make(chan struct{}, 100)
			result := make(chan error, 1)
			go func() {
				result <- proxyproto.Forward(backend, conn, func(bool, int64) {
					select {
					case started <- struct{}{}:
					default:
					}
				})
			}()
			if tt.bulky {
				go io.Copy(client, zeros{}) // and the server reads nothing
			} else {
				_, err := client.Write([]byte("E"))
				require.NoError(t, err)
			}
			for range tt.reports {
				<-started
			}
			tt.fail(client, conn, backend, server)
			err := <-result
			require.ErrorIs(t, err, tt.want)
			if tt.want == errReset { // a log line must name the side
				require.ErrorContains(t, err, client.LocalAddr().String())
			}
		})
	}
}

type zeros struct{}

// progress may limit each transfer with a write deadline of dst. If the deadline passes, bytes
// are lost. Forward must then return an error even if progress has removed the deadline.
func TestForwardEndsAtAWriteDeadlineThatProgressRemoves(t *testing.T) {
	const limit = 300 * time.Millisecond
	client, conn := socketPair(t)
	backend, server := socketPair(t)
	sent := make([]byte, 32<<20) // more than fits into the sockets
	rand.Read(sent)
	go func() {
		client.Write(sent)
		client.CloseWrite()
	}()
	var once sync.Once
	cut := make(chan struct{}) // closed when the deadline has passed
	var deadline time.Time
	result := make(chan error, 1)
	go func() {
		result <- proxyproto.Forward(backend, conn, func(writing bool, _ int64) {
			if writing {
				deadline = time.Now().Add(limit)
				backend.SetWriteDeadline(deadline)
				return
			}
			backend.SetWriteDeadline(time.Time{})
			if time.Now().After(deadline) {
				once.Do(func() { close(cut) })
			}
		})
		once.Do(func() { close(cut) })
		backend.Close()
	}()
	<-cut
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.ErrorIs(t, <-result, os.ErrDeadlineExceeded)
	require.True(t, bytes.HasPrefix(sent, got), "bytes are missing in the middle")
}

// The end of a failed transfer is reported, too.
func TestForwardEndsEachReportOfProgress(t *testing.T) {
	for _, tt := range []struct {
		name    string
		reports int // of progress, until src is closed
	}{
		{name: "a small transfer", reports: 2},
		{name: "a bulky transfer", reports: 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, conn := socketPair(t)
			backend, server := socketPair(t)
			go io.Copy(client, zeros{})
			go io.Copy(io.Discard, server)
			var f forwarded
			reports := 0
			err := proxyproto.Forward(backend, conn, func(writing bool, n int64) {
				require.NotEqual(t, writing, f.writing)
				f.progress(writing, n)
				if reports++; reports == tt.reports {
					conn.Close()
				}
			})
			require.ErrorIs(t, err, net.ErrClosed)
			require.False(t, f.writing)
		})
	}
}

// The Read and Write of a scripted connection are functions of the test.
type scripted struct {
	net.Conn
	read    func([]byte) (int, error)
	write   func([]byte) (int, error)
	written bytes.Buffer
}

func (c *scripted) Read(b []byte) (int, error) { return c.read(b) }

func (c *scripted) Write(b []byte) (int, error) {
	n, err := c.write(b)
	c.written.Write(b[:n])
	return n, err
}

func TestForwardAtTheFirstFailure(t *testing.T) {
	broken := errors.New("broken")
	whole := func(b []byte) (int, error) { return len(b), nil }
	for _, tt := range []struct {
		name    string
		readErr error // with the bytes of the first Read
		write   func([]byte) (int, error)
		want    error
		written string
	}{
		{name: "bytes that come with the end", readErr: io.EOF, write: whole, written: "EHLO"},
		{name: "bytes that come with an error", readErr: broken, write: whole, want: broken, written: "EHLO"},
		{name: "a Write that fails", write: func([]byte) (int, error) { return 2, broken }, want: broken, written: "EH"},
		{name: "a Write that fails at the end", readErr: io.EOF, write: func([]byte) (int, error) { return 0, broken }, want: broken},
		{name: "a short Write", write: func([]byte) (int, error) { return 3, nil }, want: io.ErrShortWrite, written: "EHL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reads := 0
			src := &scripted{read: func(b []byte) (int, error) {
				if reads++; reads > 1 {
					t.Error("a second Read")
					return 0, io.EOF
				}
				return copy(b, "EHLO"), tt.readErr
			}}
			dst := &scripted{write: tt.write}
			var f forwarded
			require.ErrorIs(t, proxyproto.Forward(dst, src, f.progress), tt.want)
			require.Equal(t, tt.written, dst.written.String())
			require.EqualValues(t, len(tt.written), f.bytes)
			require.False(t, f.writing)
		})
	}
}
