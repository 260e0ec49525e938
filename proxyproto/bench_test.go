package proxyproto_test

import (
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	peer "github.com/pires/go-proxyproto"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// Each iteration of a benchmark does a fixed amount of work. Run the benchmarks with
// -benchtime=1x. They measure three listeners in turns. Times are medians of the ratios of
// consecutive measurements, which other load affects little.
const (
	raw     = "raw" // a net.Listener, and a server that skips the header by its size
	portico = "portico"
	pires   = "go-proxyproto"
)

var contenders = []string{raw, portico, pires}

// A way describes the connections of a benchmark.
type way struct {
	name     string
	trusted  bool   // else the client is direct
	header   string // sent when connected, "" for none
	optional bool   // with trusted: may send a header (USE), instead of must
}

// listen returns a contender's listener. Both packages refuse a header from a peer that is not
// trusted (policy REJECT of go-proxyproto). timeout is for the header. 0 is the contender's
// default.
func (w way) listen(contender string, timeout time.Duration) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	switch contender {
	case portico:
		cfg := proxyproto.Config{HeaderTimeout: timeout}
		switch {
		case w.optional:
			cfg.Optional = trustnet.MustParse("127.0.0.1")
		case w.trusted:
			cfg.Trusted = trustnet.MustParse("127.0.0.1")
		}
		return proxyproto.New(l, cfg)
	case pires:
		policy := peer.REJECT
		switch {
		case w.optional:
			policy = peer.USE
		case w.trusted:
			policy = peer.REQUIRE
		}
		return &peer.Listener{
			Listener:          l,
			ReadHeaderTimeout: timeout,
			ConnPolicy:        func(peer.ConnPolicyOptions) (peer.Policy, error) { return policy, nil },
		}, nil
	}
	return l, nil
}

// skip returns the number of bytes that the server itself skips before the client's.
func (w way) skip(contender string) int {
	if w.trusted && contender == raw {
		return len(w.header)
	}
	return 0
}

// mustListen closes the listener when the test ends.
func (w way) mustListen(tb testing.TB, contender string, timeout time.Duration) net.Listener {
	l, err := w.listen(contender, timeout)
	require.NoError(tb, err)
	tb.Cleanup(func() { l.Close() })
	return l
}

func listen(tb testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { l.Close() })
	return l
}

// wrapped returns a Listener on a socket that accepts.
func wrapped(tb testing.TB, c proxyproto.Config) *proxyproto.Listener {
	l, err := proxyproto.New(listen(tb), c)
	require.NoError(tb, err)
	tb.Cleanup(func() { l.Close() })
	l.Start()
	return l
}

// capturedHeader returns the header that a real proxy sent.
func capturedHeader(tb testing.TB, file string) string {
	tb.Helper()
	index, err := os.ReadFile("testdata/captures/captures.json")
	require.NoError(tb, err)
	var all []capture
	require.NoError(tb, json.Unmarshal(index, &all))
	i := slices.IndexFunc(all, func(c capture) bool { return c.File == file })
	require.GreaterOrEqual(tb, i, 0, file)
	b, err := os.ReadFile("testdata/captures/" + file)
	require.NoError(tb, err)
	return string(b[:all[i].ProxyHeaderSize])
}

// The headers of HAProxy for an IPv4 client: send-proxy, send-proxy-v2, and
// send-proxy-v2 with every option it has, of a client on TLS.
func v1Header(tb testing.TB) string     { return capturedHeader(tb, "haproxy-v1-plain.bin") }
func v2Header(tb testing.TB) string     { return capturedHeader(tb, "haproxy-v2-plain.bin") }
func v2OptsHeader(tb testing.TB) string { return capturedHeader(tb, "haproxy-v2opts-tls.bin") }

// greet sends one byte on every connection and waits until the client closes it.
func greet(l net.Listener, skip int) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, max(64, skip))
			if _, err := io.ReadFull(c, b[:skip]); err != nil {
				return
			}
			c.Write(b[:1])
			c.Read(b)
		}()
	}
}

func init() { roles["clients"] = clients }

// guests requests connections from several workers. Each connection sends Header, waits for the
// greeting and closes.
type guests struct {
	Addr, Header   string
	Conns, Workers int
	Timed          bool // return the time of each from Dial to greeting
}

func clients(question *gob.Decoder) (any, error) {
	var g guests
	if err := question.Decode(&g); err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	waited := make([]time.Duration, g.Conns)
	errs := make([]error, g.Conns)
	for w := range g.Workers {
		wg.Go(func() {
			for i := w; i < g.Conns; i += g.Workers {
				waited[i], errs[i] = g.visit()
			}
		})
	}
	wg.Wait()
	if !g.Timed {
		waited = nil
	}
	return waited, errors.Join(errs...)
}

func (g *guests) visit() (time.Duration, error) {
	start := time.Now()
	c, err := net.Dial("tcp", g.Addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if g.Header != "" {
		if _, err := io.WriteString(c, g.Header); err != nil {
			return 0, err
		}
	}
	var b [1]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return 0, fmt.Errorf("no greeting: %w", err)
	}
	return time.Since(start), nil
}

// inTurns calls f for every contender, rounds times. The first contender changes with every
// round.
func inTurns(rounds int, f func(contender string)) {
	for r := range rounds {
		for i := range contenders {
			f(contenders[(r+i)%len(contenders)])
		}
	}
}

// A series has one figure for each contender and round.
type series map[string][]float64

func (s series) add(contender string, v float64) { s[contender] = append(s[contender], v) }

// report prints the median of each contender.
func (s series) report(b *testing.B, unit string) {
	for _, c := range contenders {
		if len(s[c]) > 0 {
			b.ReportMetric(median(s[c]), c+"-"+unit)
		}
	}
}

// reportRatios prints the median ratio to raw, round by round.
func (s series) reportRatios(b *testing.B, unit string) {
	for _, c := range contenders[1:] {
		if len(s[c]) == 0 {
			continue
		}
		ratios := slices.Clone(s[c])
		for i := range ratios {
			ratios[i] /= s[raw][i]
		}
		b.ReportMetric(median(ratios), c+"-"+unit+"/raw")
	}
	b.ReportMetric(0, "ns/op") // omits the sum of all contenders
}

func median(v []float64) float64 { return percentile(v, 50) }

// percentile returns the nearest-rank percentile.
func percentile(v []float64, p int) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[min(len(v)*p/100, len(v)-1)]
}
