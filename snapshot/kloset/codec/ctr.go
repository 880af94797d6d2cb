package codec

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	stdsubtle "crypto/subtle"
	"encoding/binary"
	"io"
	"slices"
)

// untagged decrypts frames of AES-256-GCM-SIV without looking at their tags
// (RFC 8452, section 5: the tag is where the counter starts). It is for chunks,
// whose plain text has a MAC of the store's key that the caller checks: a proof
// of the same strength at a tenth of the time that POLYVAL takes without
// assembly.
type untagged struct {
	block stdcipher.Block // of the blob's own key
}

func newUntagged(key []byte) (*untagged, error) {
	block, err := aes.NewCipher(key)
	return &untagged{block}, err
}

// frameKey derives the key of a frame from its nonce (RFC 8452, section 4).
func (u *untagged) frameKey(nonce []byte) (stdcipher.Block, error) {
	var in, out [aes.BlockSize]byte
	var key [32]byte
	copy(in[4:], nonce)
	for i := range 4 {
		binary.LittleEndian.PutUint32(in[:], uint32(2+i)) // 0 and 1 make the key of the tag
		u.block.Encrypt(out[:], in[:])
		copy(key[8*i:], out[:8])
	}
	return aes.NewCipher(key[:])
}

// untagged decrypts a whole blob.
func (c *cipher) untagged(blob []byte) ([]byte, error) {
	key, rest, err := c.subkey(blob)
	if err != nil {
		return nil, err
	}
	u, err := newUntagged(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, 0, len(rest))
	for len(rest) > 0 && err == nil {
		n := min(c.frame+frameExtra, len(rest))
		plain, err = u.decrypt(plain, rest[:n])
		rest = rest[n:]
	}
	return plain, err
}

// decrypt appends the plain text of one frame: nonce, cipher text, tag.
func (u *untagged) decrypt(dst, frame []byte) ([]byte, error) {
	if len(frame) < frameExtra {
		return nil, io.ErrUnexpectedEOF
	}
	end := len(frame) - aes.BlockSize
	block, err := u.frameKey(frame[:nonceSize])
	if err != nil {
		return nil, err
	}
	var counter, stream [aes.BlockSize]byte
	copy(counter[:], frame[end:])
	counter[15] |= 0x80
	n := binary.LittleEndian.Uint32(counter[:])
	text := frame[nonceSize:end]
	dst = slices.Grow(dst, len(text))
	plain := dst[len(dst) : len(dst)+len(text)]
	for at := 0; at < len(text); at += aes.BlockSize {
		block.Encrypt(stream[:], counter[:])
		stdsubtle.XORBytes(plain[at:], text[at:], stream[:])
		n++
		binary.LittleEndian.PutUint32(counter[:], n)
	}
	return dst[:len(dst)+len(text)], nil
}
