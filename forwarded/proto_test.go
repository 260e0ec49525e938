package forwarded_test

import (
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/stretchr/testify/require"
)

func TestProto(t *testing.T) {
	const untrusted = "203.0.113.9:80"
	for _, tt := range []struct {
		name       string
		header     forwarded.Header
		remoteAddr string
		list       []string
		xfp        []string
		want       string
	}{
		{name: "https", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1"}, xfp: []string{"https"}, want: "https"},
		{name: "http", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1"}, xfp: []string{"http"}, want: "http"},
		{name: "any case", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1"}, xfp: []string{"HTTPS"}, want: "https"},
		{name: "blanks around", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1"}, xfp: []string{" https\t"}, want: "https"},
		{name: "without an address", header: forwarded.XForwardedFor, remoteAddr: peer, list: nil, xfp: []string{"https"}, want: "https"},
		{name: "absent", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1"}, xfp: nil, want: ""},
		{name: "an untrusted peer", header: forwarded.XForwardedFor, remoteAddr: untrusted, list: []string{"192.0.2.1"}, xfp: []string{"https"}, want: ""},
		{name: "no peer", header: forwarded.XForwardedFor, remoteAddr: "@", list: []string{"192.0.2.1"}, xfp: []string{"https"}, want: ""},
		{name: "equal values for each hop", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1, 10.0.0.2"}, xfp: []string{"https, HTTPS"}, want: "https"},
		{name: "equal values in lines", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1, 10.0.0.2"}, xfp: []string{"http", "http"}, want: "http"},
		{name: "fewer values than hops", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1, 10.0.0.3, 10.0.0.2"}, xfp: []string{"https,https"}, want: "https"},
		{name: "more values than hops", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"6.6.6.6, 192.0.2.1"}, xfp: []string{"https, https"}, want: ""},
		{name: "more values than hops in lines", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"6.6.6.6, 192.0.2.1"}, xfp: []string{"https", "https"}, want: ""},
		{name: "two values without a hop", header: forwarded.XForwardedFor, remoteAddr: peer, list: nil, xfp: []string{"https, https"}, want: ""},
		{name: "values that differ", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1, 10.0.0.2"}, xfp: []string{"https, http"}, want: ""},
		{name: "the client's value in a line above", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1, 10.0.0.2"}, xfp: []string{"https", "http"}, want: ""},
		{name: "an empty value", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1, 10.0.0.2"}, xfp: []string{"https,"}, want: ""},
		{name: "an empty line", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1, 10.0.0.2"}, xfp: []string{"https", ""}, want: ""},
		{name: "another scheme in the list", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1, 10.0.0.2"}, xfp: []string{"https, wss"}, want: ""},
		{name: "another scheme", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1"}, xfp: []string{"wss"}, want: ""},
		{name: "no scheme", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1"}, xfp: []string{"httpx"}, want: ""},
		{name: "a longer word", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1"}, xfp: []string{"https\x00"}, want: ""},
		{name: "empty", header: forwarded.XForwardedFor, remoteAddr: peer, list: []string{"192.0.2.1"}, xfp: []string{""}, want: ""},

		{name: "of the element", header: forwarded.Forwarded, remoteAddr: peer, list: []string{"for=192.0.2.1;proto=https"}, xfp: nil, want: "https"},
		{name: "quoted and in any case", header: forwarded.Forwarded, remoteAddr: peer, list: []string{`Proto="hTTp";For=192.0.2.1`}, xfp: nil, want: "http"},
		{name: "with an escape", header: forwarded.Forwarded, remoteAddr: peer, list: []string{`for=192.0.2.1;proto="http\s"`}, xfp: nil, want: "https"},
		{name: "with an escape at its beginning", header: forwarded.Forwarded, remoteAddr: peer, list: []string{`for=192.0.2.1;proto="\http"`}, xfp: nil, want: "http"},
		{name: "of the chosen element only", header: forwarded.Forwarded, remoteAddr: peer, list: []string{"for=192.0.2.1;proto=http, for=10.0.0.2;proto=https"}, xfp: nil, want: "http"},
		{name: "not of an element to its right", header: forwarded.Forwarded, remoteAddr: peer, list: []string{"for=192.0.2.1, for=10.0.0.2;proto=https"}, xfp: nil, want: ""},
		{name: "not of an element to its left", header: forwarded.Forwarded, remoteAddr: peer, list: []string{"for=127.0.0.1;proto=https, for=192.0.2.1"}, xfp: nil, want: ""},
		{name: "of the last good element", header: forwarded.Forwarded, remoteAddr: peer, list: []string{"for=unknown;proto=http, for=10.0.0.2;proto=https"}, xfp: nil, want: "https"},
		{name: "not of a bad element", header: forwarded.Forwarded, remoteAddr: peer, list: []string{"for=unknown;proto=https"}, xfp: nil, want: ""},
		{name: "another scheme in the element", header: forwarded.Forwarded, remoteAddr: peer, list: []string{"for=192.0.2.1;proto=ftp"}, xfp: nil, want: ""},
		{name: "two schemes in the element", header: forwarded.Forwarded, remoteAddr: peer, list: []string{`for=192.0.2.1;proto="https,http"`}, xfp: nil, want: ""},
		{name: "Forwarded does not look at X-Forwarded-Proto", header: forwarded.Forwarded, remoteAddr: peer, list: []string{"for=192.0.2.1"}, xfp: []string{"https"}, want: ""},
		{name: "an element of an untrusted peer", header: forwarded.Forwarded, remoteAddr: untrusted, list: []string{"for=192.0.2.1;proto=https"}, xfp: nil, want: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := header(tt.header, tt.list...)
			if tt.xfp != nil {
				h["X-Forwarded-Proto"] = tt.xfp
			}
			on := newResolver(t, forwarded.Config{Header: tt.header, Proto: true})
			require.Equal(t, tt.want, on.Resolve(h, tt.remoteAddr).Proto)
			off := newResolver(t, forwarded.Config{Header: tt.header})
			require.Empty(t, off.Resolve(h, tt.remoteAddr).Proto, "Config.Proto is off")
		})
	}
}

// With TrustedHops, a value is used only if there are at least as many entries.
func TestProtoWithTrustedHops(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header forwarded.Header
		list   string
		xfp    []string
		want   string
	}{
		{name: "one value", list: "192.0.2.1, 198.51.100.3", xfp: []string{"https"}, want: "https"},
		{name: "a value for each hop", list: "192.0.2.1, 198.51.100.3", xfp: []string{"https, https"}, want: "https"},
		{name: "a value of the client too", list: "192.0.2.1, 198.51.100.3", xfp: []string{"https, https, https"}, want: ""},
		{name: "too few hops, one value of the peer", list: "192.0.2.1", xfp: []string{"https"}, want: "https"},
		{name: "too few hops, more values", list: "192.0.2.1", xfp: []string{"https", "https"}, want: ""},
		{name: "an element", header: forwarded.Forwarded, list: "for=192.0.2.1;proto=https, for=198.51.100.3;proto=http", want: "https"},
		{name: "too few elements", header: forwarded.Forwarded, list: "for=192.0.2.1;proto=https", want: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{Header: tt.header, TrustedHops: 2, Proto: true})
			h := header(tt.header, tt.list)
			h["X-Forwarded-Proto"] = tt.xfp
			require.Equal(t, tt.want, r.Resolve(h, peer).Proto)
		})
	}
}

// The verdict of the connection has the reason why a scheme is not used.
func TestExplainProto(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config forwarded.Config
		xfp    []string
		want   string
	}{
		{name: "not read", xfp: []string{"https"}, want: "; X-Forwarded-Proto is ignored, because Config.Proto is not set"},
		{name: "neither read nor sent", want: "X-Forwarded-For is read"},
		{name: "read", config: forwarded.Config{Proto: true}, xfp: []string{"https, https"}, want: "; X-Forwarded-Proto is https"},
		{name: "not sent", config: forwarded.Config{Proto: true}, want: "; it has no X-Forwarded-Proto"},
		{name: "another scheme", config: forwarded.Config{Proto: true}, xfp: []string{"wss"}, want: `; X-Forwarded-Proto "wss" is ignored, because it is neither http nor https`},
		{name: "different values", config: forwarded.Config{Proto: true}, xfp: []string{"https", "http"}, want: `; X-Forwarded-Proto "https, http" is ignored, because its values differ`},
		{name: "too many values", config: forwarded.Config{Proto: true}, xfp: []string{"http, http, http"}, want: `; X-Forwarded-Proto "http, http, http" is ignored, because it has more values than Result.Hops (2)`},
		{name: "with SingleHeader", config: forwarded.Config{Proto: true, SingleHeader: "X-Real-IP"}, xfp: []string{"http, http"}, want: "Result.Hops (1)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := requestFrom(nil, peer, "192.0.2.1, 10.0.0.2")
			req.Header["X-Real-Ip"] = []string{"192.0.2.1"}
			if tt.xfp != nil {
				req.Header["X-Forwarded-Proto"] = tt.xfp
			}
			verdict := newResolver(t, tt.config).Explain(req)[0].Verdict
			require.True(t, strings.HasSuffix(verdict, tt.want), verdict)
		})
	}
}

func TestExplainProtoOfElement(t *testing.T) {
	for value, want := range map[string]string{
		"for=192.0.2.1;proto=https, for=10.0.0.2": "; its proto is https [UntrustedHop]",
		"for=192.0.2.1, for=10.0.0.2;proto=https": "; its proto is neither http nor https [UntrustedHop]",
	} {
		req := requestFrom(nil, peer)
		req.Header["Forwarded"] = []string{value}
		hops := newResolver(t, forwarded.Config{Header: forwarded.Forwarded, Proto: true}).Explain(req)
		require.True(t, strings.HasSuffix(hops[2].Verdict, want), hops[2].Verdict)
	}
}
