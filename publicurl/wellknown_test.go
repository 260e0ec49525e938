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
		{base: "https://example.com", name: OAuthAuthorizationServer, aliases: []string{"https://example.com/.well-known/oauth-authorization-server"}},
		{base: "https://example.com", name: OAuthProtectedResource, aliases: []string{"https://example.com/.well-known/oauth-protected-resource"}},
		{base: "https://example.com", name: OpenIDConfiguration, aliases: []string{"https://example.com/.well-known/openid-configuration"}},
		{base: "https://example.com", name: JMAP, aliases: []string{"https://example.com/.well-known/jmap"}},

		{base: "https://example.com:8443/mail", name: OAuthAuthorizationServer, aliases: []string{
			"https://example.com:8443/.well-known/oauth-authorization-server/mail",
			"https://example.com:8443/mail/.well-known/oauth-authorization-server",
			"https://example.com:8443/.well-known/oauth-authorization-server",
		}},
		{base: "https://example.com/a/b", name: OAuthProtectedResource, aliases: []string{
			"https://example.com/.well-known/oauth-protected-resource/a/b",
			"https://example.com/a/b/.well-known/oauth-protected-resource",
			"https://example.com/.well-known/oauth-protected-resource",
		}},
		{base: "https://example.com/mail", name: OpenIDConfiguration, aliases: []string{
			"https://example.com/mail/.well-known/openid-configuration",
			"https://example.com/.well-known/openid-configuration/mail",
		}},
		{base: "https://example.com/mail", name: JMAP, aliases: []string{
			"https://example.com/.well-known/jmap",
			"https://example.com/mail/.well-known/jmap",
		}},
		{base: "https://example.com/mail", name: CalDAV, aliases: []string{
			"https://example.com/.well-known/caldav",
			"https://example.com/mail/.well-known/caldav",
		}},
		{base: "https://example.com/mail", name: CardDAV, aliases: []string{
			"https://example.com/.well-known/carddav",
			"https://example.com/mail/.well-known/carddav",
		}},
		{base: "https://example.com/mail", name: "change-password", aliases: []string{
			"https://example.com/.well-known/change-password",
			"https://example.com/mail/.well-known/change-password",
		}},

		{base: "", name: OAuthAuthorizationServer, aliases: []string{"/.well-known/oauth-authorization-server"}},
		{base: "", name: JMAP, aliases: []string{"/.well-known/jmap"}},
		{base: "/mail", name: OAuthAuthorizationServer, aliases: []string{
			"/.well-known/oauth-authorization-server/mail",
			"/mail/.well-known/oauth-authorization-server",
			"/.well-known/oauth-authorization-server",
		}},
		{base: "/mail", name: OpenIDConfiguration, aliases: []string{
			"/mail/.well-known/openid-configuration",
			"/.well-known/openid-configuration/mail",
		}},
		{base: "/mail", name: CardDAV, aliases: []string{"/.well-known/carddav", "/mail/.well-known/carddav"}},
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
		{name: "URL of the root", base: "https://example.com", resource: "https://example.com", want: prefix},
		{name: "slash behind the host is removed", base: "https://example.com", resource: "https://example.com/", want: prefix},
		{name: "slash behind the host is removed before a query", base: "https://example.com", resource: "https://example.com/?x=1", want: prefix + "?x=1"},
		{name: "query behind the host", base: "https://example.com", resource: "https://example.com?x=1", want: prefix + "?x=1"},
		{name: "URL with a path", base: "https://example.com", resource: "https://example.com/jmap", want: prefix + "/jmap"},
		{name: "slash at the end of a path stays", base: "https://example.com", resource: "https://example.com/jmap/", want: prefix + "/jmap/"},
		{name: "URL with a query", base: "https://example.com", resource: "https://example.com/jmap?x=%2F", want: prefix + "/jmap?x=%2F"},
		{name: "base with a prefix", base: "https://example.com/mail", resource: "https://example.com/mail", want: prefix + "/mail"},
		{name: "URL below a prefix", base: "https://example.com/mail", resource: "https://example.com/mail/jmap", want: prefix + "/mail/jmap"},
		{name: "other spelling of the origin", base: "https://example.com/mail", resource: "HTTPS://EXAMPLE.com:443/mail/jmap", want: prefix + "/mail/jmap"},
		{name: "path", base: "https://example.com", resource: "/jmap", want: prefix + "/jmap"},
		{name: "path below a prefix", base: "https://example.com/mail", resource: "/jmap", want: prefix + "/mail/jmap"},
		{name: "path with a query", base: "https://example.com/mail", resource: "/jmap?x", want: prefix + "/mail/jmap?x"},
		{name: "slash alone", base: "https://example.com", resource: "/", want: prefix},
		{name: "slash alone below a prefix", base: "https://example.com/mail", resource: "/", want: prefix + "/mail/"},
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
		{name: "nothing", resource: "", kind: ErrEmpty, offset: 0},
		{name: "no scheme", resource: "example.com/mail", kind: ErrScheme, offset: 0},
		{name: "other host", resource: "https://example.org/mail", kind: ErrOutside, offset: 0},
		{name: "other port", resource: "https://example.com:8443/mail", kind: ErrOutside, offset: 0},
		{name: "http", resource: "http://example.com/mail", kind: ErrOutside, offset: 0},
		{name: "root dot", resource: "https://example.com./mail", kind: ErrOutside, offset: 0},
		{name: "outside the prefix", resource: "https://example.com/mailbox", kind: ErrOutside, offset: 0},
		{name: "root of the host", resource: "https://example.com", kind: ErrOutside, offset: 0},
		{name: "user information", resource: "https://user:secret@example.com/mail", kind: ErrUserinfo, offset: 8},
		{name: "fragment", resource: "https://example.com/mail/jmap#x", kind: ErrFragment, offset: 29},
		{name: "empty fragment of a path", resource: "/jmap#", kind: ErrFragment, offset: 5},
		{name: "dot segment", resource: "https://example.com/mail/../x", kind: ErrPath, offset: 25},
		{name: "dot segment in a path", resource: "/../x", kind: ErrPath, offset: 1},
		{name: "network path", resource: "//example.com/mail", kind: ErrPath, offset: 0},
		{name: "backslash", resource: `/\example.com`, kind: ErrCharacter, offset: 1},
		{name: "blank", resource: "https://example.com/mail/a b", kind: ErrCharacter, offset: 26},
		{name: "variable", resource: "https://example.com/mail/{x}", kind: ErrTemplate, offset: 25},
		{name: "variable in the query", resource: "/jmap?{x}", kind: ErrTemplate, offset: 6},
		{name: "malformed query", resource: "/jmap?%4", kind: ErrQuery, offset: 6},
		{name: "beyond ASCII in the query", resource: "https://example.com/mail?ü", kind: ErrQuery, offset: 25},
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
