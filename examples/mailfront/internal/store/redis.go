package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis is a [Store] in Redis 6.0 or later, or in Valkey. Every value and message is sealed. Names and
// the levels of token buckets are not: use [SecretName] for a name that would be a secret.
//
// The server may be a single one, or a primary with replicas behind one address. A Redis Cluster
// is not supported, because the scripts use several keys, which a cluster could keep on
// different servers.
type Redis struct {
	client *redis.Client
	seal   *sealer
	warn   string // warning about the URL

	admissions *batcher
}

// quiet discards the messages that go-redis writes to the standard error for every failed
// connection. The callers get the same errors. The logger is global to the program.
var quiet = sync.OnceFunc(func() { redis.SetLogger(noLog{}) })

type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

// keyPrefix is the prefix of every key and channel, so that other programs can use the same server.
const keyPrefix = "mailfront:"

// ioTimeout bounds each step of a command if the context allows more.
const ioTimeout = time.Second

// NewRedis returns a store at a URL: redis://user:password@host:port/database, rediss:// for
// TLS, or unix:///path. The first secret seals values. Values that were sealed with one of the
// other secrets can be read, and are then sealed again with the first.
//
// NewRedis does not connect. Call [Redis.Check] before the first use.
func NewRedis(rawURL string, secrets ...string) (*Redis, error) {
	seal, err := newSealer(secrets)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(rawURL)
	if err != nil { // the text of err contains the URL with the password
		return nil, errors.New("store: the URL cannot be parsed: want redis://host:port, rediss://host:port or unix:///path (MAILFRONT_STORE)")
	}
	opt, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("store: the URL %q: %w: want redis://host:port, rediss://host:port or unix:///path (MAILFRONT_STORE)", redacted(u), err)
	}
	quiet()
	opt.MaxRetries = -1 // a repeated write could undo a success whose reply was lost
	opt.DialerRetries = 1
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout, opt.PoolTimeout = ioTimeout, ioTimeout, ioTimeout, ioTimeout
	opt.ContextTimeoutEnabled = true
	opt.DisableIdentity = true // CLIENT SETINFO is newer than Redis 6.0
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(opt)
	r := &Redis{client: client, seal: seal, admissions: newBatcher(client)}
	if u.Scheme == "redis" && !isLoopback(u.Hostname()) {
		r.warn = fmt.Sprintf("the connection to %s is not encrypted: use rediss:// (MAILFRONT_STORE)", redacted(u))
	}
	return r, nil
}

// redacted returns the URL without its query, which may also contain a password.
func redacted(u *url.URL) string {
	c := *u
	c.RawQuery, c.Fragment = "", ""
	return c.Redacted()
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || host == "localhost" || err == nil && ip.IsLoopback()
}

// checkName and checkText are the name and text of the check value. Every node that has one of
// the secrets in use can open it.
const (
	checkValueName = "check"
	checkText      = "mailfront"
)

// Check connects, and verifies that the server can be used: its version, its eviction policy and
// persistence, and that its values were sealed with a secret of this node. The warnings are for
// the operator. The operator has to correct any error that is not [ErrUnavailable].
func (r *Redis) Check(ctx context.Context) (warnings []string, err error) {
	if r.warn != "" {
		warnings = append(warnings, r.warn)
	}
	server, err := r.client.Info(ctx, "server").Result()
	if err != nil {
		return warnings, unavailable(err)
	}
	version := infoField(server, "redis_version")
	if major, _, _ := strings.Cut(version, "."); len(major) == 1 && major < "6" {
		return warnings, fmt.Errorf("store: the server is Redis %s: want 6.0 or later", version)
	}
	memory, err := r.client.Info(ctx, "memory").Result()
	if err != nil {
		return warnings, unavailable(err)
	}
	if policy := infoField(memory, "maxmemory_policy"); strings.HasPrefix(policy, "allkeys-") {
		warnings = append(warnings, fmt.Sprintf("the store may evict the signing key and the set-up state: its maxmemory-policy is %s: set it to noeviction or volatile-ttl", policy))
	}
	persistence, err := r.client.Info(ctx, "persistence").Result()
	if err != nil {
		return warnings, unavailable(err)
	}
	if infoField(persistence, "aof_enabled") == "0" {
		warnings = append(warnings, "the store forgets its latest changes, or everything, when it is restarted: set appendonly yes, and appendfsync always to lose no change")
	}
	if _, err := r.PutIfAbsent(ctx, checkValueName, []byte(checkText), 0); err != nil {
		return warnings, err
	}
	if _, err := r.Get(ctx, checkValueName); err != nil && !errors.Is(err, ErrAbsent) {
		return warnings, err
	}
	return warnings, nil
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Get implements [Store].
func (r *Redis) Get(ctx context.Context, name string) ([]byte, error) {
	value, _, err := r.get(ctx, name)
	return value, err
}

// get returns the value and its sealed form. A value that was sealed with an older secret is
// sealed with the first one, so that the older secret can be removed.
func (r *Redis) get(ctx context.Context, name string) (value, sealed []byte, err error) {
	if err := checkName(name); err != nil {
		return nil, nil, err
	}
	sealed, err = r.client.Get(ctx, keyPrefix+name).Bytes()
	if err != nil {
		return nil, nil, readError(name, err)
	}
	value, old, err := r.seal.open(name, sealed)
	if err != nil || !old {
		return value, sealed, err
	}
	again := r.seal.seal(name, value)
	swapped, err := resealScript.Run(ctx, r.client, []string{keyPrefix + name}, sealed, again).Bool()
	if err == nil && swapped {
		sealed = again
	} // after an error the next reader seals it
	return value, sealed, nil
}

// PutIfAbsent implements [Store].
func (r *Redis) PutIfAbsent(ctx context.Context, name string, value []byte, ttl time.Duration) (bool, error) {
	if err := checkValue(name, value, ttl); err != nil {
		return false, err
	}
	ok, err := r.client.SetNX(ctx, keyPrefix+name, r.seal.seal(name, value), ttl).Result()
	return ok, unavailable(err)
}

// Take implements [Store].
func (r *Redis) Take(ctx context.Context, name string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	sealed, err := takeScript.Run(ctx, r.client, []string{keyPrefix + name}).Text()
	if err != nil {
		return nil, readError(name, err)
	}
	value, _, err := r.seal.open(name, []byte(sealed))
	return value, err
}

// CompareAndSwap implements [Store].
func (r *Redis) CompareAndSwap(ctx context.Context, name string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := checkValue(name, new, ttl); err != nil {
		return false, err
	}
	// The server compares sealed values. They also differ if another node has sealed the same value
	// again. In that case read the value once more.
	for {
		value, sealed, err := r.get(ctx, name)
		switch {
		case errors.Is(err, ErrAbsent):
			return false, nil
		case err != nil:
			return false, err
		case !bytes.Equal(value, old):
			return false, nil
		}
		swapped, err := swapScript.Run(ctx, r.client, []string{keyPrefix + name}, sealed, r.seal.seal(name, new), ttl.Milliseconds()).Bool()
		if err != nil && !errors.Is(err, redis.Nil) {
			return false, unavailable(err)
		}
		if swapped {
			return true, nil
		}
	}
}

// Delete implements [Store].
func (r *Redis) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return unavailable(r.client.Del(ctx, keyPrefix+name).Err())
}

// List implements [Store].
func (r *Redis) List(ctx context.Context, prefix string, limit int) ([]Entry, error) {
	if err := checkName(prefix); err != nil {
		return nil, err
	}
	var list []Entry
	seen := make(map[string]bool) // SCAN may return a key more than once
	pattern := keyPrefix + globEscaper.Replace(prefix) + "*"
	keys := r.client.Scan(ctx, 0, pattern, 1000).Iterator()
	for len(list) < limit && keys.Next(ctx) {
		name := strings.TrimPrefix(keys.Val(), keyPrefix)
		if seen[name] {
			continue
		}
		seen[name] = true
		value, err := r.Get(ctx, name)
		if errors.Is(err, ErrAbsent) {
			continue // expired since
		}
		sealed := errors.Is(err, ErrSealed)
		if err != nil && !sealed {
			return nil, err
		}
		list = append(list, Entry{Name: name, Value: value, Sealed: sealed})
	}
	return list, unavailable(keys.Err())
}

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`)

// Admit implements [Store].
func (r *Redis) Admit(ctx context.Context, client string, charges ...Charge) (Admission, error) {
	if err := checkCharges(client, charges); err != nil {
		return Admission{}, err
	}
	ban := BanName(client)
	keys := []string{keyPrefix + ban}
	var args []any
	for _, c := range charges {
		keys = append(keys, keyPrefix+BucketName(c.Bucket))
		args = append(args, c.refill().Microseconds(), (c.Every * time.Duration(c.Cost)).Microseconds(), c.Owed)
	}
	if err := ctx.Err(); err != nil {
		return Admission{}, unavailable(err)
	}
	answer, err := r.admissions.call(ctx, keys, args)
	if err != nil {
		return Admission{}, err
	}
	if len(answer) == 0 {
		return Admission{}, fmt.Errorf("%w: the admission is empty", ErrUnavailable)
	}
	if sealed, ok := answer[0].(string); ok && sealed != "" {
		value, _, err := r.seal.open(ban, []byte(sealed))
		return Admission{Ban: value}, err
	}
	if len(answer) != len(keys) {
		return Admission{}, fmt.Errorf("%w: the admission has %d parts, want %d", ErrUnavailable, len(answer), len(keys))
	}
	var a Admission
	for _, part := range answer[1:] {
		wait, _ := part.(int64)
		a.Wait = append(a.Wait, time.Duration(wait)*time.Microsecond)
	}
	return a, nil
}

// sealedTopic returns the name that authenticates a message. It differs from the name of every value,
// because names have no zero byte.
func sealedTopic(topic string) string { return "topic\x00" + topic }

// Publish implements [Store].
func (r *Redis) Publish(ctx context.Context, topic string, message []byte) error {
	if err := checkValue(topic, message, 0); err != nil {
		return err
	}
	return unavailable(r.client.Publish(ctx, keyPrefix+topic, r.seal.seal(sealedTopic(topic), message)).Err())
}

// Subscribe implements [Store]. It reopens a lost connection.
func (r *Redis) Subscribe(ctx context.Context, topic string, receive func([]byte)) error {
	if err := checkName(topic); err != nil {
		return err
	}
	sub := r.client.Subscribe(ctx, keyPrefix+topic)
	defer sub.Close()
	events := sub.ChannelWithSubscriptions()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-events:
			if !ok {
				<-ctx.Done()
				return ctx.Err()
			}
			switch e := e.(type) {
			case *redis.Subscription:
				receive(nil)
			case *redis.Message:
				message, _, err := r.seal.open(sealedTopic(topic), []byte(e.Payload))
				if err != nil {
					message = nil // sealed with another secret; reading the values reports it
				}
				receive(message)
			}
		}
	}
}

// Close implements [Store].
func (r *Redis) Close() error {
	r.admissions.close()
	return r.client.Close()
}

func readError(name string, err error) error {
	if errors.Is(err, redis.Nil) {
		return fmt.Errorf("%w: %q", ErrAbsent, name)
	}
	return unavailable(err)
}

// unavailable wraps any error of the connection or the server, such as LOADING, READONLY or OOM.
// None of them means that a name is absent.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, op.Addr, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
