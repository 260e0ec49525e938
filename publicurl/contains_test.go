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
		{"itself", "https://h/mail", "https://h/mail", true},
		{"slash at the end", "https://h/mail", "https://h/mail/", true},
		{"below", "https://h/mail", "https://h/mail/login", true},
		{"query", "https://h/mail", "https://h/mail?x=/../", true},
		{"fragment", "https://h/mail", "https://h/mail/#x", true},
		{"whole segments only", "https://h/mail", "https://h/mailbox", false},
		{"part of a segment", "https://h/mail", "https://h/mai", false},
		{"root of the host", "https://h/mail", "https://h", false},
		{"root with a slash", "https://h/mail", "https://h/", false},
		{"other case of the path", "https://h/mail", "https://h/Mail", false},
		{"host without a path", "https://h", "https://h", true},
		{"everything on a root base", "https://h", "https://h/any/thing", true},
		{"query behind the host", "https://h", "https://h?x", true},

		{"scheme and host in capitals", "https://h/mail", "HTTPS://H/mail/x", true},
		{"default port spelt", "https://h/mail", "https://h:443/mail/x", true},
		{"root dot is another origin in browsers", "https://h/mail", "https://h./mail/x", false},
		{"ideographic root dot", "https://h/mail", "https://h。/mail/x", false},
		{"U-label", "https://bücher.example", "https://bücher.example/x", true},
		{"U-label and A-label", "https://bücher.example", "https://xn--bcher-kva.example/x", true},
		{"IPv6 spelling", "https://[2001:db8::1]", "https://[2001:DB8:0::1]/x", true},
		{"escapes in either case", "https://h/%C3%BC", "https://h/%c3%bC/x", true},
		{"escape cut short", "https://h/%C3%BC", "https://h/%C3%B", false},

		{"other port", "https://h/mail", "https://h:8443/mail", false},
		{"port missing", "https://h:8443/mail", "https://h/mail", false},
		{"http", "https://h/mail", "http://h/mail", false},
		{"other host", "https://h/mail", "https://hh/mail", false},
		{"host as a label", "https://h", "https://h.evil.example", false},
		{"subdomain", "https://example.com", "https://a.example.com", false},
		{"web socket", "https://h/mail", "wss://h/mail", false},
		{"no scheme", "https://h/mail", "//h/mail", false},
		{"path alone", "https://h/mail", "/mail/login", false},
		{"nothing", "https://h", "", false},

		{"user information", "https://h", "https://h@evil.example/", false},
		{"user information before the host", "https://h", "https://x@h/", false},
		{"backslash before the at sign", "https://h", `https://h\@evil.example`, false},
		{"backslash as a slash", "https://h/mail", `https://h/mail\x`, false},
		{"dot segments", "https://h/mail", "https://h/mail/../admin", false},
		{"escaped dot segments", "https://h/mail", "https://h/mail/%2e%2e/admin", false},
		{"dot segments with a parameter", "https://h/mail", "https://h/mail/..;x=1/admin", false},
		{"dot segments with an escaped parameter", "https://h/mail", "https://h/mail/%2e.%3bx/admin", false},
		{"dots in a parameter", "https://h/mail", "https://h/mail/a;../b", true},
		{"more dots and a parameter", "https://h/mail", "https://h/mail/...;/b", true},
		{"dot segments behind an escaped slash", "https://h/mail", "https://h/mail/x%2f..%2f..%2fadmin", false},
		{"dot segments that come back", "https://h/mail", "https://h/x/../mail", false},
		{"empty segment", "https://h", "https://h//evil.example", false},
		{"tab, which browsers drop", "https://h/mail", "https://h/mail/.\t./admin", false},
		{"blank in front", "https://h/mail", " https://h/mail", false},
		{"newline at the end", "https://h/mail", "https://h/mail\n", false},
		{"malformed escape", "https://h/mail", "https://h/mail/%4", false},
		{"beyond ASCII in the path", "https://h/mail", "https://h/mail/ü", false},
		{"beyond ASCII in the query", "https://h/mail", "https://h/mail?ü", false},

		{"template", "https://h/mail", "https://h/mail/{accountId}/?x={y}", true},
		{"malformed template", "https://h/mail", "https://h/mail/{accountId", false},

		{"relative", "/mail", "/mail/login", true},
		{"relative, itself", "/mail", "/mail", true},
		{"relative by segment", "/mail", "/mailbox", false},
		{"relative root", "", "/login", true},
		{"relative, nothing", "", "", false},
		{"relative, query alone", "", "?x", false},
		{"relative, network path", "", "//evil.example", false},
		{"relative, network path with a backslash", "", `/\evil.example`, false},
		{"relative, URL", "", "https://h/login", false},
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
		{"below", "https://h/mail", "wss://h/mail/ws", true},
		{"capitals and default port", "https://h/mail", "WSS://H:443/mail/ws", true},
		{"query", "https://h/mail", "wss://h/mail/ws?x", true},
		{"ws on https", "https://h/mail", "ws://h/mail/ws", false},
		{"ws on http", "http://localhost", "ws://localhost:80/ws", true},
		{"wss on http", "http://localhost", "wss://localhost/ws", false},
		{"https", "https://h/mail", "https://h/mail/ws", false},
		{"fragment", "https://h/mail", "wss://h/mail/ws#", false},
		{"scheme that folds to wss beyond ASCII", "https://h/mail", "wsſ://h/mail/ws", false},
		{"by segment", "https://h/mail", "wss://h/mailbox", false},
		{"other port", "https://h", "wss://h:80/ws", false},
		{"relative", "/mail", "/mail/ws", true},
		{"relative, URL", "", "wss://h/ws", false},
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
		{"itself", "https://h/mail", "https://h/mail", true},
		{"any path", "https://h/mail", "https://h/a/../b//c", true},
		{"query behind the host", "https://h/mail", "https://h?x", true},
		{"fragment behind the host", "https://h/mail", "https://h#x", true},
		{"other spelling", "https://h/mail", "HTTPS://H:443", true},
		{"root dot is another origin in browsers", "https://h", "https://h.", false},
		{"web socket", "https://h", "wss://h", false},
		{"scheme that folds to https beyond ASCII", "https://h", "httpſ://h", false},
		{"other port", "https://h", "https://h:444", false},
		{"other scheme", "https://h", "http://h", false},
		{"http with the port of https", "https://h", "http://h:443", false},
		{"other host", "https://h", "https://h.evil.example", false},
		{"user information", "https://h", "https://h:443@evil.example", false},
		{"user information before the host", "https://h", "https://u@h", false},
		{"backslash", "https://h", `https://h\.evil.example`, false},
		{"control character", "https://h", "https://h\x00.evil.example", false},
		{"path alone", "https://h", "/mail", false},
		{"nothing", "https://h", "", false},
		{"relative has no origin", "", "https://h", false},
		{"relative and a path", "", "/login", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, mustBase(t, tt.base).SameOrigin(tt.u))
		})
	}
}
