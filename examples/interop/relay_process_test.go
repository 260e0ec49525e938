package interop

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A relayProcess is a running relay.
type relayProcess struct {
	*process
	address []string // of its listeners, in the order of their backends
}

// startRelayProcess starts a relay that trusts the proxy's address, on ports of the kernel's choice,
// in front of the backends.
func startRelayProcess(t *testing.T, backends []string, settings ...string) *relayProcess {
	t.Helper()
	needAddresses(t)
	path, err := relayBinary()
	require.NoError(t, err)
	cmd := exec.Command(path)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RELAY_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=50",
		"RELAY_TRUSTED_PROXIES="+proxyIP, "RELAY_GRACE=2s", "RELAY_BACKEND="+strings.Join(backends, ","))
	for _, s := range settings {
		cmd.Env = append(cmd.Env, "RELAY_"+s)
	}
	r := &relayProcess{process: startProcess(t, "relay", cmd)}
	t.Cleanup(func() {
		r.stop(t)
		if r.err != nil {
			t.Errorf("the relay ended with %v", r.err)
		}
		if text := r.stderr.String(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic") {
			t.Errorf("unexpected lines of the relay:\n%s", text)
		}
	})
	err = r.stdout.await(0, func(lines []string) bool {
		r.address = nil
		for _, line := range lines {
			if fields := strings.Fields(line); len(fields) > 1 && strings.Contains(fields[0], ":") {
				r.address = append(r.address, fields[0])
			}
		}
		return len(r.address) == len(backends)
	})
	require.NoError(t, err, "the relay prints no table of listeners")
	return r
}

// behindRelay returns m with the addresses of a relay, so that a proxy in front of it is in front of
// the relay. leadsTo replaces some of its listeners.
func behindRelay(t *testing.T, m *mailfront, leadsTo map[string]string, settings ...string) (*mailfront, *relayProcess) {
	t.Helper()
	var backends []string
	for _, name := range listenerNames {
		if to := leadsTo[name]; to != "" {
			name = to
		}
		backends = append(backends, m.address[name])
	}
	r := startRelayProcess(t, backends, settings...)
	behind := *m
	behind.address = make(map[string]string)
	for i, name := range listenerNames {
		behind.address[name] = r.address[i]
	}
	return &behind, r
}
