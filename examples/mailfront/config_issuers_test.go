package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIssuerSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"http":              {env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "http://id.example"}, want: `MAILFRONT_AUTHORIZATION_SERVERS is "http://id.example": "http://id.example": an issuer is an https URL`},
		"a pasted URL":      {env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://id.example/realms/mail/.well-known/openid-configuration"}, want: `use the issuer as the document spells it, "https://id.example/realms/mail"`},
		"twice":             {env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://id.example,https://id.example"}, want: "duplicate"},
		"a client alone":    {env: map[string]string{"MAILFRONT_INTROSPECTION_CLIENT": "a:b"}, want: "MAILFRONT_INTROSPECTION_CLIENT is set, and MAILFRONT_AUTHORIZATION_SERVERS is not"},
		"an audience alone": {env: map[string]string{"MAILFRONT_TOKEN_AUDIENCE": "a"}, want: "MAILFRONT_TOKEN_AUDIENCE is set"},
		"an issuer alone":   {env: map[string]string{"MAILFRONT_INTROSPECTION_ISSUER": "https://id.example"}, want: "MAILFRONT_INTROSPECTION_ISSUER is set"},
		"another issuer":    {env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://id.example,https://b.example", "MAILFRONT_INTROSPECTION_ISSUER": "https://id.example/"}, want: `MAILFRONT_INTROSPECTION_ISSUER is "https://id.example/": it is not in MAILFRONT_AUTHORIZATION_SERVERS: use one of https://id.example, https://b.example`},
		"no secret":         {env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://id.example", "MAILFRONT_INTROSPECTION_CLIENT": "topsecret"}, want: "MAILFRONT_INTROSPECTION_CLIENT: use id:secret"},
	} {
		_, err := parseConfig(nil, lookup(tt.env), io.Discard)
		require.ErrorContains(t, err, tt.want, name)
		require.NotContains(t, err.Error(), "topsecret", name)
	}
	cfg, err := parseConfig(nil, lookup(map[string]string{
		"MAILFRONT_AUTHORIZATION_SERVERS": " https://id.example/a/ , https://b.example", "MAILFRONT_INTROSPECTION_CLIENT": "mail:s3:cret", "MAILFRONT_TOKEN_AUDIENCE": "mail",
	}), io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"https://id.example/a/", "https://b.example"}, cfg.issuers)
	require.Equal(t, "s3:cret", cfg.introspectionSecret)
	require.Equal(t, "mail", cfg.tokenAudience)
	require.Empty(t, cfg.introspectionIssuer)
	cfg, err = parseConfig(nil, lookup(map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://a.example,https://b.example", "MAILFRONT_INTROSPECTION_ISSUER": "https://b.example"}), io.Discard)
	require.NoError(t, err)
	require.Equal(t, "https://b.example", cfg.introspectionIssuer)
}
