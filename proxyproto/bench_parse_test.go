package proxyproto_test

import (
	"bufio"
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"

	peer "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// BenchmarkParse prints the cost of parsing a header without a socket. Portico makes a Conn with
// all facts and verifies the checksum. go-proxyproto reads a Header through an existing
// bufio.Reader, and the caller splits the TLVs.
func BenchmarkParse(b *testing.B) {
	const rounds, calls = 100, 500
	conn := &memConn{nil, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
	for _, bm := range []struct{ name, header string }{
		{name: "v1", header: v1Header(b)},
		{name: "v2", header: v2Header(b)},
		{name: "v2-options", header: v2OptsHeader(b)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			header := []byte(bm.header)
			from := bytes.NewReader(header)
			buffered := bufio.NewReaderSize(from, 256)
			parsers := []struct {
				name  string
				parse func() error
			}{
				{name: portico, parse: func() error {
					_, err := proxyproto.ParseHeader(header, conn)
					return err
				}},
				{name: pires, parse: func() error {
					from.Reset(header)
					buffered.Reset(from)
					h, err := peer.Read(buffered)
					if err == nil && bm.name == "v2-options" {
						err = facts(h)
					}
					return err
				}},
			}
			nanos, allocs, bytes := series{}, series{}, series{}
			for b.Loop() {
				for range rounds {
					for _, p := range parsers {
						var before, after runtime.MemStats
						runtime.ReadMemStats(&before)
						start := time.Now()
						for range calls {
							if err := p.parse(); err != nil {
								b.Fatal(err)
							}
						}
						nanos.add(p.name, float64(time.Since(start))/calls)
						runtime.ReadMemStats(&after)
						allocs.add(p.name, float64(after.Mallocs-before.Mallocs)/calls)
						bytes.add(p.name, float64(after.TotalAlloc-before.TotalAlloc)/calls)
					}
				}
			}
			nanos.report(b, "ns/header")
			allocs.report(b, "allocs/header")
			bytes.report(b, "B/header")
			b.ReportMetric(median(nanos[portico])/median(nanos[pires]), portico+"/"+pires)
			b.ReportMetric(0, "ns/op")
		})
	}
}

func TestHeaderIsParsedInOneAllocation(t *testing.T) {
	conn := &memConn{nil, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
	for _, tt := range []struct {
		name, header string
		want         float64
	}{
		{name: "v2", header: v2Header(t), want: 1},
		{name: "v2 over IPv6", header: capturedHeader(t, "haproxy-v2-plain-ip6.bin"), want: 1},
		{name: "v1, and one for the line", header: v1Header(t), want: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := []byte(tt.header)
			require.Equal(t, tt.want, testing.AllocsPerRun(100, func() {
				if _, err := proxyproto.ParseHeader(header, conn); err != nil {
					t.Fatal(err)
				}
			}))
		})
	}
}

var reported []string

// facts gets the strings of an Info from a Header of go-proxyproto.
func facts(h *peer.Header) error {
	tlvs, err := h.TLVs()
	if err != nil {
		return err
	}
	reported = reported[:0]
	for _, t := range tlvs {
		if t.Type == peer.PP2_TYPE_ALPN || t.Type == peer.PP2_TYPE_AUTHORITY {
			reported = append(reported, string(t.Value))
		}
	}
	ssl, ok := tlvparse.FindSSL(tlvs)
	if !ok {
		return errors.New("no SSL TLV")
	}
	for _, field := range []func() (string, bool){ssl.SSLVersion, ssl.SSLCipher, ssl.ClientCN} {
		s, ok := field()
		if !ok {
			return errors.New("a field of the SSL TLV is missing")
		}
		reported = append(reported, s)
	}
	return nil
}
