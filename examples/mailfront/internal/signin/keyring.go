package signin

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// A key is published for keyOverlap before it signs, and for keyOverlap after its last ID token has
// expired. A node whose key ring is older than keyOverlap publishes nothing.
const (
	keyPeriod  = 30 * 24 * time.Hour // from one key to the next
	keyOverlap = 24 * time.Hour
)

// keyringName is the name of the key ring in the store. It never expires.
const keyringName = "signin/keys"

// A keyring has the keys with which every node can continue the sign-ins of all nodes. The first node
// creates it.
type keyring struct {
	ID       string `json:"id"`       // random
	Revision int    `json:"revision"` // number of rotations
	Seal     []byte `json:"seal"`     // 32 bytes, from which the keys of all seals are derived
	Keys     []key  `json:"keys"`     // for ID tokens, oldest first; at least one

	raw  []byte // the encoded ring in the store
	read time.Time
}

// A key signs from the time From until the next key begins to sign.
type key struct {
	Private []byte    `json:"private"` // PKCS #8
	From    time.Time `json:"from"`

	parsed *rsa.PrivateKey
	id     string
}

func newKey(from time.Time) (key, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return key{}, fmt.Errorf("signin: cannot make a key for ID tokens: %w", err)
	}
	k := key{From: from}
	if k.Private, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return key{}, err
	}
	return k, k.parse()
}

func (k *key) parse() error {
	parsed, err := x509.ParsePKCS8PrivateKey(k.Private)
	if err != nil {
		return err
	}
	var ok bool
	if k.parsed, ok = parsed.(*rsa.PrivateKey); !ok {
		return fmt.Errorf("a %T: want an RSA key", parsed)
	}
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(&k.parsed.PublicKey))
	k.id = base64.RawURLEncoding.EncodeToString(sum[:16])
	return nil
}

// signer returns the key that signs at a time, which is the last key with an earlier From.
func (r *keyring) signer(now time.Time) *key {
	signer := &r.Keys[0]
	for i := range r.Keys {
		if !r.Keys[i].From.After(now) {
			signer = &r.Keys[i]
		}
	}
	return signer
}

// rotated returns the ring with the changes that are due at a time, or nil if no change is due.
func (r *keyring) rotated(now time.Time) (*keyring, error) {
	keys := slices.Clone(r.Keys)
	// A key is replaced when the next one begins, and its last ID token expires after that.
	for len(keys) > 1 && now.After(keys[1].From.Add(accessLifetime+keyOverlap)) {
		keys = keys[1:]
	}
	if last := keys[len(keys)-1]; !now.Before(last.From.Add(keyPeriod)) {
		next, err := newKey(now.Add(keyOverlap))
		if err != nil {
			return nil, err
		}
		keys = append(keys, next)
	}
	if len(keys) == len(r.Keys) && keys[0].id == r.Keys[0].id {
		return nil, nil
	}
	return (&keyring{ID: r.ID, Revision: r.Revision + 1, Seal: r.Seal, Keys: keys}).encoded()
}

func newKeyring(now time.Time) (*keyring, error) {
	k, err := newKey(now)
	if err != nil {
		return nil, err
	}
	r := &keyring{ID: rand.Text(), Revision: 1, Seal: make([]byte, 32), Keys: []key{k}}
	rand.Read(r.Seal)
	return r.encoded()
}

func (r *keyring) encoded() (_ *keyring, err error) {
	r.raw, err = json.Marshal(r)
	return r, err
}

func parseKeyring(raw []byte) (*keyring, error) {
	r := &keyring{raw: raw}
	err := json.Unmarshal(raw, r)
	if err == nil && (len(r.Keys) == 0 || len(r.Seal) != 32) {
		err = errors.New("a field is missing")
	}
	for i := range r.Keys {
		if err == nil {
			err = r.Keys[i].parse()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("signin: the value of %q in the store is damaged: restore the store, or delete it: %w", keyringName, err)
	}
	return r, nil
}

// seal returns the seal for a purpose. A value that is sealed for one purpose cannot be opened for
// another one.
func (r *keyring) seal(purpose string) (op.Crypto, error) {
	k, err := hkdf.Key(sha256.New, r.Seal, nil, "portico mailfront signin 1 "+purpose, 32)
	if err != nil {
		return nil, err
	}
	return op.NewAES256GCMCrypto([32]byte(k), ""), nil
}

// keys keeps the key ring of this node up to date with the ring in the store.
type keys struct {
	store    store.Store
	restored func(reason string) // called after the ring was written back to the store

	making sync.Mutex // held while keys are made, which takes a moment

	mu   sync.Mutex
	ring *keyring // the latest known ring; nil before the first use
}

func (k *keys) known() *keyring {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ring
}

// current returns the ring if it was read less than half of keyOverlap ago, and reads it
// otherwise. The ring then has every key that another node may sign with, even if the clocks
// differ by the other half.
func (k *keys) current(ctx context.Context) (*keyring, error) {
	if ring := k.known(); ring != nil && time.Since(ring.read) < keyOverlap/2 {
		return ring, nil
	}
	return k.refresh(ctx)
}

// canOpen reports whether this node can open the ring in the store.
//
// If it can, this node has the secret that is in use. A node reads the ring before it reads or writes
// a sign-in, and a value that is read is sealed again with the first secret of the node. Therefore a
// node that lacks the secret with which another node has sealed a sign-in cannot open the ring either.
func (k *keys) canOpen(ctx context.Context) bool {
	_, err := k.store.Get(ctx, keyringName)
	return err == nil
}

// refresh loads the ring of the store. It creates the first ring, restores a ring that has
// vanished, and rotates the keys if a change is due.
func (k *keys) refresh(ctx context.Context) (*keyring, error) {
	ring, err := k.read(ctx, k.known())
	if err != nil {
		return nil, err
	}
	ring.read = time.Now().Round(0) // Round removes the monotonic clock, which stops while the machine sleeps
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ring == nil || k.ring.ID != ring.ID || k.ring.Revision <= ring.Revision {
		k.ring = ring
	}
	return k.ring, nil
}

func (k *keys) read(ctx context.Context, known *keyring) (*keyring, error) {
	raw, err := k.store.Get(ctx, keyringName)
	if errors.Is(err, store.ErrAbsent) {
		if known == nil {
			return k.first(ctx)
		}
		return k.restore(ctx, known)
	}
	if err != nil {
		return nil, err
	}
	if known != nil && bytes.Equal(raw, known.raw) {
		ring := *known
		return k.rotate(ctx, &ring)
	}
	ring, err := parseKeyring(raw)
	if err != nil {
		return nil, err
	}
	if known != nil && known.ID == ring.ID && known.Revision > ring.Revision {
		// A node that was paused has restored an old ring, which lacks keys that sign.
		return k.swap(ctx, ring, known, "the store had older signing keys than this node")
	}
	return k.rotate(ctx, ring)
}

// first creates the ring if the store has none.
func (k *keys) first(ctx context.Context) (*keyring, error) {
	k.making.Lock()
	defer k.making.Unlock()
	raw, err := k.store.Get(ctx, keyringName)
	switch {
	case err == nil:
		return parseKeyring(raw) // stored by another request
	case !errors.Is(err, store.ErrAbsent):
		return nil, err
	}
	ring, err := newKeyring(time.Now())
	if err != nil {
		return nil, err
	}
	if known := k.known(); known != nil { // read in the meantime, and lost since
		return k.restore(ctx, known)
	}
	return k.put(ctx, ring, "")
}

func (k *keys) restore(ctx context.Context, known *keyring) (*keyring, error) {
	ring := *known
	return k.put(ctx, &ring, "the store has lost the signing keys, which have no expiry: it was emptied, or restarted without its data")
}

// put stores a ring. If another node stores a ring first, put returns that ring.
func (k *keys) put(ctx context.Context, ring *keyring, restored string) (*keyring, error) {
	ok, err := k.store.PutIfAbsent(ctx, keyringName, ring.raw, 0)
	if err != nil {
		return nil, err
	}
	if !ok {
		raw, err := k.store.Get(ctx, keyringName)
		if err != nil {
			return nil, err
		}
		return parseKeyring(raw)
	}
	k.report(restored)
	return ring, nil
}

func (k *keys) report(restored string) {
	if restored != "" && k.restored != nil {
		k.restored(restored)
	}
}

// rotate changes the keys if a change is due. One of several nodes makes the change.
func (k *keys) rotate(ctx context.Context, ring *keyring) (*keyring, error) {
	if !k.making.TryLock() {
		return ring, nil // another request makes the change
	}
	defer k.making.Unlock()
	next, err := ring.rotated(time.Now())
	if next == nil || err != nil {
		return ring, err
	}
	return k.swap(ctx, ring, next, "")
}

// swap replaces old by next in the store. If another node was first, the next refresh loads its ring.
// Until then old is sufficient, because new keys do not sign yet.
func (k *keys) swap(ctx context.Context, old, next *keyring, restored string) (*keyring, error) {
	ok, err := k.store.CompareAndSwap(ctx, keyringName, old.raw, next.raw, 0)
	if err != nil {
		return nil, err
	}
	if !ok {
		return old, nil
	}
	k.report(restored)
	copied := *next
	return &copied, nil
}
