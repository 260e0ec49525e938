package discovery

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRedirects(t *testing.T) {
	tests := []struct {
		base, target, want string // "" for 404
		dav                DAV
		fields             []string
	}{
		{base: "https://example.com", target: "/.well-known/caldav", want: "https://example.com/dav/cal/"},
		{base: "https://example.com", target: "/.well-known/carddav", want: "https://example.com/dav/card/"},
		{base: "https://example.com", target: "/.well-known/jmap", want: "https://example.com/jmap/session"},
		{base: "https://example.com", target: "/.well-known/caldav?x=y", want: "https://example.com/dav/cal/"},
		{base: "https://example.com", target: "/.well-known/caldav/"},
		{base: "https://example.com", target: "/.well-known/caldav/user"},
		{base: "https://example.com", target: "/.well-known/webdav"},
		{base: "https://example.com:8443/mail", target: "/.well-known/caldav", want: "https://example.com:8443/mail/dav/cal/"},
		{base: "https://example.com:8443/mail", target: "/mail/.well-known/caldav", want: "https://example.com:8443/mail/dav/cal/"},
		{base: "https://example.com:8443/mail", target: "/.well-known/caldav/mail"},
		{base: "https://example.com:8443/mail", target: "/mail/.well-known/jmap", want: "https://example.com:8443/mail/jmap/session"},
		{base: "/mail", target: "/.well-known/caldav", want: "/mail/dav/cal/"},
		{base: "/mail", target: "/.well-known/jmap", want: "/mail/jmap/session"},
		{base: "https://example.com", target: "/.well-known/caldav", dav: DAV{CalendarPath: "/c"}, want: "https://example.com/c"},
		{base: "https://example.com", target: "/.well-known/caldav", dav: DAV{CalendarPath: None}},
		{base: "https://example.com", target: "/.well-known/carddav", dav: DAV{CalendarPath: None}, want: "https://example.com/dav/card/"},
		{base: "https://example.com", target: "/.well-known/carddav", dav: DAV{AddressBookPath: None}},
		{
			base: "https://example.com", target: "/.well-known/caldav", want: "https://example.com/dav/cal/",
			fields: []string{"Host: evil.example", "X-Forwarded-Host: evil.example", "X-Forwarded-Prefix: /evil", "Forwarded: host=evil.example;proto=http"},
		},
	}
	for _, tt := range tests {
		set, err := Build(Config{Base: mustBase(t, tt.base), DAV: &tt.dav, JMAP: &JMAP{}})
		require.NoError(t, err)
		h := NewServer(set, ServerConfig{})
		for _, method := range []string{"GET", "HEAD", "PROPFIND", "REPORT", "OPTIONS", "PUT"} {
			t.Run(method+" "+tt.base+tt.target, func(t *testing.T) {
				res, body := ask(t, h, method, tt.target, tt.fields...)
				if tt.want == "" {
					require.Equal(t, 404, res.StatusCode)
					return
				}
				require.Equal(t, 307, res.StatusCode)
				require.Equal(t, tt.want, res.Header.Get("Location"))
				require.Equal(t, "*", res.Header.Get("Access-Control-Allow-Origin"))
				require.Empty(t, body)
				want := "no-cache"
				if set.Base().IsRelative() {
					want = "no-store"
				}
				require.Equal(t, want, res.Header.Get("Cache-Control"))
			})
		}
	}
}

func TestRedirectPreflight(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), DAV: &DAV{}})
	require.NoError(t, err)
	res, _ := ask(t, NewServer(set, ServerConfig{}), "OPTIONS", "/.well-known/caldav",
		"Origin: https://app.example.net", "Access-Control-Request-Method: PROPFIND", "Access-Control-Request-Headers: authorization,depth")
	require.Equal(t, 204, res.StatusCode)
	require.Contains(t, res.Header.Get("Access-Control-Allow-Methods"), "PROPFIND")
	require.Contains(t, res.Header.Get("Access-Control-Allow-Headers"), "Authorization")
	require.Contains(t, res.Header.Get("Access-Control-Allow-Headers"), "Depth")
}

// Method, body and Depth arrive over a real connection.
func TestPropfindArrivesThroughRedirect(t *testing.T) {
	var server *Server
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Method+" "+r.URL.Path+" "+r.Header.Get("Depth")+" "+string(body))
	})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) }))
	defer front.Close()
	set, err := Build(Config{Base: mustBase(t, front.URL+"/mail"), DAV: &DAV{}})
	require.NoError(t, err)
	server = NewServer(set, ServerConfig{Next: next})

	req, err := http.NewRequest("PROPFIND", front.URL+"/.well-known/caldav", strings.NewReader("<propfind/>"))
	require.NoError(t, err)
	req.Header.Set("Depth", "0")
	res, err := front.Client().Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "PROPFIND /dav/cal/ 0 <propfind/>", string(body))
}

func TestDAVRules(t *testing.T) {
	for _, tt := range []struct {
		dav   DAV
		field string
	}{
		{dav: DAV{CalendarPath: "dav"}, field: "CalendarPath"},
		{dav: DAV{CalendarPath: "https://example.com/dav"}, field: "CalendarPath"},
		{dav: DAV{CalendarPath: "/.well-known/caldav"}, field: "CalendarPath"},
		{dav: DAV{CalendarPath: "/.well-known/%63aldav"}, field: "CalendarPath"},
		{dav: DAV{AddressBookPath: "/a/../b"}, field: "AddressBookPath"},
		{dav: DAV{AddressBookPath: "/.well-known/carddav"}, field: "AddressBookPath"},
		{dav: DAV{FilePath: "//"}, field: "FilePath"},
	} {
		for _, base := range []string{"https://example.com", "https://example.com/mail", ""} {
			errs := buildErrors(t, Config{Base: mustBase(t, base), DAV: &tt.dav})
			require.Len(t, errs, 1, "%+v", tt.dav)
			require.Equal(t, DAVDocument, errs[0].Document)
			require.Equal(t, tt.field, errs[0].Field)
		}
	}
}
