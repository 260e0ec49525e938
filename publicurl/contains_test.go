package publicurl

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestContains(t *testing.T) {
	tests := []struct {
		name, base, u string
		want          bool
	}{
		{name: "itself", base: "https://h/mail", u: "https://h/mail", want: true},
		{name: "slash at the end", base: "https://h/mail", u: "https://h/mail/", want: true},
		{name: "below", base: "https://h/mail", u: "https://h/mail/login", want: true},
		{name: "query", base: "https://h/mail", u: "https://h/mail?x=/../", want: true},
		{name: "fragment", base: "https://h/mail", u: "https://h/mail/#x", want: true},
		{name: "whole segments only", base: "https://h/mail", u: "https://h/mailbox", want: false},
		{name: "part of a segment", base: "https://h/mail", u: "https://h/mai", want: false},
		{name: "root of the host", base: "https://h/mail", u: "https://h", want: false},
		{name: "root with a slash", base: "https://h/mail", u: "https://h/", want: false},
		{name: "other case of the path", base: "https://h/mail", u: "https://h/Mail", want: false},
		{name: "host without a path", base: "https://h", u: "https://h", want: true},
		{name: "everything on a root base", base: "https://h", u: "https://h/any/thing", want: true},
		{name: "query behind the host", base: "https://h", u: "https://h?x", want: true},

		{name: "scheme and host in capitals", base: "https://h/mail", u: "HTTPS://H/mail/x", want: true},
		{name: "default port spelt", base: "https://h/mail", u: "https://h:443/mail/x", want: true},
		{name: "root dot is another origin in browsers", base: "https://h/mail", u: "https://h./mail/x", want: false},
		{name: "ideographic root dot", base: "https://h/mail", u: "https://h。/mail/x", want: false},
		{name: "U-label", base: "https://bücher.example", u: "https://bücher.example/x", want: true},
		{name: "U-label and A-label", base: "https://bücher.example", u: "https://xn--bcher-kva.example/x", want: true},
		{name: "IPv6 spelling", base: "https://[2001:db8::1]", u: "https://[2001:DB8:0::1]/x", want: true},
		{name: "escapes in either case", base: "https://h/%C3%BC", u: "https://h/%c3%bC/x", want: true},
		{name: "escape cut short", base: "https://h/%C3%BC", u: "https://h/%C3%B", want: false},

		{name: "other port", base: "https://h/mail", u: "https://h:8443/mail", want: false},
		{name: "port missing", base: "https://h:8443/mail", u: "https://h/mail", want: false},
		{name: "http", base: "https://h/mail", u: "http://h/mail", want: false},
		{name: "other host", base: "https://h/mail", u: "https://hh/mail", want: false},
		{name: "host as a label", base: "https://h", u: "https://h.evil.example", want: false},
		{name: "subdomain", base: "https://example.com", u: "https://a.example.com", want: false},
		{name: "web socket", base: "https://h/mail", u: "wss://h/mail", want: false},
		{name: "no scheme", base: "https://h/mail", u: "//h/mail", want: false},
		{name: "path alone", base: "https://h/mail", u: "/mail/login", want: false},
		{name: "nothing", base: "https://h", u: "", want: false},

		{name: "user information", base: "https://h", u: "https://h@evil.example/", want: false},
		{name: "user information before the host", base: "https://h", u: "https://x@h/", want: false},
		{name: "backslash before the at sign", base: "https://h", u: `https://h\@evil.example`, want: false},
		{name: "backslash as a slash", base: "https://h/mail", u: `https://h/mail\x`, want: false},
		{name: "dot segments", base: "https://h/mail", u: "https://h/mail/../admin", want: false},
		{name: "escaped dot segments", base: "https://h/mail", u: "https://h/mail/%2e%2e/admin", want: false},
		{name: "dot segments with a parameter", base: "https://h/mail", u: "https://h/mail/..;x=1/admin", want: false},
		{name: "dot segments with an escaped parameter", base: "https://h/mail", u: "https://h/mail/%2e.%3bx/admin", want: false},
		{name: "dots in a parameter", base: "https://h/mail", u: "https://h/mail/a;../b", want: true},
		{name: "more dots and a parameter", base: "https://h/mail", u: "https://h/mail/...;/b", want: true},
		{name: "dot segments behind an escaped slash", base: "https://h/mail", u: "https://h/mail/x%2f..%2f..%2fadmin", want: false},
		{name: "dot segments that come back", base: "https://h/mail", u: "https://h/x/../mail", want: false},
		{name: "empty segment", base: "https://h", u: "https://h//evil.example", want: false},
		{name: "tab, which browsers drop", base: "https://h/mail", u: "https://h/mail/.\t./admin", want: false},
		{name: "blank in front", base: "https://h/mail", u: " https://h/mail", want: false},
		{name: "newline at the end", base: "https://h/mail", u: "https://h/mail\n", want: false},
		{name: "malformed escape", base: "https://h/mail", u: "https://h/mail/%4", want: false},
		{name: "beyond ASCII in the path", base: "https://h/mail", u: "https://h/mail/ü", want: false},
		{name: "beyond ASCII in the query", base: "https://h/mail", u: "https://h/mail?ü", want: false},

		{name: "template", base: "https://h/mail", u: "https://h/mail/{accountId}/?x={y}", want: true},
		{name: "malformed template", base: "https://h/mail", u: "https://h/mail/{accountId", want: false},

		{name: "relative", base: "/mail", u: "/mail/login", want: true},
		{name: "relative, itself", base: "/mail", u: "/mail", want: true},
		{name: "relative by segment", base: "/mail", u: "/mailbox", want: false},
		{name: "relative root", base: "", u: "/login", want: true},
		{name: "relative, nothing", base: "", u: "", want: false},
		{name: "relative, query alone", base: "", u: "?x", want: false},
		{name: "relative, network path", base: "", u: "//evil.example", want: false},
		{name: "relative, network path with a backslash", base: "", u: `/\evil.example`, want: false},
		{name: "relative, URL", base: "", u: "https://h/login", want: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, mustBase(t, tt.base).Contains(tt.u))
		})
	}
}

func TestContainsWebSocket(t *testing.T) {
	tests := []struct {
		name, base, u string
		want          bool
	}{
		{name: "below", base: "https://h/mail", u: "wss://h/mail/ws", want: true},
		{name: "capitals and default port", base: "https://h/mail", u: "WSS://H:443/mail/ws", want: true},
		{name: "query", base: "https://h/mail", u: "wss://h/mail/ws?x", want: true},
		{name: "ws on https", base: "https://h/mail", u: "ws://h/mail/ws", want: false},
		{name: "ws on http", base: "http://localhost", u: "ws://localhost:80/ws", want: true},
		{name: "wss on http", base: "http://localhost", u: "wss://localhost/ws", want: false},
		{name: "https", base: "https://h/mail", u: "https://h/mail/ws", want: false},
		{name: "fragment", base: "https://h/mail", u: "wss://h/mail/ws#", want: false},
		{name: "scheme that folds to wss beyond ASCII", base: "https://h/mail", u: "wsſ://h/mail/ws", want: false},
		{name: "by segment", base: "https://h/mail", u: "wss://h/mailbox", want: false},
		{name: "other port", base: "https://h", u: "wss://h:80/ws", want: false},
		{name: "relative", base: "/mail", u: "/mail/ws", want: true},
		{name: "relative, URL", base: "", u: "wss://h/ws", want: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, mustBase(t, tt.base).ContainsWebSocket(tt.u))
		})
	}
}

func TestSameOrigin(t *testing.T) {
	tests := []struct {
		name, base, u string
		want          bool
	}{
		{name: "itself", base: "https://h/mail", u: "https://h/mail", want: true},
		{name: "any path", base: "https://h/mail", u: "https://h/a/../b//c", want: true},
		{name: "query behind the host", base: "https://h/mail", u: "https://h?x", want: true},
		{name: "fragment behind the host", base: "https://h/mail", u: "https://h#x", want: true},
		{name: "other spelling", base: "https://h/mail", u: "HTTPS://H:443", want: true},
		{name: "root dot is another origin in browsers", base: "https://h", u: "https://h.", want: false},
		{name: "web socket", base: "https://h", u: "wss://h", want: false},
		{name: "scheme that folds to https beyond ASCII", base: "https://h", u: "httpſ://h", want: false},
		{name: "other port", base: "https://h", u: "https://h:444", want: false},
		{name: "other scheme", base: "https://h", u: "http://h", want: false},
		{name: "http with the port of https", base: "https://h", u: "http://h:443", want: false},
		{name: "other host", base: "https://h", u: "https://h.evil.example", want: false},
		{name: "user information", base: "https://h", u: "https://h:443@evil.example", want: false},
		{name: "user information before the host", base: "https://h", u: "https://u@h", want: false},
		{name: "backslash", base: "https://h", u: `https://h\.evil.example`, want: false},
		{name: "control character", base: "https://h", u: "https://h\x00.evil.example", want: false},
		{name: "path alone", base: "https://h", u: "/mail", want: false},
		{name: "nothing", base: "https://h", u: "", want: false},
		{name: "relative has no origin", base: "", u: "https://h", want: false},
		{name: "relative and a path", base: "", u: "/login", want: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, mustBase(t, tt.base).SameOrigin(tt.u))
		})
	}
}
