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
		{"https", forwarded.XForwardedFor, peer, []string{"192.0.2.1"}, []string{"https"}, "https"},
		{"http", forwarded.XForwardedFor, peer, []string{"192.0.2.1"}, []string{"http"}, "http"},
		{"any case", forwarded.XForwardedFor, peer, []string{"192.0.2.1"}, []string{"HTTPS"}, "https"},
		{"blanks around", forwarded.XForwardedFor, peer, []string{"192.0.2.1"}, []string{" https\t"}, "https"},
		{"without an address", forwarded.XForwardedFor, peer, nil, []string{"https"}, "https"},
		{"absent", forwarded.XForwardedFor, peer, []string{"192.0.2.1"}, nil, ""},
		{"an untrusted peer", forwarded.XForwardedFor, untrusted, []string{"192.0.2.1"}, []string{"https"}, ""},
		{"no peer", forwarded.XForwardedFor, "@", []string{"192.0.2.1"}, []string{"https"}, ""},
		{"equal values for each hop", forwarded.XForwardedFor, peer, []string{"192.0.2.1, 10.0.0.2"}, []string{"https, HTTPS"}, "https"},
		{"equal values in lines", forwarded.XForwardedFor, peer, []string{"192.0.2.1, 10.0.0.2"}, []string{"http", "http"}, "http"},
		{"fewer values than hops", forwarded.XForwardedFor, peer, []string{"192.0.2.1, 10.0.0.3, 10.0.0.2"}, []string{"https,https"}, "https"},
		{"more values than hops", forwarded.XForwardedFor, peer, []string{"6.6.6.6, 192.0.2.1"}, []string{"https, https"}, ""},
		{"more values than hops in lines", forwarded.XForwardedFor, peer, []string{"6.6.6.6, 192.0.2.1"}, []string{"https", "https"}, ""},
		{"two values without a hop", forwarded.XForwardedFor, peer, nil, []string{"https, https"}, ""},
		{"values that differ", forwarded.XForwardedFor, peer, []string{"192.0.2.1, 10.0.0.2"}, []string{"https, http"}, ""},
		{"the client's value in a line above", forwarded.XForwardedFor, peer, []string{"192.0.2.1, 10.0.0.2"}, []string{"https", "http"}, ""},
		{"an empty value", forwarded.XForwardedFor, peer, []string{"192.0.2.1, 10.0.0.2"}, []string{"https,"}, ""},
		{"an empty line", forwarded.XForwardedFor, peer, []string{"192.0.2.1, 10.0.0.2"}, []string{"https", ""}, ""},
		{"another scheme in the list", forwarded.XForwardedFor, peer, []string{"192.0.2.1, 10.0.0.2"}, []string{"https, wss"}, ""},
		{"another scheme", forwarded.XForwardedFor, peer, []string{"192.0.2.1"}, []string{"wss"}, ""},
		{"no scheme", forwarded.XForwardedFor, peer, []string{"192.0.2.1"}, []string{"httpx"}, ""},
		{"a longer word", forwarded.XForwardedFor, peer, []string{"192.0.2.1"}, []string{"https\x00"}, ""},
		{"empty", forwarded.XForwardedFor, peer, []string{"192.0.2.1"}, []string{""}, ""},

		{"of the element", forwarded.Forwarded, peer, []string{"for=192.0.2.1;proto=https"}, nil, "https"},
		{"quoted and in any case", forwarded.Forwarded, peer, []string{`Proto="hTTp";For=192.0.2.1`}, nil, "http"},
		{"with an escape", forwarded.Forwarded, peer, []string{`for=192.0.2.1;proto="http\s"`}, nil, "https"},
		{"with an escape at its beginning", forwarded.Forwarded, peer, []string{`for=192.0.2.1;proto="\http"`}, nil, "http"},
		{"of the chosen element only", forwarded.Forwarded, peer, []string{"for=192.0.2.1;proto=http, for=10.0.0.2;proto=https"}, nil, "http"},
		{"not of an element to its right", forwarded.Forwarded, peer, []string{"for=192.0.2.1, for=10.0.0.2;proto=https"}, nil, ""},
		{"not of an element to its left", forwarded.Forwarded, peer, []string{"for=127.0.0.1;proto=https, for=192.0.2.1"}, nil, ""},
		{"of the last good element", forwarded.Forwarded, peer, []string{"for=unknown;proto=http, for=10.0.0.2;proto=https"}, nil, "https"},
		{"not of a bad element", forwarded.Forwarded, peer, []string{"for=unknown;proto=https"}, nil, ""},
		{"another scheme in the element", forwarded.Forwarded, peer, []string{"for=192.0.2.1;proto=ftp"}, nil, ""},
		{"two schemes in the element", forwarded.Forwarded, peer, []string{`for=192.0.2.1;proto="https,http"`}, nil, ""},
		{"Forwarded does not look at X-Forwarded-Proto", forwarded.Forwarded, peer, []string{"for=192.0.2.1"}, []string{"https"}, ""},
		{"an element of an untrusted peer", forwarded.Forwarded, untrusted, []string{"for=192.0.2.1;proto=https"}, nil, ""},
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

// With TrustedHops, nothing is believed unless there are as many entries.
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

// TestExplainProto: the connection's verdict has the reason why a scheme is not used.
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
		{name: "too many values", config: forwarded.Config{Proto: true}, xfp: []string{"http, http, http"}, want: `; X-Forwarded-Proto "http, http, http" is ignored, because it has more values than there are believed hops (2)`},
		{name: "beside SingleHeader", config: forwarded.Config{Proto: true, SingleHeader: "X-Real-IP"}, xfp: []string{"http, http"}, want: "believed hops (1)"},
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

func TestExplainProtoOfAnElement(t *testing.T) {
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
