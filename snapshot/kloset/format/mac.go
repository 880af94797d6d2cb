package format

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/snapview/snapview/snapshot"
)

// A MAC names a resource: the keyed hash of its content, except for
// snapshots, states and packfiles, whose names may be random.
type MAC [32]byte

// String gives all 64 hexadecimal digits.
func (m MAC) String() string { return hex.EncodeToString(m[:]) }

// Short gives the 8 digits that plakar prints.
func (m MAC) Short() string { return hex.EncodeToString(m[:4]) }

// ParseMAC reads 64 hexadecimal digits, the name of a file in a store.
func ParseMAC(s string) (m MAC, ok bool) {
	if len(s) != 2*len(m) {
		return m, false
	}
	_, err := hex.Decode(m[:], []byte(s))
	return m, err == nil
}

// A Hasher computes a store's MACs. It may be used concurrently.
type Hasher struct {
	algorithm string
	key       [32]byte
	pool      sync.Pool // of hash.Hash: a BLAKE3 state has 8 KiB
}

// Hashing algorithms of a store.
const (
	BLAKE3 = "BLAKE3"
	SHA256 = "SHA256"
)

// NewHasher returns the Hasher of a store: key is the key derived from the
// passphrase, or nil for a store in plain text, which takes the hash of its
// RepositoryID for a key.
func NewHasher(algorithm string, key []byte, repository [16]byte) (*Hasher, error) {
	h := &Hasher{algorithm: algorithm}
	switch {
	case algorithm != BLAKE3 && algorithm != SHA256:
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "hashing algorithm %.40q is none that this build knows", algorithm)
	case key == nil && algorithm == BLAKE3:
		h.key = blake3.Sum256(repository[:])
	case key == nil:
		h.key = sha256.Sum256(repository[:])
	case len(key) != len(h.key):
		return nil, fmt.Errorf("a key of %d bytes", len(key))
	default:
		copy(h.key[:], key)
	}
	return h, nil
}

// New returns a hash that computes MACs.
func (h *Hasher) New() hash.Hash {
	if h.algorithm == SHA256 {
		return hmac.New(sha256.New, h.key[:])
	}
	b, err := blake3.NewKeyed(h.key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	return b
}

// Sum returns the MAC of b.
func (h *Hasher) Sum(b []byte) (m MAC) {
	s, ok := h.pool.Get().(hash.Hash)
	if !ok {
		s = h.New()
	}
	s.Reset()
	s.Write(b)
	s.Sum(m[:0])
	h.pool.Put(s)
	return m
}

// ConfigHash returns the hash that CONFIG's MAC is made with: always BLAKE3,
// keyed in an encrypted store, without a key in one in plain text.
func ConfigHash(key []byte) (hash.Hash, error) {
	if key == nil {
		return blake3.New(), nil
	}
	return blake3.NewKeyed(key)
}
