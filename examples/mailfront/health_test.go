package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// startHealth starts mailfront with a health listener, in this process.
func startHealth(t *testing.T, env map[string]string) *frontend {
	t.Helper()
	all := map[string]string{"MAILFRONT_LISTEN_HEALTH": "127.0.0.1:0", "MAILFRONT_TRUSTED_PROXIES": proxyIP}
	for key, value := range env {
		all[key] = value
	}
	cfg, err := parseConfig(nil, lookup(all), io.Discard)
	require.NoError(t, err)
	f, err := start(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.shutdown(0) })
	return f
}

// check sends a request to the health listener on a connection of its own.
func check(t *testing.T, f *frontend, method, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: testTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, f.health.sockets[0].Addr().Network(), f.health.sockets[0].Addr().String())
		},
	}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://health"+path, nil)
	require.NoError(t, err)
	r.Header.Set("X-Forwarded-For", clientIP) // not read, not reported
	response, err := client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(b)
}

func TestHealthCheckWithoutPROXYHeader(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "health.sock")} {
		f := startHealth(t, map[string]string{"MAILFRONT_LISTEN_HEALTH": listen})
		for _, tc := range []struct {
			method, path string
			status       int
			body         string
		}{
			{method: "GET", path: "/healthz/live", status: 200, body: "ok\n"},
			{method: "HEAD", path: "/healthz/live", status: 200},
			{method: "GET", path: "/healthz/ready", status: 200, body: "ok\n"},
			{method: "HEAD", path: "/healthz/ready", status: 200},
			{method: "POST", path: "/healthz/ready", status: 405, body: "Method Not Allowed\n"},
			{method: "GET", path: "/whoami", status: 404, body: "404 page not found\n"},
			{method: "GET", path: "/.well-known/openid-configuration", status: 404, body: "404 page not found\n"},
		} {
			status, body := check(t, f, tc.method, tc.path)
			require.Equal(t, tc.status, status, "%s %s on %s", tc.method, tc.path, listen)
			require.Equal(t, tc.body, body, "%s %s on %s", tc.method, tc.path, listen)
		}
	}
}

func TestReadyDuringStartAndDrain(t *testing.T) {
	for _, tc := range []struct {
		name  string
		phase int32
		ready int
	}{
		{name: "starting", phase: starting, ready: http.StatusServiceUnavailable},
		{name: "serving", phase: serving, ready: http.StatusOK},
		{name: "draining", phase: draining, ready: http.StatusServiceUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := startHealth(t, nil)
			f.phase.Store(tc.phase)
			for path, want := range map[string]int{"/healthz/ready": tc.ready, "/healthz/live": http.StatusOK, "/metrics": http.StatusOK} {
				for _, method := range []string{"GET", "HEAD"} {
					status, _ := check(t, f, method, path)
					require.Equal(t, want, status, "%s %s", method, path)
				}
			}
		})
	}
}

// The phases of a mailfront, in order.
func TestDrainServesConnections(t *testing.T) {
	f := startHealth(t, map[string]string{"MAILFRONT_DRAIN": "1h"})
	ended := make(chan error)
	go func() { ended <- f.drainConnections() }()
	require.Eventually(t, func() bool {
		status, _ := check(t, f, "GET", "/healthz/ready")
		return status == http.StatusServiceUnavailable
	}, testTimeout, time.Millisecond)
	c, err := net.Dial("tcp", f.address("smtp"))
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, proxyproto.WriteHeader(c, header(nil)))
	require.Regexp(t, "^220 ", newScript(t, c).line())
	broken := errors.New("broken")
	f.broken <- broken
	require.ErrorIs(t, <-ended, broken, "a listener that breaks ends the drain")

	_, err = new(net.Dialer).Dial("tcp", f.health.sockets[0].Addr().String())
	require.NoError(t, err)
	c.Close()
	require.NoError(t, f.shutdown(testTimeout))
	for _, address := range []string{f.address("smtp"), f.health.sockets[0].Addr().String()} {
		_, err = net.Dial("tcp", address)
		require.Error(t, err, "%s is closed", address)
	}
}

func TestDrainDuration(t *testing.T) {
	for _, drain := range []time.Duration{0, 7 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := &frontend{cfg: &config{drain: drain}, log: slog.New(slog.DiscardHandler)}
			began := time.Now()
			require.NoError(t, f.drainConnections())
			require.Equal(t, drain, time.Since(began))
			require.NotEmpty(t, f.notReady())
		})
	}
}

func TestDrainClosesHTTPConnections(t *testing.T) {
	f := startHealth(t, map[string]string{"MAILFRONT_TRUSTED_PROXIES": ""})
	for _, tc := range []struct {
		phase int32
		close bool
	}{{phase: serving}, {phase: draining, close: true}} {
		f.phase.Store(tc.phase)
		response, err := http.Get("http://" + f.address("http") + "/whoami")
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Equal(t, tc.close, response.Close)
	}
}

func TestHealthSettings(t *testing.T) {
	for _, tc := range []struct {
		name   string
		env    map[string]string
		listen string
		drain  time.Duration
		err    string
	}{
		{name: "off", env: nil},
		{name: "off, in words", env: map[string]string{"MAILFRONT_LISTEN_HEALTH": "-"}},
		{name: "on", env: map[string]string{"MAILFRONT_LISTEN_HEALTH": "[::]:8081"}, listen: "[::]:8081", drain: defaultDrain},
		{name: "a drain alone", env: map[string]string{"MAILFRONT_DRAIN": "2s"}, drain: 2 * time.Second},
		{name: "no drain", env: map[string]string{"MAILFRONT_LISTEN_HEALTH": ":8081", "MAILFRONT_DRAIN": "0s"}, listen: ":8081"},
		{name: "no port", env: map[string]string{"MAILFRONT_LISTEN_HEALTH": "8081"},
			err: `mailfront: MAILFRONT_LISTEN_HEALTH is "8081": use host:port, such as 127.0.0.1:2525 or [::1]:0, or unix:/path: address 8081: missing port in address`},
		{name: "a relative socket", env: map[string]string{"MAILFRONT_LISTEN_HEALTH": "unix:h"},
			err: `mailfront: MAILFRONT_LISTEN_HEALTH is "unix:h": the path of the socket is not absolute: use unix:/run/mailfront/health.sock`},
		{name: "no unit", env: map[string]string{"MAILFRONT_DRAIN": "10"}, err: `mailfront: MAILFRONT_DRAIN is "10": use a duration from 0s to 1h0m0s, such as 10s`},
		{name: "negative", env: map[string]string{"MAILFRONT_DRAIN": "-1s"}, err: `mailfront: MAILFRONT_DRAIN is "-1s": use a duration from 0s to 1h0m0s, such as 10s`},
		{name: "too long", env: map[string]string{"MAILFRONT_DRAIN": "2h"}, err: `mailfront: MAILFRONT_DRAIN is "2h": use a duration from 0s to 1h0m0s, such as 10s`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg, err := parseConfig(nil, lookup(tc.env), io.Discard)
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.listen != "", len(cfg.health) == 1)
			if tc.listen != "" {
				require.Equal(t, tc.listen, cfg.health[0].host)
			}
			require.Equal(t, tc.drain, cfg.drain)
		})
	}
}

func TestHealthListenerInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	cfg, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_LISTEN_HEALTH": l.Addr().String()}), io.Discard)
	require.NoError(t, err)
	_, err = start(cfg, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, `mailfront: MAILFRONT_LISTEN_HEALTH is "`+l.Addr().String()+`": cannot listen: `)
}

func TestHealthCheckWithPROXYHeader(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_LISTEN_HEALTH": "127.0.0.1:0", "MAILFRONT_DRAIN": "0s"})
	require.True(t, r.out.await(r.ctx, 1, "health "))
	m := regexp.MustCompile(`(?m)^health +(127\.0\.0\.1:[1-9][0-9]*) +- +-$`).FindStringSubmatch(r.out.String())
	require.NotNil(t, m, r.out.String())
	r.address["health"] = m[1]
	for range 2 {
		c := r.proxied("health", proxyproto.Header{Local: true})
		io.WriteString(c, "GET /healthz/ready HTTP/1.1\r\nHost: x\r\n\r\n") // the server may have closed already
		require.Empty(t, newScript(t, c).end())
	}
	r.awaitLogs(1, "level=WARN", "proto=health event=proxy_header peer="+proxyIP, "setting=MAILFRONT_LISTEN_HEALTH", "check-send-proxy")
}
