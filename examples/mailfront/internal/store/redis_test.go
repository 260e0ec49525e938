package store

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store/storetest"
)

const testSecret = storetest.Secret

// server is a redis-server that opens stores.
type server struct {
	*storetest.Server
	t *testing.T
}

func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	return &server{storetest.Start(t, args...), t}
}

// open returns a store on the server.
func (s *server) open(secrets ...string) *Redis {
	s.t.Helper()
	r, err := NewRedis(s.URL(), secrets...)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { r.Close() })
	return r
}

func TestRedis(t *testing.T) {
	s := startServer(t)
	for _, c := range conformance {
		t.Run(c.behaviour, func(t *testing.T) {
			r := s.open(testSecret)
			require.NoError(t, r.client.FlushAll(t.Context()).Err())
			c.test(t, r)
		})
	}
	t.Run("uses no command newer than Redis 6.0", func(t *testing.T) {
		r := s.open(testSecret)
		_, err := r.Check(t.Context())
		require.NoError(t, err)
		commands := usedCommands(t, r)
		assert.Contains(t, commands, "evalsha")
		for _, name := range commands {
			since := commandSince(t, r, name)
			assert.LessOrEqual(t, since, "6.0.0", "%s needs Redis %s", name, since)
		}
	})
}

// usedCommands returns the commands that the server has executed, including those of scripts.
func usedCommands(t *testing.T, r *Redis) (commands []string) {
	t.Helper()
	stats, err := r.client.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	for line := range strings.Lines(stats) {
		if name, ok := strings.CutPrefix(line, "cmdstat_"); ok {
			name, _, _ = strings.Cut(name, ":")
			commands = append(commands, name)
		}
	}
	return commands
}

func commandSince(t *testing.T, r *Redis, name string) string {
	t.Helper()
	name, _, _ = strings.Cut(name, "|") // a subcommand
	docs, err := r.client.Do(t.Context(), "COMMAND", "DOCS", name).Result()
	require.NoError(t, err)
	fields := docs.(map[any]any)[name].(map[any]any)
	return fields["since"].(string)
}

func TestScriptsWorkOnRedis60(t *testing.T) {
	for name, source := range map[string]string{"take": takeSource, "swap": swapSource, "reseal": resealSource, "admit": admitSource} {
		for _, newer := range []string{"GETDEL", "GETEX", "EXAT", "PXAT", "'NX', 'GET'"} {
			assert.NotContains(t, source, newer, name)
		}
	}
}

// The operator of the store, and a reader of its backup, learn no secret.
func TestNothingReadableIsStored(t *testing.T) {
	s := startServer(t)
	r := s.open(testSecret)
	secrets := []string{"the-value-of-a-token", "the-code-in-a-name", "the-new-value", "the-message"}
	mustPut(t, r, "key", []byte(secrets[0]), 0)
	mustPut(t, r, SecretName("code", secrets[1]), []byte("grant"), 0)
	_, err := r.CompareAndSwap(t.Context(), "key", []byte(secrets[0]), []byte(secrets[2]), 0)
	require.NoError(t, err)

	tap := r.client.Subscribe(t.Context(), keyPrefix+"topic")
	defer tap.Close()
	_, err = tap.Receive(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.Publish(t.Context(), "topic", []byte(secrets[3])))
	message, err := tap.ReceiveMessage(t.Context())
	require.NoError(t, err)

	dump := message.Payload
	keys, err := r.client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 2)
	for _, key := range keys {
		value, err := r.client.Get(t.Context(), key).Result()
		require.NoError(t, err)
		dump += key + value
	}
	for _, secret := range append(secrets, testSecret, "grant") {
		assert.NotContains(t, dump, secret)
	}
}

func TestSealedValues(t *testing.T) {
	const older, newer, foreign = "0 a secret of thirty-two bytes or more", "1 a secret of thirty-two bytes or more", "2 a secret of thirty-two bytes or more"
	s := startServer(t)
	ctx := t.Context()
	old := s.open(older)
	mustPut(t, old, "key", []byte("value"), 0)
	mustPut(t, old, "code", []byte("value"), time.Hour)
	_, err := old.Check(ctx)
	require.NoError(t, err)

	t.Run("another secret is an error, not an absence", func(t *testing.T) {
		r := s.open(foreign)
		for method, err := range map[string]error{
			"Get": errOf(r.Get(ctx, "key")),
			"CAS": errOf(r.CompareAndSwap(ctx, "key", []byte("value"), []byte("new"), 0)),
		} {
			assert.ErrorIs(t, err, ErrSealed, method)
			assert.NotErrorIs(t, err, ErrAbsent, method)
			assert.NotErrorIs(t, err, ErrUnavailable, method)
			assert.ErrorContains(t, err, "MAILFRONT_SECRET", method)
		}
		list, err := r.List(ctx, "key", 1)
		assert.NoError(t, err)
		assert.Equal(t, []Entry{{Name: "key", Sealed: true}}, list)
		_, err = r.Check(ctx)
		assert.ErrorIs(t, err, ErrSealed, "the check value stops the node at its start")
	})
	t.Run("a value cannot be moved to another name", func(t *testing.T) {
		require.NoError(t, old.client.Copy(ctx, keyPrefix+"key", keyPrefix+"moved", 0, true).Err())
		_, err := old.Get(ctx, "moved")
		assert.ErrorIs(t, err, ErrSealed)
	})
	t.Run("a changed or short value is not opened", func(t *testing.T) {
		sealed := old.seal.seal("bad", []byte("value"))
		for cut := range sealed {
			_, _, err := old.seal.open("bad", sealed[:cut])
			assert.ErrorIs(t, err, ErrSealed)
			changed := bytes.Clone(sealed)
			changed[cut] ^= 1
			_, _, err = old.seal.open("bad", changed)
			assert.ErrorIs(t, err, ErrSealed)
		}
	})
	t.Run("a list of secrets opens all, and reading seals with the first", func(t *testing.T) {
		both := s.open(newer, older)
		for _, name := range []string{"key", "code"} {
			assertValue(t, both, name, "value")
			assertValue(t, s.open(newer), name, "value")
			_, err := old.Get(ctx, name)
			assert.ErrorIs(t, err, ErrSealed)
		}
		ttl, err := both.client.TTL(ctx, keyPrefix+"code").Result()
		require.NoError(t, err)
		assert.Greater(t, ttl, 59*time.Minute, "sealing again keeps the expiry")
		_, err = both.Check(ctx)
		require.NoError(t, err)
		_, err = old.Check(ctx)
		assert.ErrorIs(t, err, ErrSealed, "a node that misses the new secret")
	})
}

func TestSecretsAndURLsThatAreRefused(t *testing.T) {
	const good = testSecret
	for _, c := range []struct {
		behaviour, url string
		secrets        []string
		want           string
	}{
		{behaviour: "no secret", url: "redis://127.0.0.1", want: "MAILFRONT_SECRET"},
		{behaviour: "short secret", url: "redis://127.0.0.1", secrets: []string{good, strings.Repeat("x", minSecret-1)}, want: "secret 2 of 2 has 31 bytes"},
		{behaviour: "no URL", url: "", secrets: []string{good}, want: "want redis://"},
		{behaviour: "other scheme", url: "http://user:hunter2@127.0.0.1", secrets: []string{good}, want: "want redis://"},
		{behaviour: "bad escape", url: "redis://user:hunter2%zz@127.0.0.1", secrets: []string{good}, want: "want redis://"},
		{behaviour: "bad database", url: "redis://user:hunter2@127.0.0.1/x?password=hunter2", secrets: []string{good}, want: "want redis://"},
		{behaviour: "bad option", url: "redis://user:hunter2@127.0.0.1?pool_size=hunter", secrets: []string{good}, want: "want redis://"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			_, err := NewRedis(c.url, c.secrets...)
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "hunter2", "the password")
			for _, secret := range c.secrets {
				assert.NotContains(t, err.Error(), secret)
			}
		})
	}
}

func TestCheckWarns(t *testing.T) {
	s := startServer(t)
	r := s.open(testSecret)
	for policy, want := range map[string]int{"noeviction": 0, "volatile-lru": 0, "allkeys-lru": 1, "allkeys-random": 1} {
		require.NoError(t, r.client.ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
		warnings, err := r.Check(t.Context())
		require.NoError(t, err)
		require.Len(t, warnings, want+1, policy)
		assert.Contains(t, warnings[want], "appendonly")
		if want > 0 {
			assert.Contains(t, warnings[0], policy)
		}
	}
	require.NoError(t, r.client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	require.NoError(t, r.client.ConfigSet(t.Context(), "appendonly", "yes").Err())
	warnings, err := r.Check(t.Context())
	require.NoError(t, err)
	assert.Empty(t, warnings)
	for url, want := range map[string]bool{
		"redis://192.0.2.1:6379":     true,
		"redis://valkey:6379":        true,
		"redis://127.0.0.9:6379":     false,
		"redis://[::1]:6379":         false,
		"redis://localhost":          false,
		"rediss://192.0.2.1:6379":    false,
		"unix:///run/redis/any.sock": false,
	} {
		r, err := NewRedis(url, testSecret)
		require.NoError(t, err)
		assert.Equal(t, want, strings.Contains(r.warn, "rediss://"), url)
		r.Close()
	}
}

func TestBucketsLeaveNothingBehind(t *testing.T) {
	s := startServer(t)
	r := s.open(testSecret)
	for i := range 1000 {
		mustAdmit(t, r, fmt.Sprint(i), Limit{Burst: 10, Every: 20 * time.Millisecond})
	}
	waitFor(t, func() bool { n, err := r.client.DBSize(t.Context()).Result(); return err == nil && n == 0 })
}
