package discovery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBaseMustNotBeAPage(t *testing.T) {
	full := func() Config {
		c := fullConfig(t, "https://example.com")
		c.Pages = []string{"/admin", "/account/password"}
		return c
	}
	for _, tt := range []struct {
		name, base string
		config     func() Config
		field      string // "": the base is valid
		want       string
	}{
		{name: "the sign-in", base: "https://mail.example.com/login", field: "authorization_endpoint", want: "https://mail.example.com"},
		{name: "the sign-in of a server with a path", base: "https://example.com/mail/login", field: "authorization_endpoint", want: "https://example.com/mail"},
		{name: "the administration", base: "https://mail.example.com/admin", field: "page", want: "https://mail.example.com"},
		{name: "a page of two segments", base: "https://mail.example.com:8443/account/password", field: "page", want: "https://mail.example.com:8443"},
		{name: "the session", base: "https://mail.example.com/jmap/session", field: "session", want: "https://mail.example.com"},
		{name: "the token endpoint", base: "https://mail.example.com/auth/token", field: "token_endpoint", want: "https://mail.example.com"},
		{name: "the discover path", base: "https://mail.example.com/api/discover", field: "path", want: "https://mail.example.com"},
		{name: "a relative base", base: "/login", field: "authorization_endpoint", want: ""},
		{name: "an endpoint of its own", base: "https://example.com/oauth/authorize", config: func() Config { return Config{OAuth: &OAuth{AuthorizationPath: "/oauth/authorize"}} }, field: "authorization_endpoint", want: "https://example.com"},
		{name: "escaped", base: "https://example.com/m%C3%A4il", config: func() Config { return Config{OAuth: &OAuth{AuthorizationPath: "/m%c3%a4il"}} }, field: "authorization_endpoint", want: "https://example.com"},

		{name: "an escaped page", base: "https://example.com/my%20admin", config: func() Config { return Config{Pages: []string{"/my%20admin"}} }, field: "page", want: "https://example.com"},
		{name: "a page with a slash", base: "https://example.com/mail/admin", config: func() Config { return Config{Pages: []string{"/admin/"}} }, field: "page", want: "https://example.com/mail"},

		{name: "no endpoint of this server", base: "https://example.com/login", config: func() Config { return Config{OAuth: &OAuth{AuthorizationPath: "/sign-in"}} }},
		{name: "a longer segment", base: "https://example.com/my-login"},
		{name: "an endpoint in the middle", base: "https://example.com/login/mail"},
		{name: "the start of an endpoint", base: "https://example.com/auth"},
		{name: "a collection", base: "https://example.com/jmap"},
		{name: "other capitals", base: "https://example.com/Login"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := tt.config
			if config == nil {
				config = full
			}
			c := config()
			c.Base = mustBase(t, tt.base)
			errs := buildErrors(t, c)
			if tt.field == "" {
				require.Empty(t, errs)
				return
			}
			require.NotEmpty(t, errs)
			e := errs[len(errs)-1]
			require.Equal(t, configDocument, e.Document)
			require.Equal(t, "Base", e.Field)
			require.Equal(t, c.Base.String(), e.Input)
			require.Contains(t, e.Rule, "the "+tt.field+" of the server")
			require.Contains(t, e.Rule, `use the URL without it, "`+tt.want+`"`)
		})
	}
}

func TestPagesAreBelowTheBase(t *testing.T) {
	for _, page := range []string{"", "admin", "https://example.com/admin", "/", "/a/../b", "/admin?x", None} {
		errs := buildErrors(t, Config{Base: mustBase(t, "https://example.com"), Pages: []string{"/fine", page}})
		require.Len(t, errs, 1, "%q", page)
		require.Equal(t, "Pages[1]", errs[0].Field)
		require.Equal(t, page, errs[0].Input)
		require.Equal(t, configDocument, errs[0].Document)
	}
}
