package proxyproto_test

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A hop is a process that forwards bytes between two connections, for BenchmarkRelay and
// TestRelaySplices. It accepts a connection at the front and one at the back, copies in one
// direction, closes both, and repeats.
type hop struct {
	Front, Back string // contenders
	Trusted     bool   // the front's peer sends a header
	Skip        int    // bytes that it reads at the front before it copies
	Down        bool   // from back to front
	Loop        bool   // by Read and Write, for comparison
}

func init() { roles["relay"] = startRelay }

// startRelay returns the addresses of the front and the back.
func startRelay(question *gob.Decoder) (any, error) {
	var h hop
	if err := question.Decode(&h); err != nil {
		return nil, err
	}
	front, err := way{trusted: h.Trusted}.listen(h.Front, 0)
	if err != nil {
		return nil, err
	}
	back, err := way{}.listen(h.Back, 0)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			if err := h.run(front, back); err != nil {
				fmt.Fprintln(os.Stderr, "relay:", err)
				os.Exit(1)
			}
		}
	}()
	return []string{front.Addr().String(), back.Addr().String()}, nil
}

func (h *hop) run(front, back net.Listener) error {
	src, err := front.Accept()
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := back.Accept()
	if err != nil {
		return err
	}
	defer dst.Close()
	if _, err := io.ReadFull(src, make([]byte, h.Skip)); err != nil {
		return err
	}
	if h.Down {
		src, dst = dst, src
	}
	if h.Loop {
		_, err = io.Copy(struct{ io.Writer }{dst}, struct{ io.Reader }{src})
	} else {
		_, err = io.Copy(dst, src)
	}
	return err
}

// push sends n bytes of payload through a relay and returns the time from the first to the last.
// Bytes from the front begin in the segment of the header.
func push(tb testing.TB, h hop, addrs []string, header string, n int) time.Duration {
	dial := func(addr string) *net.TCPConn {
		c, err := net.Dial("tcp", addr)
		require.NoError(tb, err)
		return c.(*net.TCPConn)
	}
	src, dst := dial(addrs[0]), dial(addrs[1])
	defer src.Close()
	defer dst.Close()
	first := header + string(payload[:100])
	sent := 100
	if h.Down {
		_, err := io.WriteString(src, header)
		require.NoError(tb, err)
		src, dst, first, sent = dst, src, "", 0
	}
	start := time.Now()
	errs := make(chan error, 1)
	go func() {
		_, err := io.WriteString(src, first)
		for err == nil && sent < n {
			at := sent % len(payload)
			var m int
			m, err = src.Write(payload[at:min(len(payload), at+n-sent)])
			sent += m
		}
		src.CloseWrite()
		errs <- err
	}()
	got := make([]byte, 256<<10)
	received := 0
	for {
		m, err := dst.Read(got)
		for b := got[:m]; len(b) > 0; {
			at := received % len(payload)
			k := min(len(b), len(payload)-at)
			if !bytes.Equal(b[:k], payload[at:at+k]) {
				require.FailNow(tb, "the bytes arrived changed", "near byte %d", received)
			}
			b = b[k:]
			received += k
		}
		if err == io.EOF {
			break
		}
		require.NoError(tb, err)
	}
	took := time.Since(start)
	require.NoError(tb, <-errs)
	require.Equal(tb, n, received)
	return took
}

// payload is sent repeatedly in pieces of an odd size, so that bytes that are lost or sent twice
// are detected.
var payload = func() []byte {
	b := make([]byte, 1<<20-3)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}()
