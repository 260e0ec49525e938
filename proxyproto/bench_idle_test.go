package proxyproto_test

import (
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// BenchmarkIdle prints the heap and stack of a connection on which a server waits for its
// client, after a collection. Each connection has a goroutine and a buffer of 64 bytes. Every
// figure is from a new process.
func BenchmarkIdle(b *testing.B) {
	const rounds, conns = 3, 2000
	for _, bm := range []struct {
		way
		said int // bytes that each client has sent
	}{
		{way{name: "trusted", trusted: true, header: v2Header(b) + "E"}, 1},
		{way{name: "optional", trusted: true, header: v2Header(b) + "E", optional: true}, 1},
		{way{name: "direct", header: "E"}, 1},
		// The Listener has not yet checked the beginning of the stream.
		{way{name: "direct-silent"}, 0},
		// For information: the proxy has not sent its header.
		{way{name: "pending", trusted: true}, 0},
	} {
		b.Run(bm.name, func(b *testing.B) {
			memory := series{}
			for b.Loop() {
				inTurns(rounds, func(contender string) {
					read := max(bm.said, bm.skip(contender))
					memory.add(contender, bm.idle(b, contender, read, conns))
				})
			}
			memory.report(b, "B/conn")
			memory.reportRatios(b, "B")
		})
	}
}

// idle returns the bytes that each of n connections occupies in a server that has read some
// bytes from it.
func (w way) idle(b testing.TB, contender string, read, n int) float64 {
	server := startChild(b, "idle server")
	var addr string
	server.ask(b, idleServer{Contender: contender, Trusted: w.trusted, Optional: w.optional, Read: read}, &addr)
	conns := make([]net.Conn, n+1)
	used := func(conns []net.Conn) (bytes uint64) {
		for i := range conns {
			c, err := net.Dial("tcp", addr)
			require.NoError(b, err)
			conns[i] = c
			_, err = io.WriteString(c, w.header)
			require.NoError(b, err)
		}
		server.ask(b, idleServer{Conns: len(conns)}, &bytes)
		return bytes
	}
	before := used(conns[:1]) // allocates what is allocated once
	after := used(conns[1:])
	for _, c := range conns {
		c.Close()
	}
	return float64(int64(after-before)) / float64(n)
}

func init() {
	var l net.Listener
	var held atomic.Int64
	expected := 0
	roles["idle server"] = func(question *gob.Decoder) (answer any, err error) {
		var q idleServer
		if err := question.Decode(&q); err != nil {
			return nil, err
		}
		if l == nil {
			l, err = way{trusted: q.Trusted, optional: q.Optional}.listen(q.Contender, time.Minute)
			if err != nil {
				return nil, err
			}
			go hold(l, q.Read, &held)
			return l.Addr().String(), nil
		}
		expected += q.Conns
		return memoryWith(expected, l, &held)
	}
}

// idleServer requests a listener or, with Conns, the memory in use after that many more
// connections.
type idleServer struct {
	Contender string
	Trusted   bool
	Optional  bool
	Read      int // bytes to read before the wait
	Conns     int
}

// hold accepts all clients. It counts those from which it has read the given number of bytes.
func hold(l net.Listener, read int, held *atomic.Int64) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			b := make([]byte, 64)
			if _, err := io.ReadFull(c, b[:read]); err == nil {
				held.Add(1)
				c.Read(b)
			}
			c.Close()
		}()
	}
}

// memoryWith waits for n connections and returns the memory in use.
func memoryWith(n int, l net.Listener, held *atomic.Int64) (uint64, error) {
	there := func() int {
		if l, ok := l.(*proxyproto.Listener); ok {
			return int(held.Load()) + l.Stats().Pending
		}
		return int(held.Load())
	}
	for deadline := time.Now().Add(patience); there() != n; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%d connections instead of %d", there(), n)
		}
	}
	// The second collection frees what the first one kept in pools.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse, nil
}
