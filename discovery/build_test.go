package discovery

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

func TestBuildNeedsABase(t *testing.T) {
	set, err := Build(Config{JMAP: &JMAP{}})
	require.Nil(t, set)
	require.EqualError(t, err, "discovery: config: Base: it is required: use publicurl.Parse, FromHostname, FromEnv or Relative")
}

func TestErrorQuotesInputAndEndsWithClause(t *testing.T) {
	_, err := Build(Config{Base: mustBase(t, "https://example.com"), JMAP: &JMAP{UploadPath: "/up\nload"}})
	require.ErrorIs(t, err, publicurl.ErrCharacter)
	require.Contains(t, err.Error(), `discovery: jmap-session: uploadUrl: "/up\nload": use a URI template`)
	_, err = Build(Config{Base: mustBase(t, "https://example.com"), JMAP: &JMAP{UploadPath: "/upload"}})
	require.EqualError(t, err, `discovery: jmap-session: uploadUrl: "/upload": the template must contain the variable {accountId} (RFC 8620 section 2)`)
	var e *Error
	require.True(t, errors.As(err, &e))
	require.Equal(t, Error{Document: JMAPDocument, Field: "uploadUrl", Input: "/upload", Rule: "the template must contain the variable {accountId}", Clause: "RFC 8620 section 2"}, *e)
}

func TestRoutesThatCollide(t *testing.T) {
	tests := []struct {
		name string
		add  func(*builder)
		rule string // "" for none
	}{
		{name: "two documents at a path", add: func(b *builder) {
			b.addBytes("a", nil, "", "/x")
			b.addBytes("b", nil, "", "/%78")
		}, rule: "the document a has this path already"},
		{name: "one with the prefix, one without", add: func(b *builder) {
			b.addBytes("a", nil, "", b.below("/x")...)
			b.addBytes("b", nil, "", b.below("/mail/x")...)
		}, rule: "the document a has this path already"},
		{name: "a document twice", add: func(b *builder) {
			b.addBytes("a", nil, "", "/x")
			b.addBytes("a", nil, "", "/y")
		}, rule: "duplicate"},
		{name: "a bad escape", add: func(b *builder) { b.addBytes("a", nil, "", "/%zz") }, rule: "percent escapes"},
		{name: "an escaped slash", add: func(b *builder) { b.addBytes("a", nil, "", "/x%2fy") }, rule: "escaped slash"},
		{name: "an escaped backslash", add: func(b *builder) { b.addBytes("a", nil, "", "/x%5Cy") }, rule: "escaped slash"},
		{name: "a path twice for one document", add: func(b *builder) { b.addBytes("a", nil, "", "/x", "/x") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBuilder(Config{Base: mustBase(t, "https://example.com/mail")})
			tt.add(b)
			if tt.rule == "" {
				require.Empty(t, b.errs)
				return
			}
			require.Len(t, b.errs, 1)
			require.ErrorContains(t, b.errs[0], tt.rule)
		})
	}
}

func TestWellKnownPathsThroughEveryProxy(t *testing.T) {
	for _, tt := range []struct {
		base string
		name publicurl.Name
		want []string
	}{
		{base: "https://example.com", name: publicurl.OAuthAuthorizationServer, want: []string{"/.well-known/oauth-authorization-server"}},
		{base: "https://example.com:8443/a/b", name: publicurl.OAuthAuthorizationServer, want: []string{
			"/.well-known/oauth-authorization-server/a/b",
			"/a/b/.well-known/oauth-authorization-server",
			"/.well-known/oauth-authorization-server",
		}},
		{base: "https://example.com/mail", name: publicurl.OpenIDConfiguration, want: []string{
			"/mail/.well-known/openid-configuration",
			"/.well-known/openid-configuration",
			"/.well-known/openid-configuration/mail",
		}},
		{base: "/mail", name: publicurl.JMAP, want: []string{"/.well-known/jmap", "/mail/.well-known/jmap"}},
	} {
		b := newBuilder(Config{Base: mustBase(t, tt.base)})
		got := b.wellKnown(tt.name)
		require.Empty(t, b.errs)
		require.Subset(t, tt.want, got)
		require.Subset(t, got, tt.want)
	}
}

func TestEndpointHiddenByDocument(t *testing.T) {
	mail := &Mail{Domains: []string{"a.example"}, Services: []Service{{Protocol: IMAP}}}
	below := &OAuth{TokenPath: "/token", IntrospectionPath: "/auth/introspect", JWKSPath: "/auth/keys/jwks.json"}
	tests := []struct {
		name, base string
		config     Config
		document   Document // that the error names; "": no error
		field      string
		hides      Document
	}{
		{name: "account above it", base: "https://example.com", config: Config{OAuth: below, WebUI: &WebUI{Path: "/auth"}}, document: OAuthDocument, field: "introspection_endpoint", hides: WebUIDocument},
		{name: "account above it, with a slash", base: "https://example.com", config: Config{OAuth: below, WebUI: &WebUI{Path: "/auth/"}}, document: OAuthDocument, field: "introspection_endpoint", hides: WebUIDocument},
		{name: "account two levels above it", base: "https://example.com", config: Config{OAuth: &OAuth{TokenPath: "/a/b/token", IntrospectionPath: "/a/b/introspect"}, WebUI: &WebUI{Path: "/a"}}},
		{name: "account at it", base: "https://example.com", config: Config{OAuth: &OAuth{}, WebUI: &WebUI{Path: "/login"}}, document: OAuthDocument, field: "authorization_endpoint", hides: WebUIDocument},
		{name: "prefix of the base makes it an account", base: "https://example.com/api/discover", config: Config{OAuth: &OAuth{}, WebUI: &WebUI{}}, document: OAuthDocument, field: "authorization_endpoint", hides: WebUIDocument},
		{name: "session", base: "https://example.com", config: Config{OAuth: &OAuth{TokenPath: "/jmap/session"}, JMAP: &JMAP{}}, document: OAuthDocument, field: "token_endpoint", hides: JMAPDocument},
		{name: "session, behind a proxy that strips", base: "https://example.com/jmap", config: Config{OAuth: &OAuth{TokenPath: "/session"}, JMAP: &JMAP{}}, document: OAuthDocument, field: "token_endpoint", hides: JMAPDocument},
		{name: "well-known that sends on", base: "https://example.com", config: Config{DAV: &DAV{CalendarPath: "/.well-known/carddav"}}, document: DAVDocument, field: "CalendarPath", hides: DAVDocument},
		{name: "autoconfig", base: "https://example.com", config: Config{OAuth: &OAuth{AuthorizationPath: "/mail/config-v1.1.xml"}, Mail: mail}, document: OAuthDocument, field: "authorization_endpoint", hides: "autoconfig"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Base = mustBase(t, tt.base)
			errs := buildErrors(t, tt.config)
			if tt.document == "" {
				require.Empty(t, errs)
				return
			}
			require.NotEmpty(t, errs)
			require.Equal(t, tt.document, errs[0].Document, "%v", errs)
			require.Equal(t, tt.field, errs[0].Field)
			require.Equal(t, "the document "+string(tt.hides)+" answers at this path: choose another one", errs[0].Rule)
		})
	}
}
