package signin

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// storeTimeout bounds the calls to the store without the context of a request, and the time in
// which the first call makes the keys. A busy machine needs more than a second for that.
const storeTimeout = 5 * time.Second

// isStoreError reports whether an error is an error of the store, and not of a value.
func isStoreError(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrSealed)
}

// A seal encrypts with a key that every node has. Its errors may be those of the store.
type seal struct {
	keys    *keys
	purpose string
}

func (s seal) crypto() (op.Crypto, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	ring, err := s.keys.current(ctx)
	if err != nil {
		return nil, err
	}
	return ring.seal(s.purpose)
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

// tokenHead is the beginning of every token of a seal: a JWE (RFC 7516 section 3.1), up to the random
// part of its header. The last character is omitted, because it contains random bits.
var tokenHead = func() string {
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"A256GCMKW","enc":"A256GCM","iv":"`))
	return head[:len(head)-1]
}()

// looksLikeToken reports whether a token may have been made by this server with an earlier key.
func looksLikeToken(token string) bool {
	return strings.HasPrefix(token, tokenHead) && strings.Count(token, ".") == 4
}

// A signingKey is a key that signs ID tokens, or is published without its private half.
type signingKey struct {
	id  string
	key any
}

func (k *signingKey) ID() string                                  { return k.id }
func (k *signingKey) Key() any                                    { return k.key }
func (k *signingKey) Use() string                                 { return "sig" }
func (k *signingKey) Algorithm() jose.SignatureAlgorithm          { return jose.RS256 }
func (k *signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

func (s *storage) SigningKey(ctx context.Context) (op.SigningKey, error) {
	ring, err := s.keys.current(ctx)
	if err != nil {
		return nil, err
	}
	signer := ring.signer(time.Now())
	return &signingKey{signer.id, signer.parsed}, nil
}

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

// KeySet returns every key of the ring: keys that sign now, will sign, or have signed.
func (s *storage) KeySet(ctx context.Context) (set []op.Key, err error) {
	ring, err := s.keys.current(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range ring.Keys {
		set = append(set, &signingKey{k.id, &k.parsed.PublicKey})
	}
	return set, nil
}
