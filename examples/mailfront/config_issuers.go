package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/publicurl"
)

// readIssuers reads the settings of a server that uses other identity providers.
func (cfg *config) readIssuers(values *settings.Values) error {
	s := values.Get("AUTHORIZATION_SERVERS")
	for _, item := range s.List() {
		if item.Text != "" {
			cfg.issuers = append(cfg.issuers, item.Text)
		}
	}
	base, err := publicurl.FromHostname("mail.example.com") // a placeholder, to check the issuers
	if err != nil {
		return err
	}
	if _, err := discovery.Build(discovery.Config{Base: base, AuthorizationServers: cfg.issuers}); err != nil {
		var e *discovery.Error
		if errors.As(err, &e) {
			return s.Errorf("%q: %s", e.Input, e.Rule)
		}
		return s.Errorf("%w", err)
	}
	client, audience, asked := values.Get("INTROSPECTION_CLIENT"), values.Get("TOKEN_AUDIENCE"), values.Get("INTROSPECTION_ISSUER")
	for _, other := range []settings.Value{client, audience, asked} {
		if other.Text != "" && len(cfg.issuers) == 0 {
			return fmt.Errorf("mailfront: %s is set, and MAILFRONT_AUTHORIZATION_SERVERS is not: set it too, or unset %s", other.From, other.From)
		}
	}
	if asked.Text != "" && !slices.Contains(cfg.issuers, asked.Text) {
		return asked.Errorf("it is not in %s: use one of %s", s.From, strings.Join(cfg.issuers, ", "))
	}
	cfg.tokenAudience, cfg.introspectionIssuer = audience.Text, asked.Text
	if client.Text != "" {
		id, secret, ok := strings.Cut(client.Text, ":")
		if !ok || id == "" || secret == "" {
			return fmt.Errorf("mailfront: %s: use id:secret", client.From) // the value is not quoted, because it contains a secret
		}
		cfg.introspectionID, cfg.introspectionSecret = id, secret
	}
	return nil
}

// warnOfIntrospection logs that MAILFRONT_INTROSPECTION_CLIENT has no effect.
func (f *frontend) warnOfIntrospection() {
	if f.cfg.introspectionID != "" && f.cfg.introspectionIssuer == "" && len(f.cfg.issuers) > 1 {
		f.log.Warn("MAILFRONT_INTROSPECTION_CLIENT is not used, and tokens without a signature are refused: there are several issuers, and such a token does not name its own",
			"event", "introspection_off", "setting", "MAILFRONT_INTROSPECTION_ISSUER")
	}
}
