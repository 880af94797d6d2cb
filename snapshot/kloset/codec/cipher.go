package codec

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"errors"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

const (
	subkeySize = 32
	nonceSize  = 12
	frameExtra = nonceSize + aes.BlockSize // nonce before, tag after
	maxFrame   = 16 << 20
)

// A cipher decrypts blobs. A blob begins with a key of its own, wrapped with
// the store's; then come frames of up to a number of bytes of plain text, each
// a nonce, the cipher text and a tag (AES-256-GCM-SIV, no additional data).
type cipher struct {
	block stdcipher.Block // of the store's key
	kind  string
	frame int
}

// Ways to wrap a blob's key.
const (
	wrapKW  = "AES256-KW"
	wrapGCM = "AES256-GCM"
)

func newCipher(e *format.Encryption, key []byte) (*cipher, error) {
	if e.Data != "AES256-GCM-SIV" || e.Subkey != wrapKW && e.Subkey != wrapGCM {
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "encryption by %.40q with keys wrapped by %.40q is none that this build knows", e.Data, e.Subkey)
	}
	if e.Frame < 1 || e.Frame > maxFrame {
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "encrypted frames of %d bytes", e.Frame)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &cipher{block, e.Subkey, e.Frame}, nil
}

// open returns a reader of the plain text, which checks each frame's tag.
func (c *cipher) open(blob []byte) (io.Reader, error) {
	key, rest, err := c.subkey(blob)
	if err != nil {
		return nil, err
	}
	aead, err := subtle.NewAESGCMSIV(key)
	if err != nil {
		return nil, err
	}
	return &frames{aead: aead, size: c.frame + frameExtra, rest: rest}, nil
}

// subkey unwraps the blob's own key.
func (c *cipher) subkey(blob []byte) (key, rest []byte, err error) {
	if c.kind == wrapKW {
		if len(blob) < subkeySize+8 {
			return nil, nil, io.ErrUnexpectedEOF
		}
		key, err = unwrap(c.block, blob[:subkeySize+8])
		return key, blob[subkeySize+8:], err
	}
	gcm, err := stdcipher.NewGCM(c.block)
	if err != nil {
		return nil, nil, err
	}
	n := gcm.NonceSize()
	end := n + subkeySize + gcm.Overhead()
	if len(blob) < end {
		return nil, nil, io.ErrUnexpectedEOF
	}
	key, err = gcm.Open(nil, blob[:n], blob[n:end], nil)
	return key, blob[end:], err
}

// frames reads one frame after the other.
type frames struct {
	aead  *subtle.AESGCMSIV
	size  int // of a whole frame
	rest  []byte
	plain []byte // not handed out yet
	n     int    // frames read
}

func (f *frames) Read(p []byte) (int, error) {
	for len(f.plain) == 0 {
		if len(f.rest) == 0 {
			return 0, io.EOF
		}
		n := min(f.size, len(f.rest))
		plain, err := f.aead.Decrypt(f.rest[:n], nil)
		if err != nil {
			return 0, fmt.Errorf("encrypted frame %d: %w", f.n, err)
		}
		f.plain, f.rest, f.n = plain, f.rest[n:], f.n+1
	}
	n := copy(p, f.plain)
	f.plain = f.plain[n:]
	return n, nil
}

var errUnwrap = errors.New("its key does not unwrap")

// unwrap is the AES key wrap of RFC 3394 backwards.
func unwrap(block stdcipher.Block, wrapped []byte) ([]byte, error) {
	n := len(wrapped)/8 - 1
	key := append([]byte(nil), wrapped[8:]...)
	var b [16]byte
	copy(b[:8], wrapped)
	for t := 6 * n; t > 0; t-- {
		i := (t - 1) % n * 8
		for k := range 4 {
			b[4+k] ^= byte(uint32(t) >> (24 - 8*k))
		}
		copy(b[8:], key[i:i+8])
		block.Decrypt(b[:], b[:])
		copy(key[i:], b[8:])
	}
	for _, v := range b[:8] {
		if v != 0xa6 {
			return nil, errUnwrap
		}
	}
	return key, nil
}
