package store

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// minSecret is the minimum length of a secret in bytes: 256 random bits.
const minSecret = 32

// sealer encrypts values before they leave the process. The name of a value is authenticated
// with it, so that a value cannot be moved to another name.
type sealer struct {
	keys []cipher.AEAD // the first key seals, all keys open
}

// newSealer derives a key from each secret by HKDF (RFC 5869).
func newSealer(secrets []string) (*sealer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("store: a shared store needs a secret (MAILFRONT_SECRET)")
	}
	s := new(sealer)
	for i, secret := range secrets {
		if len(secret) < minSecret {
			return nil, fmt.Errorf("store: secret %d of %d has %d bytes: want at least %d random ones (MAILFRONT_SECRET)", i+1, len(secrets), len(secret), minSecret)
		}
		key, err := hkdf.Key(sha256.New, []byte(secret), nil, "portico mailfront store 1", chacha20poly1305.KeySize)
		if err != nil {
			return nil, fmt.Errorf("store: secret %d of %d: %w", i+1, len(secrets), err)
		}
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			return nil, fmt.Errorf("store: secret %d of %d: %w", i+1, len(secrets), err)
		}
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

// seal encrypts with the first secret and a nonce of 192 bits, which is long enough to be random
// for any number of values.
func (s *sealer) seal(name string, value []byte) []byte {
	aead := s.keys[0]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(value)+aead.Overhead())
	rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, value, []byte(name))
}

// open decrypts with one of the secrets. If it is not the first, old is true.
func (s *sealer) open(name string, sealed []byte) (value []byte, old bool, err error) {
	if len(sealed) >= chacha20poly1305.NonceSizeX {
		nonce, text := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
		for i, aead := range s.keys {
			if value, err := aead.Open([]byte{}, nonce, text, []byte(name)); err == nil {
				return value, i > 0, nil
			}
		}
	}
	return nil, false, fmt.Errorf("%w: %q", ErrSealed, name)
}
