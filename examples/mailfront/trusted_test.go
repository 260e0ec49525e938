package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNamesOfTrustedProxiesAreLookedUpAgain(t *testing.T) {
	cfg, err := parseConfig(nil, lookup(map[string]string{
		"MAILFRONT_TRUSTED_PROXIES": "192.0.2.1, dns:proxy", "MAILFRONT_TRUSTED_WITHIN": "10.77.0.0/24",
	}), io.Discard)
	require.NoError(t, err)
	require.Equal(t, "192.0.2.1", cfg.trusted.Trusted().String(), "before the first answer")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		answers := []string{"10.77.0.5", "198.51.100.9"}
		cfg.trustedNames.Lookup = func(_ context.Context, host string) (addresses []netip.Addr, err error) {
			require.Equal(t, "proxy", host)
			if len(answers) == 0 {
				return nil, &net.DNSError{Err: "no answer", Name: host, IsTemporary: true}
			}
			for _, a := range answers {
				addresses = append(addresses, netip.MustParseAddr(a))
			}
			return addresses, nil
		}
		log := newLogBuffer()
		require.NoError(t, cfg.watchTrusted(ctx, newLogger(log, cfg.logLevel)))
		synctest.Wait()
		require.Equal(t, "10.77.0.5,192.0.2.1", cfg.trusted.Trusted().String())
		require.Contains(t, log.String(), "198.51.100.9", "is refused, and that is logged")
		require.Contains(t, log.String(), "setting=MAILFRONT_TRUSTED_PROXIES")

		answers = []string{"10.77.0.6"} // the proxy was started again
		time.Sleep(2 * nameInterval)
		synctest.Wait()
		require.Equal(t, "10.77.0.6,192.0.2.1", cfg.trusted.Trusted().String())

		answers = nil
		time.Sleep(nameMaxStale - 2*nameInterval)
		synctest.Wait()
		require.Equal(t, "10.77.0.6,192.0.2.1", cfg.trusted.Trusted().String(), "the DNS is away")
		time.Sleep(4 * nameInterval)
		synctest.Wait()
		require.Equal(t, "192.0.2.1", cfg.trusted.Trusted().String(), "for too long")
		cancel()
		synctest.Wait()
	})
}

func TestBadNamesOfTrustedProxiesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{name: "an excluded name", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "dns:proxy,!dns:other"}, want: []string{"MAILFRONT_TRUSTED_PROXIES", "!dns:other"}},
		{name: "no name", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "dns:"}, want: []string{"MAILFRONT_TRUSTED_PROXIES", `"dns:"`}},
		{name: "a bad address", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "dns:proxy,10.1.2.3/8"}, want: []string{"MAILFRONT_TRUSTED_PROXIES", "10.0.0.0/8"}},
		{name: "all of IPv4", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "dns:proxy,0.0.0.0/0"}, want: []string{"MAILFRONT_TRUSTED_PROXIES", "all of IPv4"}},
		{name: "a range without a name", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "192.0.2.1", "MAILFRONT_TRUSTED_WITHIN": "10.0.0.0/8"}, want: []string{"MAILFRONT_TRUSTED_WITHIN", "dns:NAME"}},
		{name: "a bad range", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "dns:proxy", "MAILFRONT_TRUSTED_WITHIN": "10.0.0"}, want: []string{"MAILFRONT_TRUSTED_WITHIN", `"10.0.0"`}},
		{name: "a range of everything", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "dns:proxy", "MAILFRONT_TRUSTED_WITHIN": "0.0.0.0/0"}, want: []string{"MAILFRONT_TRUSTED_WITHIN", "all of IPv4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := parseConfig(nil, lookup(c.env), io.Discard)
			if err == nil {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				err = cfg.watchTrusted(ctx, newLogger(io.Discard, cfg.logLevel))
			}
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			require.False(t, errors.Is(err, context.Canceled))
		})
	}
}
