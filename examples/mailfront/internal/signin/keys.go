package signin

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// storeTimeout bounds a call to the store that has no context of a request.
const storeTimeout = 5 * time.Second

// isStoreError reports whether an error is about the store, and not about a value.
func isStoreError(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrSealed)
}

// A shared is a value that is the same on every node: the first node that needs it makes
// it.
type shared struct {
	store store.Store
	name  string
	make  func() ([]byte, error)

	mu    sync.Mutex
	value []byte // nil before it was needed
}

func (s *shared) get(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value != nil {
		return s.value, nil
	}
	value, err := s.store.Get(ctx, s.name)
	if errors.Is(err, store.ErrAbsent) {
		value, err = s.put(ctx)
	}
	if err != nil {
		return nil, err
	}
	s.value = value
	return value, nil
}

func (s *shared) put(ctx context.Context) ([]byte, error) {
	made, err := s.make()
	if err != nil {
		return nil, err
	}
	ok, err := s.store.PutIfAbsent(ctx, s.name, made, 0)
	if err != nil {
		return nil, err
	}
	if !ok { // another node was first
		return s.store.Get(ctx, s.name)
	}
	return made, nil
}

// A seal encrypts with a key of its own, so that what is sealed for one purpose cannot be
// opened for another. Its errors may be those of the store.
type seal struct{ key *shared }

func newSeal(st store.Store, purpose string) op.Crypto {
	return seal{&shared{store: st, name: "signin/seal/" + purpose, make: func() ([]byte, error) {
		key := make([]byte, 32)
		rand.Read(key)
		return key, nil
	}}}
}

func (s seal) crypto() (op.Crypto, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	key, err := s.key.get(ctx)
	if err != nil {
		return nil, err
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("signin: the value of %q has %d bytes: want 32; delete it", s.key.name, len(key))
	}
	return op.NewAES256GCMCrypto([32]byte(key), ""), nil
}

func (s seal) Encrypt(text string) (string, error) {
	c, err := s.crypto()
	if err != nil {
		return "", err
	}
	return c.Encrypt(text)
}

func (s seal) Decrypt(text string) (string, error) {
	c, err := s.crypto()
	if err != nil {
		return "", err
	}
	return c.Decrypt(text)
}

// tokenHead is the beginning of every token of a seal: a JWE (RFC 7516 section 3.1), up to
// the random part of its header. The last character would have some of that.
var tokenHead = func() string {
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"A256GCMKW","enc":"A256GCM","iv":"`))
	return head[:len(head)-1]
}()

// looksLikeToken reports whether a token could be one of ours that was made with an earlier
// key.
func looksLikeToken(token string) bool {
	return strings.HasPrefix(token, tokenHead) && strings.Count(token, ".") == 4
}

// A signingKey signs ID tokens, and is published without its private half.
type signingKey struct {
	id  string
	key any
}

func (k *signingKey) ID() string                                  { return k.id }
func (k *signingKey) Key() any                                    { return k.key }
func (k *signingKey) Use() string                                 { return "sig" }
func (k *signingKey) Algorithm() jose.SignatureAlgorithm          { return jose.RS256 }
func (k *signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

func newSigningKey(st store.Store) *shared {
	return &shared{store: st, name: "signin/key", make: func() ([]byte, error) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("signin: cannot make a key for ID tokens: %w", err)
		}
		return x509.MarshalPKCS8PrivateKey(key)
	}}
}

// signingKey returns the key, which a start need not wait for: making it takes a moment.
func (s *storage) signingKey(ctx context.Context) (*signingKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signing != nil {
		return s.signing, nil
	}
	b, err := s.key.get(ctx)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("signin: the value of %q is not a key: delete it: %w", s.key.name, err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signin: the value of %q is a %T: want an RSA key; delete it", s.key.name, parsed)
	}
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	s.signing = &signingKey{base64.RawURLEncoding.EncodeToString(sum[:16]), key}
	return s.signing, nil
}

func (s *storage) SigningKey(ctx context.Context) (op.SigningKey, error) {
	k, err := s.signingKey(ctx)
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *storage) KeySet(ctx context.Context) ([]op.Key, error) {
	k, err := s.signingKey(ctx)
	if err != nil {
		return nil, err
	}
	return []op.Key{&signingKey{k.id, &k.key.(*rsa.PrivateKey).PublicKey}}, nil
}
