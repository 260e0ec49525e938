package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDemo(t *testing.T) {
	if !bindable(demoClient) {
		t.Skipf("no client can have the address %s on this system", demoClient)
	}
	var out bytes.Buffer
	// The environment does not matter.
	err := run(t.Context(), []string{"-demo"}, lookup(map[string]string{"MAILFRONT_TRUSTED_PROXIES": "nonsense"}), &out, io.Discard, nil)
	require.NoError(t, err, out.String())
	text := out.String()
	require.Regexp(t, `SMTP +proxy passes bytes on, STARTTLS +127\.0\.0\.77 +yes +after STARTTLS\n`, text)
	require.Regexp(t, `POP3 +(.*\n)+ +proxy passes TLS on +127\.0\.0\.77 +yes +at once\n`, text)
	require.Regexp(t, `HTTP +proxy passes bytes on +127\.0\.0\.77 +no +-\n`, text)
	require.Equal(t, 10, strings.Count(text, "closed without an answer"))
	require.Contains(t, text, "then mail to elsewhere.test: refused, 550")
	require.Contains(t, text, `authorization_endpoint "/login"`)
	require.Contains(t, text, "bytes on 5 paths to the server.")
	require.Contains(t, text, "198.51.100.7 is banned on every protocol")
	require.Contains(t, text, "All 45 checks passed in ")
	require.NotContains(t, text, "WRONG")
	for line := range strings.Lines(text) {
		require.LessOrEqual(t, len(line), 110, line)
	}
}

// On macOS 127.0.0.1 is the only IPv4 loopback address, and containers often have no IPv6.
func TestDemoAddresses(t *testing.T) {
	const unavailable = "192.0.2.1"
	before := temporarySockets(t)
	var out bytes.Buffer
	require.NoError(t, runDemoAs(t.Context(), &out, unavailable), &out)
	text := out.String()
	require.Contains(t, text, "No client can have the address 192.0.2.1 on this system. The client has 127.0.0.1")
	require.Regexp(t, `SMTP +proxy passes bytes on, STARTTLS +127\.0\.0\.1 +yes +after STARTTLS\n`, text)
	require.Regexp(t, `HTTP +proxy passes bytes on +127\.0\.0\.1 +no +-\n`, text)
	require.Equal(t, 10, strings.Count(text, "closed without an answer"))
	require.Contains(t, text, "From a unix socket, which is trusted:")
	require.Contains(t, text, "then mail to elsewhere.test: refused, 550")
	require.Contains(t, text, "198.51.100.7 is banned on every protocol")
	require.Contains(t, text, "All 46 checks passed in ")
	require.Equal(t, before, temporarySockets(t), "directories of sockets that remain")
}

func temporarySockets(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(os.TempDir(), demoSockets))
	require.NoError(t, err)
	return names
}

func TestTheDemoFailsWhenNothingWorks(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	err := runDemoAs(ctx, &out, demoClient)
	require.ErrorContains(t, err, "checks failed")
	require.Contains(t, out.String(), "Failed checks:")
}

func TestDemoDetectsWrongClient(t *testing.T) {
	var out bytes.Buffer
	d := &demo{out: &out, ctx: t.Context(), log: newLogBuffer()}
	require.NoError(t, d.start(demoClient))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(d.sockets)) })
	rows := d.rows()
	rows[0].want.TLS = false
	rows[1].want.Passwords = never
	rows[2].want.Client = rows[2].want.Client.Next()
	d.table(rows[:4])
	require.Len(t, d.wrong, 3)
	require.Equal(t, 3, strings.Count(out.String(), "<- WRONG"))
	require.NoError(t, d.behind.shutdown(testTimeout))
	if d.direct != d.behind {
		require.NoError(t, d.direct.shutdown(testTimeout))
	}
}
