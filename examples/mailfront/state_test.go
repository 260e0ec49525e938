package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAStateComesBackAsItWasKept(t *testing.T) {
	dir := t.TempDir()
	file := stateFile{filepath.Join(dir, "state.json")}
	none, err := file.load()
	require.NoError(t, err)
	require.Zero(t, none)
	hash, err := hashPassword("a password")
	require.NoError(t, err)
	for _, s := range []state{
		{PublicURL: "https://mail.example.com", PasswordHash: hash},
		{PublicURL: "https://x.example"},
		{PublicURL: "https://x.example", PasswordHash: hash, ID: "x", Revision: 2, Under: "/mail"},
	} {
		require.NoError(t, file.save(s))
		got, err := file.load()
		require.NoError(t, err)
		require.Equal(t, s, got)
	}
	require.NoError(t, stateFile{}.save(state{PublicURL: "x"}))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary files")
}

func TestUnreadableState(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty": "", "cut": `{"public_url": "https://`, "no object": `[]`, "unknown": `{"public_url":"","x":1}`,
		"more": `{"public_url":"https://x.example"}{}`, "garbage": `{"public_url":"https://x.example"}}}`, "null": `null`, "nothing": `{}`,
		"a hash that was cut": `{"public_url":"https://x.example","admin_password_hash":"$2a$10$trunc"}`, "no URL": `{"public_url":"mail.example.com"}`,
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_STATE": path}), io.Discard)
		require.ErrorContains(t, err, path, name)
	}
	_, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_STATE": filepath.Join(dir, "no", "state")}), io.Discard)
	require.ErrorContains(t, err, "MAILFRONT_STATE")
	_, err = parseConfig(nil, lookup(map[string]string{"MAILFRONT_STATE": dir}), io.Discard)
	require.ErrorContains(t, err, "MAILFRONT_STATE")
}
