package codec

import (
	"crypto/pbkdf2"
	"crypto/sha256"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/scrypt"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

// Bounds on what a store may ask for a passphrase to become a key. Plakar's
// defaults are 256 MiB and 4 passes (Argon2id), 32 MiB (scrypt), 100,000
// iterations (PBKDF2).
const (
	maxKDFMemory     = 2 << 30 // bytes
	maxKDFPasses     = 64
	maxKDFIterations = 20_000_000
)

// DeriveKey makes the store's key from a passphrase. It takes about a second
// and, with Plakar's defaults, 256 MiB.
func DeriveKey(k *format.KDF, passphrase []byte) ([]byte, error) {
	const size = 32
	if k.KeyLen != size || len(k.Salt) == 0 || len(k.Salt) > 1024 {
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "a key of %d bytes derived with a salt of %d bytes", k.KeyLen, len(k.Salt))
	}
	excessive := func(what string) error {
		return snapshot.Errorf(snapshot.ErrUnsafe, "the store's configuration asks for %s to derive its key, which no Plakar does: it may have been made to exhaust this host", what)
	}
	switch k.Name {
	case "ARGON2ID":
		if k.Memory > maxKDFMemory>>10 || k.Time < 1 || k.Time > maxKDFPasses || k.Threads < 1 || k.Threads > 255 {
			return nil, excessive("too much memory or time (Argon2id)")
		}
		return argon2.IDKey(passphrase, k.Salt, uint32(k.Time), uint32(k.Memory), uint8(k.Threads), size), nil
	case "SCRYPT":
		if k.N < 2 || k.R < 1 || k.P < 1 || k.P > maxKDFPasses || k.N > maxKDFMemory || k.R > maxKDFMemory || k.N*k.R > maxKDFMemory/128 {
			return nil, excessive("too much memory or time (scrypt)")
		}
		key, err := scrypt.Key(passphrase, k.Salt, int(k.N), int(k.R), int(k.P), size)
		if err != nil {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "parameters of scrypt: %w", err)
		}
		return key, nil
	case "PBKDF2":
		if k.Hash != "SHA256" {
			return nil, snapshot.Errorf(snapshot.ErrUnsupported, "PBKDF2 with %.40q", k.Hash)
		}
		if k.Iterations < 1 || k.Iterations > maxKDFIterations {
			return nil, excessive("too many iterations (PBKDF2)")
		}
		return pbkdf2.Key(sha256.New, string(passphrase), k.Salt, int(k.Iterations), size)
	}
	return nil, snapshot.Errorf(snapshot.ErrUnsupported, "key derivation %.40q is none that this build knows", k.Name)
}

// RightKey reports whether key is the one that the store was made with, by
// decrypting the store's canary.
func RightKey(e *format.Encryption, key []byte) (bool, error) {
	c, err := newCipher(e, key)
	if err != nil {
		return false, err
	}
	r, err := c.open(e.Canary)
	if err != nil {
		return false, nil
	}
	var b [64]byte
	_, err = r.Read(b[:])
	return err == nil, nil
}
