package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDemoShowsTheStoryAndEndsWell(t *testing.T) {
	if _, err := bindable(demoClients[:1]); err != nil {
		t.Skipf("this system does not let a client have %s: %v", demoClients[0], err)
	}
	var out bytes.Buffer
	// Through run, as main does it; what is in the environment does not matter.
	err := run(t.Context(), []string{"-demo"}, lookup(map[string]string{"MAILFRONT_TRUSTED_PROXIES": "nonsense"}), &out, io.Discard, nil)
	require.NoError(t, err, out.String())
	text := out.String()
	require.Regexp(t, `SMTP +proxy passes bytes on, STARTTLS +127\.0\.0\.77 +yes +after STARTTLS\n`, text)
	require.Regexp(t, `POP3 +(.*\n)+ +proxy passes TLS on +127\.0\.0\.77 +yes +at once\n`, text)
	require.Regexp(t, `HTTP +proxy passes bytes on +127\.0\.0\.77 +no +-\n`, text)
	require.Equal(t, 10, strings.Count(text, "closed without an answer"))
	require.Contains(t, text, "then mail to elsewhere.test: refused, 550")
	require.Contains(t, text, `authorization_endpoint "/login"`)
	require.Contains(t, text, "bytes on 5 ways to the server.")
	require.Contains(t, text, "198.51.100.7 is locked out")
	require.Contains(t, text, "All 45 checks hold.")
	require.NotContains(t, text, "WRONG")
	for line := range strings.Lines(text) {
		require.LessOrEqual(t, len(line), 110, line)
	}
}

func TestTheDemoTakesAnotherAddressWhereItCannotHaveItsOwn(t *testing.T) {
	if _, err := bindable([]string{"::1"}); err != nil {
		t.Skipf("this system has no ::1: %v", err)
	}
	var out bytes.Buffer
	err := runDemoAs(t.Context(), &out, []string{"192.0.2.1", "::1"})
	require.NoError(t, err, out.String())
	require.Contains(t, out.String(), "does not let a client have 192.0.2.1, so it has ::1")
	require.Regexp(t, `SMTP +proxy passes bytes on, STARTTLS +::1 +yes +after STARTTLS\n`, out.String())

	err = runDemoAs(t.Context(), &out, []string{"192.0.2.1"})
	require.ErrorContains(t, err, "a second loopback address")
}

func TestTheDemoFailsWhenNothingWorks(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	err := runDemoAs(ctx, &out, demoClients)
	require.ErrorContains(t, err, "checks failed")
	require.Contains(t, out.String(), "NOT as it must be:")
}

func TestTheDemoFailsWhenTheServerSeesSomethingElse(t *testing.T) {
	var out bytes.Buffer
	d := &demo{out: &out, ctx: t.Context(), log: newLogBuffer()}
	var err error
	d.client, err = bindable(demoClients)
	require.NoError(t, err)
	require.NoError(t, d.start())
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
