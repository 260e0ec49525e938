package publicurl

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWellKnownLocations(t *testing.T) {
	tests := []struct {
		base    string
		name    Name
		aliases []string // the first is WellKnown's
	}{
		{"https://example.com", OAuthAuthorizationServer, []string{"https://example.com/.well-known/oauth-authorization-server"}},
		{"https://example.com", OAuthProtectedResource, []string{"https://example.com/.well-known/oauth-protected-resource"}},
		{"https://example.com", OpenIDConfiguration, []string{"https://example.com/.well-known/openid-configuration"}},
		{"https://example.com", JMAP, []string{"https://example.com/.well-known/jmap"}},

		{"https://example.com:8443/mail", OAuthAuthorizationServer, []string{
			"https://example.com:8443/.well-known/oauth-authorization-server/mail",
			"https://example.com:8443/mail/.well-known/oauth-authorization-server",
			"https://example.com:8443/.well-known/oauth-authorization-server",
		}},
		{"https://example.com/a/b", OAuthProtectedResource, []string{
			"https://example.com/.well-known/oauth-protected-resource/a/b",
			"https://example.com/a/b/.well-known/oauth-protected-resource",
			"https://example.com/.well-known/oauth-protected-resource",
		}},
		{"https://example.com/mail", OpenIDConfiguration, []string{
			"https://example.com/mail/.well-known/openid-configuration",
			"https://example.com/.well-known/openid-configuration/mail",
		}},
		{"https://example.com/mail", JMAP, []string{
			"https://example.com/.well-known/jmap",
			"https://example.com/mail/.well-known/jmap",
		}},
		{"https://example.com/mail", CalDAV, []string{
			"https://example.com/.well-known/caldav",
			"https://example.com/mail/.well-known/caldav",
		}},
		{"https://example.com/mail", CardDAV, []string{
			"https://example.com/.well-known/carddav",
			"https://example.com/mail/.well-known/carddav",
		}},
		{"https://example.com/mail", "change-password", []string{
			"https://example.com/.well-known/change-password",
			"https://example.com/mail/.well-known/change-password",
		}},

		{"", OAuthAuthorizationServer, []string{"/.well-known/oauth-authorization-server"}},
		{"", JMAP, []string{"/.well-known/jmap"}},
		{"/mail", OAuthAuthorizationServer, []string{
			"/.well-known/oauth-authorization-server/mail",
			"/mail/.well-known/oauth-authorization-server",
			"/.well-known/oauth-authorization-server",
		}},
		{"/mail", OpenIDConfiguration, []string{
			"/mail/.well-known/openid-configuration",
			"/.well-known/openid-configuration/mail",
		}},
		{"/mail", CardDAV, []string{"/.well-known/carddav", "/mail/.well-known/carddav"}},
	}
	for _, tt := range tests {
		t.Run(tt.base+" "+string(tt.name), func(t *testing.T) {
			b := mustBase(t, tt.base)
			got, err := b.WellKnown(tt.name)
			require.NoError(t, err)
			require.Equal(t, tt.aliases[0], got)
			aliases, err := b.WellKnownAliases(tt.name)
			require.NoError(t, err)
			require.Equal(t, tt.aliases, aliases)
		})
	}
}

func TestWellKnownRefusesInvalidNames(t *testing.T) {
	b := mustParse(t, "https://example.com/mail")
	for _, name := range []Name{"", ".", "..", "/jmap", "a/b", ".well-known/jmap", "a?b", "a#b", "a%2Fb", "a b", "ü", "{a}", "a\nb"} {
		_, err := b.WellKnown(name)
		require.ErrorIs(t, err, ErrWellKnown, name)
		_, err = b.WellKnownAliases(name)
		require.ErrorIs(t, err, ErrWellKnown, name)
	}
}

func TestMetadataURL(t *testing.T) {
	const prefix = "https://example.com/.well-known/oauth-protected-resource"
	tests := []struct{ name, base, resource, want string }{
		{"URL of the root", "https://example.com", "https://example.com", prefix},
		{"slash behind the host is removed", "https://example.com", "https://example.com/", prefix},
		{"slash behind the host is removed before a query", "https://example.com", "https://example.com/?x=1", prefix + "?x=1"},
		{"query behind the host", "https://example.com", "https://example.com?x=1", prefix + "?x=1"},
		{"URL with a path", "https://example.com", "https://example.com/jmap", prefix + "/jmap"},
		{"slash at the end of a path stays", "https://example.com", "https://example.com/jmap/", prefix + "/jmap/"},
		{"URL with a query", "https://example.com", "https://example.com/jmap?x=%2F", prefix + "/jmap?x=%2F"},
		{"base with a prefix", "https://example.com/mail", "https://example.com/mail", prefix + "/mail"},
		{"URL below a prefix", "https://example.com/mail", "https://example.com/mail/jmap", prefix + "/mail/jmap"},
		{"other spelling of the origin", "https://example.com/mail", "HTTPS://EXAMPLE.com:443/mail/jmap", prefix + "/mail/jmap"},
		{"path", "https://example.com", "/jmap", prefix + "/jmap"},
		{"path below a prefix", "https://example.com/mail", "/jmap", prefix + "/mail/jmap"},
		{"path with a query", "https://example.com/mail", "/jmap?x", prefix + "/mail/jmap?x"},
		{"slash alone", "https://example.com", "/", prefix},
		{"slash alone below a prefix", "https://example.com/mail", "/", prefix + "/mail/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := mustParse(t, tt.base)
			got, err := b.MetadataURL(tt.resource)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
	t.Run("of the base is WellKnown's", func(t *testing.T) {
		for _, s := range []string{"https://example.com", "https://example.com:8443/a/b"} {
			b := mustParse(t, s)
			want, err := b.WellKnown(OAuthProtectedResource)
			require.NoError(t, err)
			got, err := b.MetadataURL(b.String())
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	})
}

func TestMetadataURLRefuses(t *testing.T) {
	tests := []struct {
		name, resource string
		kind           Kind
		offset         int
	}{
		{"nothing", "", ErrEmpty, 0},
		{"no scheme", "example.com/mail", ErrScheme, 0},
		{"other host", "https://example.org/mail", ErrOutside, 0},
		{"other port", "https://example.com:8443/mail", ErrOutside, 0},
		{"http", "http://example.com/mail", ErrOutside, 0},
		{"root dot", "https://example.com./mail", ErrOutside, 0},
		{"outside the prefix", "https://example.com/mailbox", ErrOutside, 0},
		{"root of the host", "https://example.com", ErrOutside, 0},
		{"user information", "https://user:secret@example.com/mail", ErrUserinfo, 8},
		{"fragment", "https://example.com/mail/jmap#x", ErrFragment, 29},
		{"empty fragment of a path", "/jmap#", ErrFragment, 5},
		{"dot segment", "https://example.com/mail/../x", ErrPath, 25},
		{"dot segment in a path", "/../x", ErrPath, 1},
		{"network path", "//example.com/mail", ErrPath, 0},
		{"backslash", `/\example.com`, ErrCharacter, 1},
		{"blank", "https://example.com/mail/a b", ErrCharacter, 26},
		{"variable", "https://example.com/mail/{x}", ErrTemplate, 25},
		{"variable in the query", "/jmap?{x}", ErrTemplate, 6},
		{"malformed query", "/jmap?%4", ErrQuery, 6},
		{"beyond ASCII in the query", "https://example.com/mail?ü", ErrQuery, 25},
	}
	b := mustParse(t, "https://example.com/mail")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.MetadataURL(tt.resource)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.kind, e.Kind)
			require.Equal(t, tt.offset, e.Offset)
			require.NotEmpty(t, e.Hint)
		})
	}
	t.Run("relative base", func(t *testing.T) {
		for _, resource := range []string{"/jmap", "https://example.com/mail/jmap", ""} {
			_, err := mustRelative(t, "/mail").MetadataURL(resource)
			require.ErrorIs(t, err, ErrRelative)
		}
	})
}
