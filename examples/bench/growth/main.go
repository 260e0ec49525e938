// Growth prints how cost grows with the number of trusted networks, of connections whose
// header is pending, and of mail domains:
//
//	go run ./examples/bench/growth        a few seconds
//
// Each time is the minimum of several measurements, which other load disturbs less than a mean.
// Memory is the growth of the heap, measured once.
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/publicurl"
	"github.com/seed-94e48765/portico/trustnet"
)

func main() {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, table := range []struct {
		heading string
		sizes   []int
		measure func(n int) ([]float64, error)
	}{
		{"trusted networks\tParse, µs each\tbytes each\tContains, ns\t", []int{1, 100, 10_000}, networks},
		{"pending connections\tbytes each\tone more is served, µs\t", []int{1, 100, 1_000, 10_000}, pending},
		{"mail domains\tBuild, µs each\tKiB each\trequest, ns\t", []int{1, 50, 500, 5_000}, domains},
	} {
		fmt.Fprintln(t, table.heading)
		for _, n := range table.sizes {
			values, err := table.measure(n)
			if err != nil {
				fmt.Fprintln(os.Stderr, "growth:", err)
				os.Exit(1)
			}
			fmt.Fprintf(t, "%d\t", n)
			for _, v := range values {
				format := "%.2f\t"
				if v >= 10 {
					format = "%.0f\t"
				}
				fmt.Fprintf(t, format, v)
			}
			fmt.Fprintln(t)
		}
		fmt.Fprintln(t, "\t")
	}
	t.Flush()
}

// least returns the shortest time that f took.
func least(runs int, f func()) time.Duration {
	shortest := time.Duration(1<<63 - 1)
	for range runs {
		began := time.Now()
		f()
		shortest = min(shortest, time.Since(began))
	}
	return shortest
}

// held returns the result of make and its size on the heap in bytes.
func held[T any](make func() (T, error)) (T, float64, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v, err := make()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return v, max(0, float64(after.HeapAlloc)-float64(before.HeapAlloc)), err
}

// networks measures a set of n networks that cannot be joined. Each look-up is for another
// address.
func networks(n int) ([]float64, error) {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf("10.%d.%d.0/25", i>>8, i&0xff)
	}
	set, size, err := held(func() (*trustnet.Set, error) { return trustnet.Parse(items...) })
	if err != nil {
		return nil, err
	}
	parse := least(5, func() { trustnet.Parse(items...) })
	const lookups = 100_000
	missing := 0
	contains := least(20, func() {
		for i := range uint32(lookups) {
			x := i * 2654435761 // spread over the networks
			a := netip.AddrFrom4([4]byte{10, byte(x % uint32(n) >> 8), byte(x % uint32(n)), byte(x >> 25)})
			if !set.Contains(a) {
				missing++
			}
		}
	})
	if missing > 0 {
		return nil, fmt.Errorf("%d addresses are not in the set of %d networks", missing, n)
	}
	return []float64{micro(parse) / float64(n), size / float64(n), float64(contains.Nanoseconds()) / lookups}, nil
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// A memory listener returns connections in memory, so that 10,000 need no descriptors.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { close(m.closed); return nil }
func (m *memory) Addr() net.Addr { return proxy }

var proxy = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25}

// An end is a connection with TCP addresses.
type end struct{ net.Conn }

func (end) LocalAddr() net.Addr  { return proxy }
func (end) RemoteAddr() net.Addr { return proxy }

// pending measures n trusted peers that have sent nothing, and the time until Accept returns
// another connection that has sent its header.
func pending(n int) ([]float64, error) {
	inner := &memory{make(chan net.Conn), make(chan struct{})}
	l, err := proxyproto.New(inner, proxyproto.Config{
		Trusted: trustnet.MustParse(proxy.IP.String()), MaxPending: n + 10, HeaderTimeout: time.Hour,
	})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	_, size, _ := held(func() (any, error) {
		for range n {
			_, server := net.Pipe()
			inner.conns <- end{server}
		}
		return nil, nil
	})
	var failed error
	header := proxyproto.Header{Source: proxy, Destination: proxy}
	one := least(500, func() {
		client, server := net.Pipe()
		inner.conns <- end{server}
		if err := proxyproto.WriteHeader(client, header); err != nil {
			failed = err
			return
		}
		(<-accepted).Close()
	})
	return []float64{size / float64(n), micro(one)}, failed
}

// domains measures a server for n mail domains, each with its own MTA-STS policy.
func domains(n int) ([]float64, error) {
	base, err := publicurl.Parse("https://mail.example.org")
	if err != nil {
		return nil, err
	}
	c := discovery.Config{
		Base:   base,
		Mail:   &discovery.Mail{Services: []discovery.Service{{Protocol: discovery.IMAP}, {Protocol: discovery.Submission}}, PerDomain: make(map[string][]discovery.Service)},
		MTASTS: &discovery.MTASTS{MX: []string{"mx.example.org"}, PerDomain: make(map[string][]string)},
	}
	for i := range n {
		d := fmt.Sprintf("domain%05d.example", i)
		c.Mail.Domains = append(c.Mail.Domains, d)
		c.Mail.PerDomain[d] = []discovery.Service{{Protocol: discovery.IMAP, Host: "imap." + d}, {Protocol: discovery.Submission, Host: "smtp." + d}}
		c.MTASTS.PerDomain[d] = []string{"mx." + d}
	}
	set, size, err := held(func() (*discovery.Set, error) { return discovery.Build(c) })
	if err != nil {
		return nil, err
	}
	build := least(3, func() { discovery.Build(c) })
	server := discovery.NewServer(set, discovery.ServerConfig{})
	requests := make([]*http.Request, min(n, 500)) // few, so that their own memory stays in the caches
	for i := range requests {
		requests[i] = httptest.NewRequest(http.MethodGet, fmt.Sprintf("https://mta-sts.domain%05d.example/.well-known/mta-sts.txt", i*n/len(requests)), nil)
	}
	w := &discard{header: make(http.Header)}
	const rounds = 5000
	request := least(10, func() {
		for i := range rounds {
			clear(w.header)
			server.ServeHTTP(w, requests[i%len(requests)])
		}
	})
	if w.bad > 0 || w.bytes == 0 {
		return nil, fmt.Errorf("%d requests of %d domains failed", w.bad, n)
	}
	return []float64{micro(build) / float64(n), size / 1024 / float64(n), float64(request.Nanoseconds()) / rounds}, nil
}

type discard struct {
	header http.Header
	bytes  int
	bad    int
}

func (d *discard) Header() http.Header { return d.header }

func (d *discard) WriteHeader(status int) {
	if status != http.StatusOK {
		d.bad++
	}
}

func (d *discard) Write(b []byte) (int, error) { d.bytes += len(b); return len(b), nil }
