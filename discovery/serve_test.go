package discovery

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plain is a Set with one static document.
func plain(t testing.TB, base string) (http.Handler, *document) {
	t.Helper()
	set := buildSet(t, base, func(b *builder) {
		b.add("plain", struct {
			URL string `json:"url"`
		}{b.base.String()}, nil, b.below("/doc")...)
	})
	return NewServer(set, ServerConfig{}), set.documents["plain"]
}

func TestDocumentHasItsHeaderFields(t *testing.T) {
	h, doc := plain(t, "https://example.com")
	res, body := ask(t, h, "GET", "/doc")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.JSONEq(t, `{"url":"https://example.com"}`, body)
	require.Equal(t, http.Header{
		"Access-Control-Allow-Origin":   {"*"},
		"Access-Control-Expose-Headers": {"WWW-Authenticate, ETag"},
		"Cache-Control":                 {"no-cache"},
		"Content-Length":                {"29"},
		"Content-Type":                  {"application/json"},
		"Etag":                          {doc.etag},
		"X-Content-Type-Options":        {"nosniff"},
	}, res.Header)
	require.Regexp(t, `^"[A-Za-z0-9_-]{24}"$`, doc.etag)
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	h, _ := plain(t, "https://example.com")
	for _, target := range []string{"/doc", "/other"} {
		get, body := ask(t, h, "GET", target)
		require.NotEmpty(t, body)
		head, body := ask(t, h, "HEAD", target)
		require.Empty(t, body)
		require.Equal(t, get.StatusCode, head.StatusCode)
		require.Equal(t, get.Header, head.Header)
	}
}

func TestOtherMethodsAreRefusedWithAllow(t *testing.T) {
	h, _ := plain(t, "https://example.com")
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get", "BREW"} {
		res, body := ask(t, h, method, "/doc")
		require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, method)
		require.Equal(t, "GET, HEAD, OPTIONS", res.Header.Get("Allow"), method)
		require.Equal(t, "*", res.Header.Get("Access-Control-Allow-Origin"), method)
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"), method)
		require.Empty(t, body)
	}
}

func TestPreflightAllowsEveryRequestHeader(t *testing.T) {
	h, _ := plain(t, "https://example.com")
	for _, fields := range [][]string{nil, {"Origin: https://app.example.net", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"}} {
		res, body := ask(t, h, "OPTIONS", "/doc", fields...)
		require.Equal(t, http.StatusNoContent, res.StatusCode)
		require.Equal(t, "GET, HEAD, OPTIONS", res.Header.Get("Allow"))
		require.Equal(t, "GET, HEAD, OPTIONS", res.Header.Get("Access-Control-Allow-Methods"))
		require.Equal(t, "*", res.Header.Get("Access-Control-Allow-Origin"))
		allowed := strings.Split(res.Header.Get("Access-Control-Allow-Headers"), ", ")
		require.Contains(t, allowed, "*", "a client of the Model Context Protocol sends mcp-protocol-version")
		require.Contains(t, allowed, "Authorization", "which the wildcard does not cover")
		require.Empty(t, body)
	}
}

func TestRelativeDocumentIsNotKept(t *testing.T) {
	h, doc := plain(t, "/mail")
	for _, target := range []string{"/mail/doc", "/doc"} {
		res, body := ask(t, h, "GET", target, "If-None-Match: "+doc.etag)
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
		require.Empty(t, res.Header.Get("ETag"))
		require.JSONEq(t, `{"url":"/mail"}`, body)
	}
}

func TestConditionalRequest(t *testing.T) {
	h, doc := plain(t, "https://example.com")
	e := doc.etag
	tests := []struct {
		name   string
		fields []string
		want   int
	}{
		{name: "none", want: 200},
		{name: "the tag", fields: []string{"If-None-Match: " + e}, want: 304},
		{name: "weak", fields: []string{"If-None-Match: W/" + e}, want: 304},
		{name: "star", fields: []string{"If-None-Match: *"}, want: 304},
		{name: "star with blanks", fields: []string{"If-None-Match: \t * "}, want: 304},
		{name: "list, first", fields: []string{"If-None-Match: " + e + `, "b"`}, want: 304},
		{name: "list, last", fields: []string{`If-None-Match: "a", W/"b",` + e}, want: 304},
		{name: "list with empty elements", fields: []string{"If-None-Match: ,, \t," + e + ",,"}, want: 304},
		{name: "second line", fields: []string{`If-None-Match: "a"`, "If-None-Match: " + e}, want: 304},
		{name: "empty line first", fields: []string{"If-None-Match: ", "If-None-Match: " + e}, want: 304},
		{name: "tag with a comma before", fields: []string{`If-None-Match: "a,b", ` + e}, want: 304},
		{name: "tag with bytes above ASCII before", fields: []string{"If-None-Match: \"\xc3\xa9\", " + e}, want: 304},
		{name: "another tag", fields: []string{`If-None-Match: "a"`}, want: 200},
		{name: "empty", fields: []string{"If-None-Match: "}, want: 200},
		{name: "empty tag", fields: []string{`If-None-Match: ""`}, want: 200},
		{name: "without quotes", fields: []string{"If-None-Match: " + e[1:len(e)-1]}, want: 200},
		{name: "end quote missing", fields: []string{"If-None-Match: " + e[:len(e)-1]}, want: 200},
		{name: "lower-case w", fields: []string{"If-None-Match: w/" + e}, want: 200},
		{name: "weak with a blank", fields: []string{"If-None-Match: W/ " + e}, want: 200},
		{name: "weak twice", fields: []string{"If-None-Match: W/W/" + e}, want: 200},
		{name: "tag within a tag", fields: []string{`If-None-Match: "a` + e + `"`}, want: 200},
		{name: "garbage behind it", fields: []string{"If-None-Match: " + e + "x"}, want: 200},
		{name: "no comma", fields: []string{`If-None-Match: "a" ` + e}, want: 200},
		{name: "semicolon", fields: []string{`If-None-Match: "a"; ` + e}, want: 200},
		{name: "blank in a tag before", fields: []string{`If-None-Match: "a b", ` + e}, want: 200},
		{name: "malformed line before", fields: []string{"If-None-Match: a", "If-None-Match: " + e}, want: 200},
		{name: "star in a list", fields: []string{`If-None-Match: "a", *`}, want: 200},
		{name: "star on one of two lines", fields: []string{"If-None-Match: *", `If-None-Match: "a"`}, want: 200},
		{name: "star twice", fields: []string{"If-None-Match: **"}, want: 200},
		{name: "date", fields: []string{"If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT"}, want: 200}, // no Last-Modified, section 13.1.3
		{name: "if-match, the tag", fields: []string{"If-Match: " + e}, want: 200},
		{name: "if-match, star", fields: []string{"If-Match: *"}, want: 200},
		{name: "if-match, weak", fields: []string{"If-Match: W/" + e}, want: 412}, // strong comparison, section 13.1.1
		{name: "if-match, another tag", fields: []string{`If-Match: "a"`}, want: 412},
		{name: "if-match before if-none-match", fields: []string{`If-Match: "a"`, "If-None-Match: " + e}, want: 412}, // section 13.2.2
		{name: "both hold", fields: []string{"If-Match: " + e, "If-None-Match: " + e}, want: 304},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				res, body := ask(t, h, method, "/doc", tt.fields...)
				require.Equal(t, tt.want, res.StatusCode)
				require.Equal(t, tt.want == 200 && method == "GET", body != "")
				if tt.want == 304 { // RFC 9110 section 15.4.5
					require.Equal(t, e, res.Header.Get("ETag"))
					require.Equal(t, "no-cache", res.Header.Get("Cache-Control"))
					require.Empty(t, res.Header["Content-Length"])
				}
			}
		})
	}
	t.Run("a method that does not read", func(t *testing.T) {
		res, _ := ask(t, h, "POST", "/doc", "If-None-Match: "+e)
		require.Equal(t, 405, res.StatusCode)
	})
}

func TestHostnameOfHostField(t *testing.T) {
	for host, want := range map[string]string{
		"":                             "",
		"mta-sts.example.com":          "mta-sts.example.com",
		"mta-sts.example.com:8443":     "mta-sts.example.com",
		"MTA-STS.Example.COM.:443":     "mta-sts.example.com",
		"mta-sts.example.com.":         "mta-sts.example.com",
		"mta-sts.example.com..":        "mta-sts.example.com.",
		"mta-sts.example.com:":         "mta-sts.example.com",
		"[2001:DB8::1]":                "[2001:db8::1]",
		"[2001:db8::1]:443":            "[2001:db8::1]",
		"[::1":                         "[:",
		":443":                         "",
		"evil.example\\mta-sts.a.test": "evil.example\\mta-sts.a.test",
	} {
		require.Equal(t, want, hostname(host), "%q", host)
	}
}

func TestHostSelectsDomain(t *testing.T) {
	set := buildSet(t, "https://mail.example.com", func(b *builder) {
		b.route(route{document: "policy", byHost: map[string]*document{
			"mta-sts.a.example": newDocument([]byte("a"), "text/plain"),
			"mta-sts.b.example": newDocument([]byte("b"), "text/plain"),
		}}, "/.well-known/mta-sts.txt")
	})
	h := NewServer(set, ServerConfig{})
	for _, tt := range []struct {
		want   string // "" for 404
		fields []string
	}{
		{want: "a", fields: []string{"Host: mta-sts.a.example"}},
		{want: "b", fields: []string{"Host: MTA-STS.B.example.:8443"}},
		{want: "a", fields: []string{"Host: mta-sts.a.example", "X-Forwarded-Host: mta-sts.b.example", "Forwarded: host=mta-sts.b.example"}},
		{fields: []string{"Host: mta-sts.c.example", "X-Forwarded-Host: mta-sts.b.example", "Forwarded: host=mta-sts.b.example"}},
		{fields: []string{"Host: mail.example.com"}},
		{fields: []string{"Host: a.example"}},
		{fields: []string{"Host: x.mta-sts.a.example"}},
		{fields: []string{"Host: mta-sts.a.example, mta-sts.b.example"}},
		{fields: []string{"Host: "}},
	} {
		res, body := ask(t, h, "GET", "/.well-known/mta-sts.txt", tt.fields...)
		if tt.want == "" {
			require.Equal(t, 404, res.StatusCode, "%q", tt.fields)
			require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			continue
		}
		require.Equal(t, tt.want, body, "%q", tt.fields)
	}
}
