// Package store keeps the data that the nodes of mailfront share: sign-ins, bans, rate limits
// and the set-up. [Memory] is for a single node. [Redis] keeps the data in a Redis or Valkey
// server for several nodes.
//
// A name that is absent ([ErrAbsent]) and a store that cannot be reached ([ErrUnavailable]) are
// different results. A caller that treats the second like the first signs users out, forgets
// bans or repeats the set-up.
//
// Copy with it: nothing.
//
// Change the prefix of the names in redis.go, and the label of the secret in seal.go.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Store keeps values under names, for one node or for several.
//
// Names have 1 to 255 bytes of printable ASCII without spaces. Values have at most 1 MiB.
// Methods may be called concurrently. An error that is not [ErrAbsent] and not about the
// arguments wraps [ErrUnavailable] or [ErrSealed]. After ErrUnavailable a write may have taken
// effect. The store never repeats a write.
type Store interface {
	// Get returns the value of a name, or ErrAbsent.
	Get(ctx context.Context, name string) ([]byte, error)

	// PutIfAbsent stores a value and reports whether it did: it does not if the
	// name has a value. The value is removed after ttl; 0 keeps it.
	PutIfAbsent(ctx context.Context, name string, value []byte, ttl time.Duration) (bool, error)

	// Take returns the value of a name and removes it in one step. Of several callers one gets the
	// value, and the others get ErrAbsent.
	Take(ctx context.Context, name string) ([]byte, error)

	// CompareAndSwap replaces the value of a name if it is old, and reports
	// whether it did. The new value is removed after ttl; 0 keeps it.
	CompareAndSwap(ctx context.Context, name string, old, new []byte, ttl time.Duration) (bool, error)

	// Delete removes a name. It is not an error if the name is absent.
	Delete(ctx context.Context, name string) error

	// List returns the entries whose names begin with prefix, at most limit, in
	// no particular order. It includes entries that cannot be opened (Entry.Sealed).
	List(ctx context.Context, prefix string, limit int) ([]Entry, error)

	// Admit decides in one step whether a client may go on. If BanName(client) has a value, the client
	// is banned and nothing is charged. Otherwise each bucket with enough left is charged.
	Admit(ctx context.Context, client string, charges ...Charge) (Admission, error)

	// Publish sends a message to every subscriber of a topic. Delivery is not
	// guaranteed: subscribers also read the values again from time to time.
	Publish(ctx context.Context, topic string, message []byte) error

	// Subscribe calls receive with each message of a topic until ctx ends, and
	// returns the error of ctx. It calls receive with nil when messages may have
	// been missed: at the start, and after a lost connection.
	Subscribe(ctx context.Context, topic string, receive func(message []byte)) error

	// Close releases the connections. No other method may be called after it.
	Close() error
}

// Entry is a name and its value.
type Entry struct {
	Name   string
	Value  []byte // nil if Sealed
	Sealed bool   // the value cannot be opened; see [ErrSealed]
}

// Limit is a token bucket: it allows Burst charges at once, and one more after each Every.
type Limit struct {
	Burst int           // at least 1
	Every time.Duration // at least 1 µs
}

// Charge is a charge to a bucket.
type Charge struct {
	Bucket string // name of the bucket, with the rules for names of values
	Limit
	Cost int // 1 to Burst

	// Owed is set for an event that has already happened. It is charged even if the bucket has too
	// little, which then takes longer to refill. A bucket owes at most Burst.
	Owed bool
}

// Admission is the result of [Store.Admit].
type Admission struct {
	Ban  []byte          // the value of the ban; nil if the client is not banned
	Wait []time.Duration // for each charge: 0 if its bucket had enough, otherwise the time until it would have
}

// OK reports whether the client is not banned and every bucket had enough.
func (a Admission) OK() bool {
	return a.Ban == nil && !slices.ContainsFunc(a.Wait, func(wait time.Duration) bool { return wait > 0 })
}

var (
	// ErrAbsent is returned when a name has no value.
	ErrAbsent = errors.New("store: the name has no value")

	// ErrUnavailable is returned when the store cannot be reached or does not work at the moment.
	// Nothing is known about the value.
	ErrUnavailable = errors.New("store: not available")

	// ErrSealed is returned when a value cannot be opened with any of the secrets. Either this node
	// lacks a secret of the other nodes, or the secret of the value was removed on all nodes.
	ErrSealed = errors.New("store: a value was sealed with a secret that is not in MAILFRONT_SECRET")
)

const (
	maxName  = 255
	maxValue = 1 << 20
)

// BanName returns the name of a client's ban.
func BanName(client string) string { return BanPrefix + client }

// BanPrefix is the prefix of the names of all bans, for [Store.List].
const BanPrefix = "ban/"

// BucketName returns the name with which [Store.Delete] refills a bucket. Buckets have no
// values, and no other method finds them.
func BucketName(bucket string) string { return bucketPrefix + bucket }

const bucketPrefix = "bucket/"

// SecretName returns the name of a value that is found by a secret, such as a code or a token.
// The secret cannot be derived from the name.
func SecretName(kind, secret string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + secret))
	return kind + "/" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("store: the name %.40q has %d bytes: want 1 to %d", name, len(name), maxName)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f {
			return fmt.Errorf("store: the name %q has the byte %#02x: want printable ASCII without spaces", name, c)
		}
	}
	return nil
}

// checkValue rejects invalid values, and a ttl that Redis would reject or round to no expiry.
func checkValue(name string, value []byte, ttl time.Duration) error {
	switch {
	case len(value) > maxValue:
		return fmt.Errorf("store: the value of %q has %d bytes: want at most %d", name, len(value), maxValue)
	case ttl < 0 || ttl > 0 && ttl < time.Millisecond:
		return fmt.Errorf("store: the ttl of %q is %v: want 0 or at least 1ms", name, ttl)
	}
	return checkName(name)
}

func checkCharges(client string, charges []Charge) error {
	for _, c := range charges {
		if c.Burst < 1 || c.Every < time.Microsecond || c.Cost < 1 || c.Cost > c.Burst {
			return fmt.Errorf("store: the charge %+v: want Burst of 1 or more, Every of 1µs or more, and Cost of 1 to Burst", c)
		}
		if c.Every > maxRefill/time.Duration(c.Burst) {
			return fmt.Errorf("store: the charge %+v is to a bucket that takes longer than %v to refill", c, maxRefill)
		}
		if err := checkName(BucketName(c.Bucket)); err != nil {
			return err
		}
	}
	return checkName(BanName(client))
}

// maxRefill bounds Burst × Every, so that times in microseconds are exact in the floating-point
// numbers of Redis scripts.
const maxRefill = 365 * 24 * time.Hour
