package proxyproto_test

import (
	"net"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// startWithSmallestStacks makes goroutines begin with the smallest stack until the test ends. A
// collection sets the size of new stacks to the average of those in use, so most of them must be
// of the smallest size.
func startWithSmallestStacks(t *testing.T) {
	if raceDetector() {
		t.Skip("the race detector needs larger stacks")
	}
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	for range 5_000 {
		go func() { <-end }()
	}
	runtime.GC()
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
}

// raceDetector reports whether the test was built with -race.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// A peer that sends its header slowly, or none, needs only the smallest stack.
func TestPendingConnectionNeedsTheSmallestStack(t *testing.T) {
	const peers = 200
	l, err := proxyproto.New(listen(t), proxyproto.Config{Trusted: trustnet.MustParse("loopback")})
	require.NoError(t, err)
	defer l.Close()
	startWithSmallestStacks(t)
	l.Start()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range peers {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = c.Write([]byte("PROXY TCP4 "))
		require.NoError(t, err)
	}
	last, err := net.Dial("tcp", l.Addr().String()) // accepted after the others
	require.NoError(t, err)
	t.Cleanup(func() { last.Close() })
	_, err = last.Write([]byte("PROXY UNKNOWN\r\n"))
	require.NoError(t, err)
	_, err = l.Accept()
	require.NoError(t, err)
	require.Equal(t, peers, l.Stats().Pending)
	runtime.ReadMemStats(&after)
	each := float64(after.StackInuse-before.StackInuse) / peers
	t.Logf("%.0f bytes of stack for each", each)
	require.Less(t, each, 2560.0, "2 KiB, and not 4")
}
