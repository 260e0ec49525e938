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

func TestErrorQuotesTheInputAndEndsWithTheClause(t *testing.T) {
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
		{"two documents at a path", func(b *builder) {
			b.addBytes("a", nil, "", "/x")
			b.addBytes("b", nil, "", "/%78")
		}, "the document a has this path already"},
		{"one with the prefix, one without", func(b *builder) {
			b.addBytes("a", nil, "", b.below("/x")...)
			b.addBytes("b", nil, "", b.below("/mail/x")...)
		}, "the document a has this path already"},
		{"a document twice", func(b *builder) {
			b.addBytes("a", nil, "", "/x")
			b.addBytes("a", nil, "", "/y")
		}, "twice"},
		{"a bad escape", func(b *builder) { b.addBytes("a", nil, "", "/%zz") }, "percent escapes"},
		{"an escaped slash", func(b *builder) { b.addBytes("a", nil, "", "/x%2fy") }, "escaped slash"},
		{"an escaped backslash", func(b *builder) { b.addBytes("a", nil, "", "/x%5Cy") }, "escaped slash"},
		{"a path twice for one document", func(b *builder) { b.addBytes("a", nil, "", "/x", "/x") }, ""},
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
		{"https://example.com", publicurl.OAuthAuthorizationServer, []string{"/.well-known/oauth-authorization-server"}},
		{"https://example.com:8443/a/b", publicurl.OAuthAuthorizationServer, []string{
			"/.well-known/oauth-authorization-server/a/b",
			"/a/b/.well-known/oauth-authorization-server",
			"/.well-known/oauth-authorization-server",
		}},
		{"https://example.com/mail", publicurl.OpenIDConfiguration, []string{
			"/mail/.well-known/openid-configuration",
			"/.well-known/openid-configuration",
			"/.well-known/openid-configuration/mail",
		}},
		{"/mail", publicurl.JMAP, []string{"/.well-known/jmap", "/mail/.well-known/jmap"}},
	} {
		b := newBuilder(Config{Base: mustBase(t, tt.base)})
		got := b.wellKnown(tt.name)
		require.Empty(t, b.errs)
		require.Subset(t, tt.want, got)
		require.Subset(t, got, tt.want)
	}
}

func TestEndpointThatADocumentHides(t *testing.T) {
	mail := &Mail{Domains: []string{"a.example"}, Services: []Service{{Protocol: IMAP}}}
	below := &OAuth{TokenPath: "/token", IntrospectionPath: "/auth/introspect", JWKSPath: "/auth/keys/jwks.json"}
	tests := []struct {
		name, base string
		config     Config
		document   Document // that the error names; "": no error
		field      string
		hides      Document
	}{
		{"account above it", "https://example.com", Config{OAuth: below, WebUI: &WebUI{Path: "/auth"}}, OAuthDocument, "introspection_endpoint", WebUIDocument},
		{"account above it, with a slash", "https://example.com", Config{OAuth: below, WebUI: &WebUI{Path: "/auth/"}}, OAuthDocument, "introspection_endpoint", WebUIDocument},
		{"account two levels above it", "https://example.com", Config{OAuth: &OAuth{TokenPath: "/a/b/token", IntrospectionPath: "/a/b/introspect"}, WebUI: &WebUI{Path: "/a"}}, "", "", ""},
		{"account at it", "https://example.com", Config{OAuth: &OAuth{}, WebUI: &WebUI{Path: "/login"}}, OAuthDocument, "authorization_endpoint", WebUIDocument},
		{"prefix of the base makes it an account", "https://example.com/api/discover", Config{OAuth: &OAuth{}, WebUI: &WebUI{}}, OAuthDocument, "authorization_endpoint", WebUIDocument},
		{"session", "https://example.com", Config{OAuth: &OAuth{TokenPath: "/jmap/session"}, JMAP: &JMAP{}}, OAuthDocument, "token_endpoint", JMAPDocument},
		{"session, behind a proxy that strips", "https://example.com/jmap", Config{OAuth: &OAuth{TokenPath: "/session"}, JMAP: &JMAP{}}, OAuthDocument, "token_endpoint", JMAPDocument},
		{"well-known that sends on", "https://example.com", Config{DAV: &DAV{CalendarPath: "/.well-known/carddav"}}, DAVDocument, "CalendarPath", DAVDocument},
		{"autoconfig", "https://example.com", Config{OAuth: &OAuth{AuthorizationPath: "/mail/config-v1.1.xml"}, Mail: mail}, OAuthDocument, "authorization_endpoint", "autoconfig"},
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
