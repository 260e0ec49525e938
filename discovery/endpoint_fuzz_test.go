package discovery

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

// For every prefix and path of an endpoint, the URLs that Build publishes are below the base,
// and the metadata URL of a resource is made from exactly its identifier.
func FuzzBuildNeverPublishesURLOutsideBase(f *testing.F) {
	for _, prefix := range []string{"", "/mail", "/a/b", "/m%C3%A4il", "/jmap"} {
		for _, path := range []string{
			"/x", "/", "x", "//evil.example", "/\\evil.example", "/../x", "/%2e%2e/x", "/a%2Fb", "/a?b", "/a#b", "/a b", "/{x}", "https://evil.example/",
			"/a/", "/%61", "/mail/x", "/.well-known/openid-configuration", "/.well-known/oauth-protected-resource", "/@evil.example", "/a;b", "/\x00", "/ä", "-", "",
		} {
			f.Add(prefix, path)
		}
	}
	f.Fuzz(func(t *testing.T, prefix, path string) {
		absolute, err := publicurl.Parse("https://example.com" + prefix)
		if err != nil || !strings.HasPrefix(prefix, "/") && prefix != "" {
			t.Skip()
		}
		relative, err := publicurl.Relative(absolute.Prefix())
		require.NoError(t, err)
		for _, base := range []publicurl.Base{absolute, relative} {
			set, err := Build(Config{
				Base: base,
				OAuth: &OAuth{
					AuthorizationPath: path, TokenPath: path, DevicePath: path, IntrospectionPath: path,
					RegistrationPath: path, RevocationPath: path, JWKSPath: path,
				},
				OpenID:    &OpenID{UserinfoPath: path},
				JMAP:      &JMAP{},
				WebUI:     &WebUI{},
				Resources: []Resource{{Path: path}},
			})
			if err != nil {
				require.Nil(t, set)
				continue
			}
			for _, d := range []Document{OAuthDocument, OpenIDDocument, WebUIDocument} {
				m := decode(t, set, d)
				require.Equal(t, base.String(), m["issuer"])
				for name, value := range m {
					if strings.HasSuffix(name, "_endpoint") || name == "jwks_uri" {
						require.True(t, base.Contains(value.(string)), "%s: %q", name, value)
					}
				}
			}
			if base.IsRelative() {
				require.Nil(t, set.Bytes(BaseResource))
				continue
			}
			h := NewServer(set, ServerConfig{})
			for _, p := range []string{"", "/jmap/session", path} {
				resource := decode(t, set, ResourceDocument(p))["resource"].(string)
				require.Equal(t, base.String()+p, resource)
				_, metadata, found := strings.Cut(set.Challenge(nil, p), `resource_metadata="`)
				require.True(t, found)
				metadata = strings.TrimSuffix(metadata, `"`)
				rest, found := strings.CutPrefix(metadata, base.Origin()+"/.well-known/oauth-protected-resource")
				require.True(t, found, "%q", metadata)
				require.Equal(t, resource, base.Origin()+rest)
				_, body := ask(t, h, "GET", strings.TrimPrefix(metadata, base.Origin()))
				require.Equal(t, string(set.Bytes(ResourceDocument(p))), body)
			}
		}
	})
}
