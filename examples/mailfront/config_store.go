// Copy readStore, which reads a URL and a secret that no error, log line or -help quotes. No
// changes are needed.

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

func storeSettings() []settings.Setting {
	return []settings.Setting{
		{Name: "STORE", Usage: "Redis 6.0 or later, or Valkey, shared by several nodes: redis://user:password@host:port/database, rediss:// for TLS, or unix:///path; sign-ins, limits, bans and the set-up are kept there; use the variable, others can see flags (default: the memory of this process, for a single node)"},
		{Name: "SECRET", Usage: "secrets of 32 bytes or more, separated by commas or blanks, that encrypt the values in STORE; the first secret encrypts, and each of them decrypts; required with STORE, and the same on every node; use the variable, others can see flags"},
	}
}

// memorySize is the maximum number of values in memory without a shared store.
const memorySize = 1 << 14

// checkTimeout bounds how long a start waits for the store.
const checkTimeout = 2 * time.Second

// readStore opens the store without connecting to it. The values of its settings are secrets.
func (cfg *config) readStore(values *settings.Values) error {
	url, secret := values.Get("STORE"), values.Get("SECRET")
	secrets := strings.FieldsFunc(secret.Text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if url.Text == "" {
		cfg.store = store.NewMemory(memorySize)
		return nil
	}
	if len(secrets) == 0 {
		return fmt.Errorf("mailfront: %s is set, and %s is not: set it to 32 random bytes or more, such as the output of openssl rand -base64 32, on every node", url.From, secret.From)
	}
	redis, err := store.NewRedis(url.Text, secrets...)
	if err != nil {
		return fmt.Errorf("mailfront: %s, %s: %w", url.From, secret.From, err)
	}
	cfg.store, cfg.redis = redis, redis
	return nil
}

// checkStore connects to the shared store. It returns nil if the error is store.ErrUnavailable:
// the node starts and waits for the store. The operator has to correct any other error.
func (f *frontend) checkStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	warnings, err := f.cfg.redis.Check(ctx)
	if err == nil && !f.checked {
		f.checked = true
		for _, warning := range warnings {
			f.log.Warn("the store", "event", "store_warning", "setting", "MAILFRONT_STORE", "reason", warning)
		}
	}
	if errors.Is(err, store.ErrSealed) {
		return fmt.Errorf("mailfront: MAILFRONT_STORE: %w: add the secret of the other nodes to MAILFRONT_SECRET, or use an empty database", err)
	}
	if err != nil {
		return fmt.Errorf("mailfront: MAILFRONT_STORE: %w", err)
	}
	return nil
}
