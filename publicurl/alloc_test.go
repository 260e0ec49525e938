package publicurl

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAllocations(t *testing.T) {
	b := mustParse(t, "https://mail.example.com:8443/mail")
	tests := []struct {
		name string
		most float64
		run  func() error
	}{
		{name: "Parse of a name", most: 1, run: func() error { _, err := Parse("https://mail.example.com:8443/mail/"); return err }},
		{name: "Parse of an A-label", most: 6, run: func() error { _, err := Parse("https://xn--bcher-kva.example/mail"); return err }},
		{name: "Parse of IPv6", most: 1, run: func() error { _, err := Parse("https://[2001:DB8::1]:8443/mail/"); return err }},
		{name: "Parse with an option", most: 1, run: func() error { _, err := Parse("http://mail.example.com", AllowInsecureHTTP()); return err }},
		{name: "FromHostname", most: 3, run: func() error { _, err := FromHostname("mail.example.com"); return err }},
		{name: "Join", most: 1, run: func() error { _, err := b.Join("/login"); return err }},
		{name: "Template", most: 1, run: func() error { _, err := b.Template("/download/{accountId}?x={y}"); return err }},
		{name: "WebSocket", most: 1, run: func() error { _, err := b.WebSocket("/jmap/ws"); return err }},
		{name: "Contains", most: 0, run: func() error {
			if !b.Contains("https://mail.example.com:8443/mail/login?x=y") {
				return ErrOutside
			}
			return nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			got := testing.AllocsPerRun(100, func() { err = tt.run() })
			require.NoError(t, err)
			require.LessOrEqual(t, got, tt.most)
			t.Logf("%v allocations", got)
		})
	}
}

var sink string

func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct{ name, in string }{
		{name: "name", in: "https://mail.example.com:8443/mail"},
		{name: "A-label", in: "https://xn--bcher-kva.example/mail"},
		{name: "U-label", in: "https://bücher.example/mail"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				base, err := Parse(bb.in)
				if err != nil {
					b.Fatal(err)
				}
				sink = base.text
			}
		})
	}
	b.Run("net/url", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			u, err := url.Parse("https://mail.example.com:8443/mail")
			if err != nil {
				b.Fatal(err)
			}
			sink = u.Host
		}
	})
}

func BenchmarkJoin(b *testing.B) {
	base := mustParse(b, "https://mail.example.com:8443/mail")
	b.Run("Join", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink, _ = base.Join("/auth/token")
		}
	})
	b.Run("net/url", func(b *testing.B) {
		u, err := url.Parse(base.String())
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			sink = u.JoinPath("/auth/token").String()
		}
	})
}

func BenchmarkContains(b *testing.B) {
	base := mustParse(b, "https://mail.example.com:8443/mail")
	b.ReportAllocs()
	for b.Loop() {
		if !base.Contains("https://mail.example.com:8443/mail/auth/token?x=y") {
			b.Fatal("outside")
		}
	}
}
