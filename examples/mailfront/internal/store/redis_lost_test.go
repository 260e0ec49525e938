package store

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dropReplies returns a socket that leads to the server. Once drop is set, commands arrive and
// the connection ends instead of the reply.
func dropReplies(t *testing.T, s *server, drop *atomic.Bool) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(s.Socket()), "lossy.sock")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("unix", s.Socket())
			if err != nil {
				c.Close()
				continue
			}
			go func() { io.Copy(b, c); b.Close() }()
			go func() {
				defer c.Close()
				defer b.Close()
				for reply := make([]byte, 4096); ; {
					n, err := b.Read(reply)
					if err != nil || drop.Load() {
						return
					}
					c.Write(reply[:n])
				}
			}()
		}
	}()
	return path
}

// A write whose reply is lost is done once, and is not reported as refused.
func TestALostReplyIsNotARefusal(t *testing.T) {
	s := startServer(t)
	direct := s.open(testSecret)
	ctx := t.Context()
	limit := Limit{Burst: 5, Every: time.Hour}
	for _, c := range []struct {
		write  string
		do     func(Store) error
		effect func(*testing.T)
	}{
		{
			write:  "PutIfAbsent",
			do:     func(r Store) error { return errOf(r.PutIfAbsent(ctx, "new", []byte("value"), 0)) },
			effect: func(t *testing.T) { assertValue(t, direct, "new", "value") },
		},
		{
			write:  "Delete",
			do:     func(r Store) error { return r.Delete(ctx, "key") },
			effect: func(t *testing.T) { assert.ErrorIs(t, errOf(direct.Get(ctx, "key")), ErrAbsent) },
		},
		{
			write:  "Take",
			do:     func(r Store) error { return errOf(r.Take(ctx, "key")) },
			effect: func(t *testing.T) { assert.ErrorIs(t, errOf(direct.Get(ctx, "key")), ErrAbsent) },
		},
		{
			write: "Admit",
			do:    func(r Store) error { return errOf(r.Admit(ctx, "a", Charge{Bucket: "a", Limit: limit, Cost: 1})) },
			effect: func(t *testing.T) {
				for range limit.Burst - 1 {
					assert.True(t, mustAdmit(t, direct, "a", limit).OK())
				}
				assert.False(t, mustAdmit(t, direct, "a", limit).OK(), "charged once")
			},
		},
	} {
		t.Run(c.write, func(t *testing.T) {
			require.NoError(t, direct.client.FlushAll(ctx).Err())
			mustPut(t, direct, "key", []byte("value"), 0)
			for _, script := range []string{takeSource, admitSource} {
				require.NoError(t, direct.client.ScriptLoad(ctx, script).Err())
			}
			var drop atomic.Bool
			lossy, err := NewRedis("unix://"+dropReplies(t, s, &drop), testSecret)
			require.NoError(t, err)
			defer lossy.Close()
			assertValue(t, lossy, "key", "value")
			drop.Store(true)
			err = c.do(lossy)
			assert.ErrorIs(t, err, ErrUnavailable)
			assert.False(t, errors.Is(err, ErrAbsent))
			c.effect(t)
		})
	}
}
