package discovery

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSwapOfNilKeepsTheSet(t *testing.T) {
	a, b := jmapSet(t, "https://a.example", nil), jmapSet(t, "https://b.example", nil)
	s := NewServer(a, ServerConfig{})
	require.Same(t, a, s.Swap(nil))
	require.Same(t, a, s.Current())
	require.Same(t, a, s.Swap(b))
	require.Same(t, b, s.Current())
}

func TestFailedBuildChangesNothing(t *testing.T) {
	a := jmapSet(t, "https://a.example", nil)
	s := NewServer(a, ServerConfig{})
	set, err := Build(Config{Base: mustBase(t, "https://b.example"), JMAP: &JMAP{APIPath: "?"}})
	require.Error(t, err)
	s.Swap(set) // the error forgotten
	require.Same(t, a, s.Current())
	res, _ := ask(t, s, "GET", "/.well-known/jmap")
	require.Equal(t, "https://a.example/jmap/session", res.Header.Get("Location"))
}

func TestServerWithoutSetHasNoDocuments(t *testing.T) {
	s := NewServer(nil, ServerConfig{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "next") })})
	require.Nil(t, s.Current())
	_, body := ask(t, s, "GET", "/jmap/session")
	require.Equal(t, "next", body)
	require.Nil(t, s.Swap(jmapSet(t, "https://a.example", nil)))
	res, _ := ask(t, s, "GET", "/.well-known/jmap")
	require.Equal(t, 307, res.StatusCode)
}

func TestNextSeesPathsWithoutPrefix(t *testing.T) {
	for _, tt := range []struct{ base, target, want string }{
		{base: "https://example.com/mail", target: "/mail/login?a=b", want: "/login?a=b"},
		{base: "https://example.com/mail", target: "/login", want: "/login"},
		{base: "https://example.com/mail", target: "/mail", want: "/"},
		{base: "https://example.com/mail", target: "/mail/jmap/download/a/b/x%2Fy", want: "/jmap/download/a/b/x%2Fy"},
		{base: "https://example.com/mail", target: "/mailbox", want: "/mailbox"},
		{base: "https://example.com", target: "/mail/login", want: "/mail/login"},
		{base: "https://example.com/jmap", target: "/jmap/jmap/", want: "/jmap/"},
		{base: "https://example.com/jmap", target: "/jmap/jmap/ws", want: "/jmap/ws"},
		{base: "https://example.com/jmap", target: "/jmap/ws", want: "/jmap/ws"}, // stripped by the proxy
		{base: "https://example.com/jmap", target: "/jmap/download/a/b/c", want: "/jmap/download/a/b/c"},
		{base: "https://example.com/jmap", target: "/jmap/login", want: "/login"},
		{base: "https://example.com/jmap", target: "/jmap/", want: "/"},
	} {
		var outer *http.Request
		h := NewServer(jmapSet(t, tt.base, nil), ServerConfig{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, tt.want, r.URL.RequestURI())
			require.Equal(t, tt.target, r.RequestURI)
			require.Equal(t, outer.Context(), r.Context())
			io.WriteString(w, "next")
		})})
		outer = httptest.NewRequest("POST", tt.target, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, outer)
		require.Equal(t, "next", w.Body.String())
		require.Equal(t, tt.target, outer.URL.RequestURI(), "the caller's request stays")
	}
}

func TestNotFoundIsNotKept(t *testing.T) {
	res, body := ask(t, NewServer(jmapSet(t, "https://example.com", nil), ServerConfig{}), "GET", "/other")
	require.Equal(t, 404, res.StatusCode)
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "404 page not found\n", body)
}

// A handler around the Server may edit the header of its response in place.
func TestResponseSharesNoStateWithOthers(t *testing.T) {
	set := fullSet(t, "https://example.com/mail")
	account := func(r *http.Request) (Account, error) {
		switch r.Header.Get("Authorization") {
		case "":
			return Account{}, ErrUnauthenticated
		case "broken":
			return Account{}, io.ErrUnexpectedEOF
		}
		return demoAccount(), nil
	}
	h := NewServer(set, ServerConfig{Session: account, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/forbidden" {
			set.Forbidden(w, r, "", "mail")
			return
		}
		w.Header().Add("WWW-Authenticate", "Basic")
		set.Unauthorized(w, r, "/dav/cal/")
	})})
	for _, tt := range []struct {
		name, method, target string
		fields               []string
		status               int
	}{
		{name: "a document", method: "GET", target: "/mail/doc", status: 200},
		{name: "a document that the client has", method: "GET", target: "/mail/doc", fields: []string{"If-None-Match: *"}, status: 304},
		{name: "a failed condition", method: "GET", target: "/mail/doc", fields: []string{`If-Match: "x"`}, status: 412},
		{name: "another method", method: "POST", target: "/mail/doc", status: 405},
		{name: "a preflight", method: "OPTIONS", target: "/mail/doc", status: 204},
		{name: "a preflight of a redirect", method: "OPTIONS", target: "/.well-known/caldav", fields: []string{"Access-Control-Request-Method: PROPFIND"}, status: 204},
		{name: "a redirect", method: "PROPFIND", target: "/.well-known/caldav", status: 307},
		{name: "no document", method: "GET", target: "/hosts", status: 404},
		{name: "a session", method: "GET", target: "/mail/jmap/session", fields: []string{"Authorization: x"}, status: 200},
		{name: "a session without a token", method: "GET", target: "/mail/jmap/session", status: 401},
		{name: "a session that failed", method: "GET", target: "/mail/jmap/session", fields: []string{"Authorization: broken"}, status: 500},
		{name: "a session by another method", method: "POST", target: "/mail/jmap/session", status: 405},
		{name: "autoconfig", method: "GET", target: "/mail/config-v1.1.xml?emailaddress=x@a.example", status: 200},
		{name: "autodiscover", method: "POST", target: "/autodiscover/autodiscover.xml", status: 200},
		{name: "autodiscover by another method", method: "GET", target: "/autodiscover/autodiscover.xml", status: 405},
		{name: "autodiscover, a preflight", method: "OPTIONS", target: "/autodiscover/autodiscover.xml", status: 204},
		{name: "autodiscover in JSON", method: "GET", target: "/autodiscover/autodiscover.json?Email=x@a.example&Protocol=AutodiscoverV1", status: 200},
		{name: "autodiscover in JSON that fails", method: "GET", target: "/autodiscover/autodiscover.json", status: 400},
		{name: "401 of the application", method: "GET", target: "/mail/x", status: 401},
		{name: "403 of the application", method: "GET", target: "/mail/forbidden", status: 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := func() http.Header {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, request(t, tt.method, tt.target, tt.fields...))
				require.Equal(t, tt.status, w.Code)
				return w.Header()
			}
			want := answer().Clone()
			edited := answer()
			for name, values := range edited {
				values[0] = "edited"
				edited[name] = append(values, "more")
			}
			for name, values := range edited { // the fields of one answer do not share memory either
				require.Equal(t, "edited", values[0], name)
				require.Equal(t, "more", values[len(values)-1], name)
			}
			require.Equal(t, want, answer())
		})
	}
}

func TestAnswersIgnoreRequestOrigin(t *testing.T) {
	requests := []struct {
		fields []string
		tls    bool
	}{
		{},
		{tls: true},
		{fields: []string{"Host: evil.example"}},
		{fields: []string{"Host: evil.example:8443"}, tls: true},
		{fields: []string{"Host: "}},
		{fields: []string{"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "X-Forwarded-Port: 81", "X-Forwarded-Prefix: /evil"}},
		{fields: []string{"X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "X-Forwarded-For: 192.0.2.1", "X-Real-Ip: 192.0.2.1"}},
		{fields: []string{"Forwarded: for=192.0.2.1;host=evil.example;proto=http"}},
		{fields: []string{"Origin: https://evil.example", "Referer: https://evil.example/", "X-Original-Url: /evil", "X-Script-Name: /evil"}},
	}
	for _, base := range []string{"https://example.com", "https://example.com:8443", "https://example.com/mail", "", "/mail"} {
		config := fullConfig(t, base)
		config.Mail, config.MTASTS = nil, nil // Host selects among their domains
		set := setOf(t, config)
		h := NewServer(set, ServerConfig{Session: func(*http.Request) (Account, error) { return demoAccount(), nil }})
		for path, route := range set.routes {
			if route.byHost != nil {
				continue // as here: TestHostSelectsDomain
			}
			type answer struct {
				status int
				header http.Header
				body   string
			}
			var first answer
			for i, from := range requests {
				r := request(t, "GET", "/", from.fields...)
				r.URL.Path = path
				if from.tls {
					r.TLS = &tls.ConnectionState{}
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				got := answer{w.Code, w.Header(), w.Body.String()}
				if i == 0 {
					first = got
				}
				require.Equal(t, first, got, "%s on %s, %+v", path, base, from)
			}
			require.NotContains(t, first.body, "evil")
			if doc := set.documents[route.document]; doc != nil && route.static != nil {
				require.Equal(t, string(doc.body), first.body)
				require.Equal(t, 200, first.status)
			}
		}
		for path := range set.routes { // through a proxy that strips the prefix
			if stripped, ok := strings.CutPrefix(path, set.Base().Prefix()); ok {
				a, b := request(t, "GET", "/"), request(t, "GET", "/")
				a.URL.Path, b.URL.Path = path, stripped
				require.Equal(t, answerTo(h, a, func() {}), answerTo(h, b, func() {}), "%s", path)
			}
		}
	}
}
