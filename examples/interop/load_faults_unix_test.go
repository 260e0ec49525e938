//go:build unix

package interop

import (
	"errors"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/internal/nodes"
)

// The store is paused, killed and restarted, and a node is killed, while clients come and go.
// Mail and pages never fail, sign-in fails with the documented status, and the nodes recover
// without a restart.
func TestStoreAndNodeFaults(t *testing.T) {
	haproxyBinary(t)
	r := startRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	n := startNodes(t, sharedStore(r)...)
	p := startHAProxy(t, n.all[0], "load-balanced.cfg", n.set(t, "haproxy", "load-balanced.cfg"))
	s := signInThrough(t, p)
	recovers := func(t *testing.T, what string) {
		t.Helper()
		var err error
		require.Eventually(t, func() bool { err = s.Run(t.Context()); return err == nil }, timeout, 50*time.Millisecond, "%s", what)
		require.NoError(t, err)
	}
	// refused signs in and expects the answer of a node whose store is unreachable.
	refused := func(t *testing.T) {
		t.Helper()
		began := time.Now()
		err := s.Run(t.Context())
		took := time.Since(began)
		var e *nodes.Refused
		require.True(t, errors.As(err, &e), "%v", err)
		require.Equal(t, http.StatusServiceUnavailable, e.Status, "%v", err)
		require.NotEmpty(t, e.RetryAfter, "%v", err)
		require.Less(t, took, 3*time.Second, "two requests at most, of 2 s together")
	}
	require.NoError(t, s.Run(t.Context()))
	stop := keepVisiting(t.Context(), map[string]call{"mail": mailVisit(p), "web": webVisit(t, p)})

	t.Run("the store hangs", func(t *testing.T) {
		require.NoError(t, r.Process().Signal(syscall.SIGSTOP))
		t.Cleanup(func() { r.Process().Signal(syscall.SIGCONT) })
		refused(t)
		require.NoError(t, r.Process().Signal(syscall.SIGCONT))
		recovers(t, "after SIGCONT")
	})
	t.Run("the store is gone", func(t *testing.T) {
		r.Stop()
		refused(t)
		require.NoError(t, r.Start())
		recovers(t, "after the start")
	})
	// Answered writes are on the disk, first the code and then the refresh token.
	for step, name := range map[int]string{2: "code", 4: "refresh token"} {
		t.Run("the store is killed after it has the "+name, func(t *testing.T) {
			interrupted := s
			interrupted.Before = func(now int) {
				if now == step {
					r.Stop()
					require.NoError(t, r.Start())
				}
			}
			do := interrupted.Do
			interrupted.Do = func(step int, request *http.Request) (*http.Response, error) {
				return untilTheStoreIsBack(t, func() (*http.Response, error) {
					again := request.Clone(request.Context())
					if request.GetBody != nil {
						var err error
						again.Body, err = request.GetBody()
						require.NoError(t, err)
					}
					return do(step, again)
				})
			}
			require.NoError(t, interrupted.Run(t.Context()))
		})
	}
	visits, failed := stop()
	require.Empty(t, failed, "of %d visits", visits)
	require.NotZero(t, visits)

	// The sessions of a killed node are lost, so there are no other clients.
	t.Run("a node is killed in the middle of a sign-in", func(t *testing.T) {
		interrupted := s
		interrupted.Before = func(step int) {
			if step == 2 {
				n.all[1].killed = true
				require.NoError(t, n.all[1].cmd.Process.Kill())
				<-n.all[1].ended
			}
		}
		require.NoError(t, interrupted.Run(t.Context()))
	})
}

// untilTheStoreIsBack repeats a request while the answer is 503, since a node needs a moment to
// reconnect to the store.
func untilTheStoreIsBack(t *testing.T, send func() (*http.Response, error)) (answer *http.Response, err error) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for late := time.After(timeout); ; {
		answer, err = send()
		if err != nil || answer.StatusCode != http.StatusServiceUnavailable {
			return answer, err
		}
		select {
		case <-late:
			return answer, err
		case <-again.C:
			answer.Body.Close()
		}
	}
}
