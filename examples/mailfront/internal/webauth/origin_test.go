package webauth

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

func TestOtherSite(t *testing.T) {
	absolute, err := publicurl.Parse(serverURL)
	require.NoError(t, err)
	relative, err := publicurl.Relative("")
	require.NoError(t, err)
	for _, tc := range []struct {
		name, site, origin, host string
		base                     publicurl.Base
		want                     bool
	}{
		{name: "a program, by the server's name", host: "mail.example.test", base: absolute},
		{name: "a program, by name and port", host: "Mail.Example.Test.:8443", base: absolute},
		{name: "a program, by IPv4 address", host: "192.0.2.1:8080", base: absolute},
		{name: "a program, by IPv6 address", host: "[2001:db8::1]", base: absolute},
		{name: "a program, by localhost", host: "localhost:8080", base: absolute},
		{name: "a program, in bootstrap", host: "anything.example", base: relative},
		{name: "our page, by its origin", origin: serverURL, host: "127.0.0.1:80", base: absolute},
		{name: "our page, as the browser reports", site: "same-origin", origin: "https://changed.example", host: "127.0.0.1:80", base: absolute},
		{name: "typed by a person", site: "none", host: "mail.example.test", base: absolute},
		{name: "our page, in bootstrap", origin: "http://10.0.0.1:8080", host: "10.0.0.1:8080", base: relative},
		{name: "another origin", origin: "https://evil.example", host: "mail.example.test", base: absolute, want: true},
		{name: "another origin, in bootstrap", origin: "https://evil.example", host: "mail.example.test", base: relative, want: true},
		{name: "an opaque origin", origin: "null", host: "null", base: relative, want: true},
		{name: "cross-site", site: "cross-site", origin: serverURL, host: "mail.example.test", base: absolute, want: true},
		{name: "same-site", site: "same-site", origin: serverURL, host: "mail.example.test", base: absolute, want: true},
		{name: "rebound: Host is the origin", origin: "http://evil.example", host: "evil.example", base: absolute, want: true},
		{name: "rebound, with a port", origin: "http://evil.example:8080", host: "evil.example:8080", base: absolute, want: true},
		{name: "rebound: a GET has no origin", host: "evil.example", base: absolute, want: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Host = tc.host
			if tc.site != "" {
				r.Header.Set("Sec-Fetch-Site", tc.site)
			}
			if tc.origin != "" {
				r.Header.Set("Origin", tc.origin)
			}
			require.Equal(t, tc.want, OtherSite(r, tc.base))
		})
	}
}

func TestSameOrigin(t *testing.T) {
	base, err := publicurl.Parse(serverURL)
	require.NoError(t, err)
	relative, err := publicurl.Relative("")
	require.NoError(t, err)
	for _, test := range []struct {
		name, site, origin, host string
		base                     publicurl.Base
		want                     bool
	}{
		{name: "no browser", site: "", origin: "", host: "127.0.0.1:80", base: base, want: true},
		{name: "the browser says so", site: "same-origin", origin: "https://changed.example", host: "127.0.0.1:80", base: relative, want: true},
		{name: "typed", site: "none", origin: "", host: "mail.example.test", base: base, want: true},
		{name: "another site", site: "cross-site", origin: serverURL, host: "mail.example.test", base: base, want: false},
		{name: "a neighbour", site: "same-site", origin: serverURL, host: "mail.example.test", base: base, want: false},
		{name: "nonsense", site: "same-origin, cross-site", origin: serverURL, host: "mail.example.test", base: base, want: false},
		{name: "the base", site: "", origin: serverURL, host: "127.0.0.1:80", base: base, want: true},
		{name: "another port", site: "", origin: serverURL + ":8443", host: "127.0.0.1:80", base: base, want: false},
		{name: "Host", site: "", origin: "https://other.example:8443", host: "other.example:8443", base: base, want: false}, // or after DNS rebinding
		{name: "Host, in bootstrap, with TLS", site: "", origin: "https://other.example:8443", host: "other.example:8443", base: relative, want: true},
		{name: "Host, in bootstrap", site: "", origin: "http://10.0.0.1:8080", host: "10.0.0.1:8080", base: relative, want: true},
		{name: "Host is changed, without TLS", site: "", origin: "http://mail.example.test", host: "127.0.0.1:80", base: relative, want: true},
		{name: "a null origin", site: "", origin: "null", host: "null", base: base, want: false},
		{name: "another site, by its origin", site: "", origin: "https://evil.example", host: "mail.example.test", base: base, want: false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/admin/setup", nil)
		r.Host = test.host
		if test.site != "" {
			r.Header.Set("Sec-Fetch-Site", test.site)
		}
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		require.Equal(t, test.want, SameOrigin(r, test.base), test.name)
	}
}
