package discovery

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

// mustBase parses a base. A base that is empty or begins with "/" is relative.
func mustBase(t testing.TB, s string) publicurl.Base {
	t.Helper()
	parse := func(s string) (publicurl.Base, error) { return publicurl.Parse(s) }
	if s == "" || s[0] == '/' {
		parse = publicurl.Relative
	}
	b, err := parse(s)
	require.NoError(t, err)
	return b
}

// buildSet builds a Set with only the documents that add adds.
func buildSet(t testing.TB, base string, add func(*builder)) *Set {
	t.Helper()
	b := newBuilder(Config{Base: mustBase(t, base)})
	add(b)
	require.Empty(t, b.errs)
	return b.set
}

// request returns a request as net/http reads it from a connection. Header fields are lines,
// "Name: value".
func request(t testing.TB, method, target string, fields ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for _, line := range fields {
		name, value, ok := strings.Cut(line, ": ")
		require.True(t, ok, "%q", line)
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	return r
}

// ask returns the answer of a handler, with its body read.
func ask(t testing.TB, h http.Handler, method, target string, fields ...string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(t, method, target, fields...))
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// buildErrors returns the errors of a Config.
func buildErrors(t testing.TB, c Config) []*Error {
	t.Helper()
	set, err := Build(c)
	if err == nil {
		return nil
	}
	require.Nil(t, set)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Error
		for _, err := range joined.Unwrap() {
			var e *Error
			require.ErrorAs(t, err, &e)
			all = append(all, e)
		}
		return all
	}
	var e *Error
	require.True(t, errors.As(err, &e))
	return []*Error{e}
}

const eventSourceTemplate = "/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}"

// withRegistration is an authorization server at which mail clients can register.
func withRegistration() *OAuth { return &OAuth{RegistrationPath: "/auth/register"} }

// fullConfig has every section.
func fullConfig(t testing.TB, base string) Config {
	t.Helper()
	return Config{
		Base:      mustBase(t, base),
		OAuth:     &OAuth{DevicePath: "/auth/device", IntrospectionPath: "/auth/introspect", RegistrationPath: "/auth/register", IssuerParameter: true},
		OpenID:    &OpenID{UserinfoPath: "/auth/userinfo"},
		JMAP:      &JMAP{EventSourcePath: eventSourceTemplate, WebSocketPath: "/jmap/ws", Capabilities: map[string]any{mailCapability: nil}},
		DAV:       &DAV{},
		WebUI:     &WebUI{},
		Resources: []Resource{{Path: "/dav/cal/"}},
		Mail:      &Mail{Domains: []string{"a.example", "b.example"}, Services: []Service{{Protocol: IMAP}, {Protocol: Submission}}},
		MTASTS:    &MTASTS{MX: []string{"mx.a.example"}},
	}
}

// fullSet has every document and an additional one, with and without hosts to select.
func fullSet(t testing.TB, base string) *Set {
	t.Helper()
	return setOf(t, fullConfig(t, base))
}

func setOf(t testing.TB, c Config) *Set {
	t.Helper()
	b := newBuilder(c)
	b.add("plain", struct {
		URL string `json:"url"`
	}{b.base.MustJoin("/doc")}, nil, b.below("/doc")...)
	b.route(route{document: "hosts", byHost: map[string]*document{
		"a.example": newDocument([]byte(b.base.String()), "text/plain"),
	}}, "/hosts")
	set, err := b.build()
	require.NoError(t, err)
	return set
}
