package proxyproto_test

import (
	"io"
	"net"
	"testing"
	"time"

	peer "github.com/pires/go-proxyproto"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// BenchmarkReadWrite prints the cost of Read and Write after the header, or after a direct
// client's first byte, as a ratio to the connection below. TestReadAndWriteAllocateNothing
// counts the allocations.
func BenchmarkReadWrite(b *testing.B) {
	for _, w := range []way{
		{name: "trusted", trusted: true, header: v2Header(b) + "E"},
		{name: "direct", header: "E"},
	} {
		b.Run(w.name, func(b *testing.B) {
			type pair struct{ client, server net.Conn }
			pairs := map[string]pair{}
			for _, c := range contenders[1:] {
				client, server := established(b, w, c)
				pairs[c] = pair{client, server}
			}
			read, write := series{}, series{}
			for b.Loop() {
				for c, p := range pairs {
					timeReadWrite(b, p.client, p.server, func(r, w float64) {
						read.add(c, r)
						write.add(c, w)
					})
				}
			}
			read.report(b, "Read/raw")
			write.report(b, "Write/raw")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// timeReadWrite measures c and the connection below it in turns, and reports the ratio of each
// pair.
func timeReadWrite(b *testing.B, client, c net.Conn, add func(read, write float64)) {
	const pairs, calls, size = 300, 128, 64
	all := make([]byte, calls*size)
	// The other side is idle meanwhile, because the bytes fit into the socket's buffers.
	timed := func(c net.Conn) (read, write float64) {
		_, err := client.Write(all)
		require.NoError(b, err)
		start := time.Now()
		for range calls {
			if _, err := io.ReadFull(c, all[:size]); err != nil {
				b.Fatal(err)
			}
		}
		read = float64(time.Since(start))
		start = time.Now()
		for range calls {
			if _, err := c.Write(all[:size]); err != nil {
				b.Fatal(err)
			}
		}
		write = float64(time.Since(start))
		_, err = io.ReadFull(client, all)
		require.NoError(b, err)
		return read, write
	}
	for i := range pairs {
		var r, w, rBelow, wBelow float64
		if i%2 == 0 {
			rBelow, wBelow = timed(below(c))
			r, w = timed(c)
		} else {
			r, w = timed(c)
			rBelow, wBelow = timed(below(c))
		}
		add(r/rBelow, w/wBelow)
	}
}

// established returns both ends of a connection. The server has read what the client sent.
func established(b *testing.B, w way, contender string) (client, server net.Conn) {
	l := w.mustListen(b, contender, 0)
	client = connect(b, l, 1, w.header)[0]
	server, err := l.Accept()
	require.NoError(b, err)
	b.Cleanup(func() { server.Close() })
	_, err = io.ReadFull(server, make([]byte, max(1, w.skip(contender))))
	require.NoError(b, err)
	return client, server
}

func below(c net.Conn) net.Conn {
	switch c := c.(type) {
	case *proxyproto.Conn:
		return c.NetConn()
	case *peer.Conn:
		return c.Raw()
	}
	return c
}
