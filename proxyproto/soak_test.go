package proxyproto_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// The tests in this file are short. "make soak" sets PORTICO_SOAK=60s. BENCHMARKS.md has the
// figures.

// soakTime returns the duration of each test.
func soakTime(t *testing.T) (d time.Duration, long bool) {
	s := os.Getenv("PORTICO_SOAK")
	if s == "" {
		return time.Second, false
	}
	d, err := time.ParseDuration(s)
	require.NoError(t, err, "PORTICO_SOAK is a time such as 60s")
	return d, true
}

// The server is a second process.
func TestSoakIdleConnections(t *testing.T) {
	conns := fewer(500)
	if _, long := soakTime(t); long {
		conns = 8000
	}
	w := way{name: "trusted", trusted: true, header: v2Header(t) + "E"}
	each := make(map[string]float64)
	for _, contender := range contenders {
		each[contender] = w.idle(t, contender, max(1, w.skip(contender)), conns)
		t.Logf("%d idle connections, %s: %.0f bytes each, %.2f x raw", conns, contender, each[contender], each[contender]/each[raw])
	}
	// BenchmarkIdle is more exact. Here the memory must not grow with the number.
	require.Less(t, each[portico], 2*each[raw])
}

// A behaviour is one kind of client.
type behaviour struct {
	name string
	from netip.Addr
	// sends returns the bytes to write, and the address that the server must report: the
	// zero AddrPort for the client's own, nothing if the client must not be served.
	sends func(r *rand.Rand) (chunks []string, served bool, from netip.AddrPort)
	then  func(c *net.TCPConn) // instead of waiting for an answer
	ends  bool                 // its side before the answer
	count func(s proxyproto.Stats) uint64
}

// someProxy and directClient are addresses of clients.
func someProxy(r *rand.Rand) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 1, byte(r.IntN(256)), byte(1 + r.IntN(254))})
}

var directClient = netip.MustParseAddr("127.0.0.2")

func randomSource(r *rand.Rand) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(r.IntN(256)), byte(r.IntN(256))}), uint16(1+r.IntN(65535)))
}

func v2From(source netip.AddrPort, tlvs ...string) string {
	ip := source.Addr().As4()
	port := binary.BigEndian.AppendUint16(nil, source.Port())
	return v2(0x21, 0x11, string(ip[:]), "\xc6\x33\x64\x01", string(port), "\x00\x19", strings.Join(tlvs, ""))
}

func reset(c *net.TCPConn) { c.SetLinger(0) } // Close does it

var behaviours = []behaviour{
	{name: "version 2", sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		from := randomSource(r)
		return []string{v2From(from, tlv(proxyproto.TypeAuthority, "mail.example.com")) + "hello\n"}, true, from
	}},
	{name: "version 1", sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		from := randomSource(r)
		return []string{fmt.Sprintf("PROXY TCP4 %s 198.51.100.1 %d 25\r\nhello\n", from.Addr(), from.Port())}, true, from
	}},
	{name: "byte by byte", sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		from := randomSource(r)
		return strings.Split(v2From(from)+"hello\n", ""), true, from
	}},
	{name: "half closed", ends: true, sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		from := randomSource(r)
		return []string{v2From(from) + "hello\n"}, true, from
	}},
	{name: "health check, LOCAL", sends: func(*rand.Rand) ([]string, bool, netip.AddrPort) {
		return []string{v2(0x20, 0x00) + "hello\n"}, true, netip.AddrPort{}
	}, count: func(s proxyproto.Stats) uint64 { return s.Local }},
	{name: "direct", from: directClient, sends: func(*rand.Rand) ([]string, bool, netip.AddrPort) {
		return []string{"hello\n"}, true, netip.AddrPort{}
	}},
	{name: "direct, forged header", from: directClient, sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		return []string{v2From(randomSource(r)) + "hello\n"}, false, netip.AddrPort{}
	}, count: func(s proxyproto.Stats) uint64 { return s.Untrusted }},
	{name: "reset in the header", then: reset, sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		h := v2From(randomSource(r))
		return []string{h[:1+r.IntN(len(h)-1)]}, false, netip.AddrPort{}
	}},
	{name: "reset while served", then: reset, sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		return []string{v2From(randomSource(r)) + "hel"}, false, netip.AddrPort{}
	}},
	{name: "end in the header", ends: true, sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		h := v2From(randomSource(r))
		return []string{h[:1+r.IntN(len(h)-1)]}, false, netip.AddrPort{}
	}},
	{name: "no header", sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		b := make([]byte, 1+r.IntN(300))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		b[0] |= 0x80
		return []string{string(b)}, false, netip.AddrPort{}
	}},
	{name: "too large", sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		return []string{signature + "\x21\x11\xff\xff" + strings.Repeat("x", r.IntN(3000))}, false, netip.AddrPort{}
	}, count: func(s proxyproto.Stats) uint64 { return s.TooLarge }},
	{name: "wrong checksum", sends: func(r *rand.Rand) ([]string, bool, netip.AddrPort) {
		return []string{v2From(randomSource(r), tlv(proxyproto.TypeCRC32C, "\x00\x00\x00\x01")) + "hello\n"}, false, netip.AddrPort{}
	}, count: func(s proxyproto.Stats) uint64 { return s.Checksum }},
	{name: "probe", then: func(*net.TCPConn) {}, sends: func(*rand.Rand) ([]string, bool, netip.AddrPort) {
		return nil, false, netip.AddrPort{}
	}},
}

// visit makes one connection of a client of this kind.
func (m behaviour) visit(addr net.Addr, r *rand.Rand) error {
	from := m.from
	if !from.IsValid() {
		from = someProxy(r)
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := d.Dial("tcp", addr.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	c := conn.(*net.TCPConn)
	c.SetDeadline(time.Now().Add(patience))
	chunks, served, want := m.sends(r)
	for _, s := range chunks {
		if _, err := io.WriteString(c, s); err != nil {
			if !served {
				return nil // it has been evicted
			}
			return err
		}
	}
	if m.then != nil {
		m.then(c)
		return nil
	}
	if m.ends {
		if err := c.CloseWrite(); err != nil && served {
			return err
		}
	}
	answer, err := io.ReadAll(c)
	switch {
	case !served && errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the connection stays open")
	case !served && len(answer) > 0:
		return fmt.Errorf("it is served: %q", answer)
	case !served:
		return nil
	case err != nil:
		return err
	}
	if !want.IsValid() {
		want = c.LocalAddr().(*net.TCPAddr).AddrPort()
	}
	if string(answer) != want.String()+"\n" {
		return fmt.Errorf("the server takes %s for %q", want, answer)
	}
	return nil
}

// sendAddresses serves l until it is closed: it answers the hello of every client with the
// client's address.
func sendAddresses(l net.Listener) {
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		clients.Go(func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			if line, err := bufio.NewReaderSize(c, 16).ReadSlice('\n'); err == nil && bytes.Equal(line, []byte("hello\n")) {
				fmt.Fprintln(c, c.RemoteAddr())
			}
		})
	}
}

// usage has figures that must not grow.
type usage struct {
	goroutines, files int
	heap              uint64
}

func measureUsage(t *testing.T) usage {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{runtime.NumGoroutine(), openFiles(t), m.HeapAlloc}
}

func TestSoakChurn(t *testing.T) {
	if l, err := net.Listen("tcp", "127.1.0.1:0"); err != nil {
		t.Skipf("this machine has no other loopback addresses than 127.0.0.1: %v", err)
	} else {
		l.Close()
	}
	duration, _ := soakTime(t)
	inner := &countingListener{Listener: listen(t)}
	// Both lists have the proxies, and neither the direct client.
	lists := []*trustnet.Set{trustnet.MustParse("127.1.0.0/16"), trustnet.MustParse("127.1.0.0/17", "127.1.128.0/17", "192.0.2.0/24")}
	live := new(trustnet.Live)
	live.Store(lists[0])
	var rejected atomic.Uint64
	l, err := proxyproto.New(inner, proxyproto.Config{
		Trusted: live, HeaderTimeout: time.Minute,
		OnReject: func(proxyproto.Rejection) { rejected.Add(1) },
	})
	require.NoError(t, err)
	served := make(chan struct{})
	go func() { defer close(served); sendAddresses(l) }()
	defer func() { l.Close(); <-served }()

	visits := make([]atomic.Uint64, len(behaviours))
	var swaps int
	churn := func(d time.Duration) {
		end := make(chan struct{})
		var swapping, clients sync.WaitGroup
		swapping.Go(func() {
			for ; ; swaps++ {
				select {
				case <-end:
					return
				case <-time.After(time.Millisecond):
					live.Store(lists[swaps%2])
				}
			}
		})
		for range 16 {
			clients.Go(func() {
				seed := rand.Uint64()
				r := rand.New(rand.NewPCG(seed, 0))
				for until := time.Now().Add(d); time.Now().Before(until) && !t.Failed(); {
					i := r.IntN(len(behaviours))
					if err := behaviours[i].visit(l.Addr(), r); err != nil {
						t.Errorf("%s (seed %d): %v", behaviours[i].name, seed, err)
					}
					visits[i].Add(1)
				}
			})
		}
		clients.Wait()
		close(end)
		swapping.Wait()
		atRest := func() bool {
			s := l.Stats()
			// Connections that were reset before they were accepted are not counted.
			return s.Pending == 0 && s.Ready == 0 && all(s) == uint64(inner.accepted.Load())
		}
		eventually(t, atRest)
	}
	idle := measureUsage(t)
	churn(duration / 6)
	eventually(t, func() bool { return runtime.NumGoroutine() <= idle.goroutines && openFiles(t) <= idle.files })
	before := measureUsage(t) // allocates what is allocated once
	churn(duration - duration/6)
	eventually(t, func() bool {
		after := measureUsage(t)
		return after.goroutines <= before.goroutines && after.files <= before.files && after.heap <= before.heap+256<<10
	})
	after := measureUsage(t)

	s := l.Stats()
	total := uint64(0)
	for i, m := range behaviours {
		total += visits[i].Load()
		if m.count != nil {
			require.Equal(t, visits[i].Load(), m.count(s), m.name)
		}
	}
	require.Equal(t, []uint64{0, 0, 0}, []uint64{s.TimedOut, s.Refused, s.Evicted})
	require.Equal(t, s.NoHeader+s.Malformed+s.TooLarge+s.Checksum+s.Untrusted, rejected.Load())
	t.Logf("%d connections in %v, the trust list swapped %d times: goroutines %d -> %d, descriptors %d -> %d, heap %d -> %d KiB; %+v",
		total, duration, swaps, before.goroutines, after.goroutines, before.files, after.files, before.heap>>10, after.heap>>10, s)
}

// all returns the sum of the counters of outcomes.
func all(s proxyproto.Stats) (n uint64) {
	for _, v := range []uint64{s.Proxied, s.Local, s.Direct, s.Probes, s.NoHeader, s.Malformed, s.TimedOut, s.TooLarge, s.Checksum, s.Refused, s.Evicted} {
		n += v
	}
	return n
}
