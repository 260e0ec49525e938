package main

import (
	"bytes"
	"flag"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

const (
	testSecret  = "a-secret-of-the-tests-that-has-32-bytes-or-more"
	otherSecret = "another-secret-of-the-tests-which-is-long-enough"
)

func TestStoreAndSecretAreNeverQuoted(t *testing.T) {
	const storePassword, short = "hunter2", "31-bytes-are-not-enough--hunter"
	for _, test := range []struct {
		name          string
		store, secret string
		want          []string
	}{
		{name: "no secret", store: "redis://u:" + storePassword + "@127.0.0.1", want: []string{"MAILFRONT_SECRET is not"}},
		{name: "blank secrets", store: "redis://127.0.0.1", secret: " , ", want: []string{"MAILFRONT_SECRET is not"}},
		{name: "short secret", store: "redis://127.0.0.1", secret: short, want: []string{"MAILFRONT_SECRET", "secret 1 of 1 has 31 bytes", "32"}},
		{name: "short secret in a list", store: "redis://127.0.0.1", secret: testSecret + "," + short, want: []string{"MAILFRONT_SECRET", "secret 2 of 2 has 31 bytes"}},
		{name: "scheme", store: "http://u:" + storePassword + "@127.0.0.1", secret: testSecret, want: []string{"MAILFRONT_STORE", "redis://host:port", "unix:///path"}},
		{name: "syntax", store: "redis://u:" + storePassword + "%zz@127.0.0.1", secret: testSecret, want: []string{"MAILFRONT_STORE", "redis://host:port"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_STORE": test.store, "MAILFRONT_SECRET": test.secret}), io.Discard)
			require.Error(t, err)
			for _, part := range test.want {
				require.ErrorContains(t, err, part)
			}
			for _, secret := range []string{storePassword, "hunter", testSecret} {
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
	t.Run("help", func(t *testing.T) {
		var help bytes.Buffer
		_, err := parseConfig([]string{"-help"}, lookup(map[string]string{"MAILFRONT_STORE": "redis://u:hunter2@127.0.0.1", "MAILFRONT_SECRET": testSecret}), &help)
		require.ErrorIs(t, err, flag.ErrHelp)
		require.Contains(t, help.String(), "MAILFRONT_SECRET")
		require.NotContains(t, help.String(), "hunter2")
		require.NotContains(t, help.String(), testSecret)
	})
}

func TestTheStoreIsMemoryUnlessItIsSet(t *testing.T) {
	cfg, err := parseConfig(nil, lookup(nil), io.Discard)
	require.NoError(t, err)
	require.IsType(t, new(store.Memory), cfg.store)
	secrets := testSecret + "," + otherSecret + "\n"
	for _, url := range []string{"redis://127.0.0.1", "rediss://user:password@store.example:6380/2", "unix:///run/redis.sock"} {
		cfg, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_STORE": url, "MAILFRONT_SECRET": secrets}), io.Discard)
		require.NoError(t, err, url)
		require.IsType(t, new(store.Redis), cfg.store, url)
		require.NoError(t, cfg.store.Close())
	}
}
