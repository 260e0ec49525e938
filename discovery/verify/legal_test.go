package verify

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

// answers changes every answer of the server.
func answers(change func(path string, code *int, h http.Header, body *string)) tamper {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			code, text := rec.Code, rec.Body.String()
			change(r.URL.Path, &code, rec.Header(), &text)
			for name, values := range rec.Header() {
				w.Header()[name] = values
			}
			w.Header().Del("Content-Length")
			w.WriteHeader(code)
			if r.Method != http.MethodHead && code != http.StatusNoContent {
				io.WriteString(w, text)
			}
		})
	}
}

// setWhere replaces a field where it begins with something.
func setWhere(name, start, value string) tamper {
	return answers(func(_ string, _ *int, h http.Header, _ *string) {
		if strings.HasPrefix(h.Get(name), start) {
			h.Set(name, value)
		}
	})
}

func statusFor(from, to int) tamper {
	return answers(func(_ string, code *int, _ http.Header, _ *string) {
		if *code == from {
			*code = to
		}
	})
}

// statusAt is the answer of an endpoint.
func statusAt(suffix string, status int, name, value string) tamper {
	return answers(func(path string, code *int, h http.Header, _ *string) {
		if strings.HasSuffix(path, suffix) {
			*code = status
			h.Set(name, value)
		}
	})
}

func challengedBy(change func(bearer string) []string) tamper {
	return answers(func(_ string, _ *int, h http.Header, _ *string) {
		if bearer := h.Get("WWW-Authenticate"); bearer != "" {
			h["Www-Authenticate"] = change(bearer)
		}
	})
}

// Servers that differ from package discovery and are correct.
func TestFindsNothingWrongWithWhatIsUnusual(t *testing.T) {
	// If the base has a path, other programs are at the origin.
	atOrigin := func(path, location string) tamper { return at(path, redirectTo(location)) }
	for name, c := range map[string]struct {
		tamper tamper
		config func(*discovery.Config)
		base   string // "": the two below
	}{
		"the type in capitals":          {tamper: setWhere("Content-Type", contentTypeJSON, "Application/JSON; charset=UTF-8")},
		"the type with a parameter":     {tamper: setWhere("Content-Type", contentTypeJSON, "application/json;charset=utf-8")},
		"the type of key sets":          {tamper: statusAt("/auth/jwks.json", 200, "Content-Type", "application/jwk-set+json")},
		"XML as application/xml":        {tamper: setWhere("Content-Type", "text/xml", "application/xml")},
		"an Origin that is allowed":     {tamper: setWhere("Access-Control-Allow-Origin", "*", verifyOrigin)},
		"no-store among others":         {tamper: setWhere("Cache-Control", "no-cache, no-store", "private,No-Store , max-age=0")},
		"no ETag":                       {tamper: setWhere("Etag", `"`, "")},
		"200 to OPTIONS":                {tamper: statusFor(204, 200)},
		"301 for 307":                   {tamper: statusFor(307, 301)},
		"308 for 307":                   {tamper: statusFor(307, 308)},
		"a client that must sign in":    {tamper: statusAt("/auth/token", 401, "WWW-Authenticate", `Basic realm="clients"`)},
		"a page that wants parameters":  {tamper: statusAt("/login", 400, "X", "")},
		"sign-in at another host":       {tamper: statusAt("/login", 302, "Location", "https://id.example/login")},
		"an API that wants a token":     {tamper: statusAt("/jmap/", 401, "WWW-Authenticate", "Bearer")},
		"another challenge before ours": {tamper: challengedBy(func(b string) []string { return []string{`Basic realm="x, Bearer y=\"z\""`, b} })},
		"two challenges in a line": {tamper: challengedBy(func(b string) []string {
			return []string{`Basic realm="x, y", ` + strings.Replace(b, "Bearer", "bearer", 1)}
		})},
		"challenges of every kind": {tamper: challengedBy(func(b string) []string { return []string{`Negotiate, Digest realm="a", nonce=abc==, ` + b} })},
		"compressed": {tamper: answers(func(_ string, _ *int, h http.Header, body *string) {
			if *body == "" {
				return
			}
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			io.WriteString(z, *body)
			z.Close()
			h.Set("Content-Encoding", "gzip")
			*body = b.String()
		})},
		"indented, and with further members": {tamper: answers(func(_ string, _ *int, h http.Header, body *string) {
			var m map[string]any
			if json.Unmarshal([]byte(*body), &m) == nil && m != nil {
				m["x_further"] = []any{1, nil, "a"}
				b, _ := json.MarshalIndent(m, " ", "\t")
				*body = "\r\n" + string(b) + "\n\n"
			}
		})},
		"a sign-in page of two megabytes": {tamper: at("/login", body("text/html", "<!doctype html>"+strings.Repeat("x", 2<<20))), base: rootBase},
		"an endpoint of the future, for GET": {tamper: func(next http.Handler) http.Handler {
			return replaced(oauthAtRoot, `{"issuer"`, `{"grant_management_endpoint":"`+rootBase+`/grants","issuer"`)(at("/grants", status(405))(next))
		}, base: rootBase},
		"a sign-in outside of the base": {tamper: func(next http.Handler) http.Handler {
			return at("/mail/login", redirectTo("/sso/login"))(at("/sso/login", spa)(next))
		}, base: pathBase},
		"a calendar of another program": {tamper: atOrigin("/.well-known/caldav", "/cloud/remote.php/dav/"), config: oauthOnly, base: pathBase},
		"JMAP of another program":       {tamper: atOrigin("/.well-known/jmap", "/other/jmap/session"), config: oauthOnly, base: pathBase},
		"Latin-1 in XML": {tamper: answers(func(path string, _ *int, _ http.Header, body *string) {
			if strings.HasSuffix(path, ".xml") {
				*body = strings.Replace(*body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><!-- caf\xe9 -->", 1)
			}
		})},
		"a charset that is not ours": {tamper: answers(func(path string, _ *int, _ http.Header, body *string) {
			if strings.HasSuffix(path, ".xml") {
				*body = strings.Replace(*body, `encoding="UTF-8"`, `encoding="KOI8-R"`, 1)
			}
		})},
		"a placeholder in a URL": {tamper: answers(func(path string, _ *int, _ http.Header, body *string) {
			if strings.HasSuffix(path, ".xml") {
				*body = strings.Replace(*body, "/dav/cal/<", "/dav/cal/%EMAILADDRESS%/<", 1)
			}
		})},
		"mail documents of another program": {tamper: func(next http.Handler) http.Handler {
			xml := `<?xml version="1.0"?><clientConfig version="1.1"><calendar type="caldav"><url>https://example.com/cloud/dav/</url></calendar></clientConfig>`
			return at("/.well-known/autoconfig/mail/config-v1.1.xml", body("text/xml", xml))(at("/mail/config-v1.1.xml", body("text/xml", xml))(
				at(userAgentPath, body("application/json", `{"protocols":{"jmap":{"url":"https://example.com:8443/jmap"}}}`))(next)))
		}, config: oauthOnly, base: pathBase},
		"a comment in the middle of a URL": {tamper: answers(func(path string, _ *int, _ http.Header, body *string) {
			if strings.HasSuffix(path, ".xml") {
				*body = strings.Replace(*body, "/dav/cal/<", "/dav<!-- where -->/cal/<", 1)
			}
		})},
		"a foreign identity provider": {tamper: func(next http.Handler) http.Handler { return next }, config: func(c *discovery.Config) {
			c.OAuth, c.OpenID, c.AuthorizationServers = nil, nil, []string{"https://id.example/realms/mail"}
		}},
		"a session without push": {tamper: func(next http.Handler) http.Handler { return next }, config: func(c *discovery.Config) {
			c.JMAP.EventSourcePath, c.JMAP.WebSocketPath = "", ""
		}},
		"a policy in another order": {tamper: at("/.well-known/mta-sts.txt", body("text/plain", "mode: testing\nmx: example.com\nmax_age: 31557600\nversion: STSv1\n"))},
	} {
		bases := []string{c.base}
		if c.base == "" {
			bases = []string{rootBase, bothBase}
		}
		for _, base := range bases {
			t.Run(name+", "+base, func(t *testing.T) {
				config := verifyConfig(t, base)
				if c.config != nil {
					c.config(&config)
				}
				check := Config{Bearer: verifyToken}
				if config.Mail != nil {
					check.MailDomains = []string{"example.com"}
				}
				report := verify(t, c.tamper(correctServer(t, config)), base, check)
				require.Empty(t, report.Findings)
			})
		}
	}
}

func TestFindsNothingWrongAtUnusualBases(t *testing.T) {
	for _, base := range []string{
		"https://[2001:db8::1]", "https://[2001:db8::1]:8443/mail", "https://192.0.2.1:444", "https://münchen.example",
		"https://example.com/a/b/c", "https://example.com/%C3%A9/x", "https://example.com/a~b/.hidden",
	} {
		c := verifyConfig(t, base)
		c.Mail, c.MTASTS = nil, nil // their domains are elsewhere
		transport := &inMemory{handler: correctServer(t, c)}
		report, err := Run(t.Context(), mustBase(t, base), Config{Client: &http.Client{Transport: transport}, Bearer: verifyToken})
		require.NoError(t, err)
		require.Empty(t, report.Findings, base)
		require.NotEmpty(t, report.Checked, base)
	}
}
