// Package cipher reads what pgBackRest encrypts: AES-256 in CBC mode with a key
// that is derived as OpenSSL's enc does (EVP_BytesToKey, SHA-1, one round).
//
//	"Salted__", 8 bytes of salt, ciphertext      a file
//	8 bytes of salt, ciphertext                  "raw": in a bundle, a block map, a super block
//
// The last block is padded (PKCS #7). A block of CBC is decrypted with the one
// before it, so any part of the plaintext can be read by itself. CBC has no
// checksum: what was changed decrypts to something else, and only the padding
// or the format of the content may tell.
package cipher

import (
	"bytes"
	"crypto/aes"
	stdcipher "crypto/cipher"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
)

const (
	magic     = "Salted__"
	saltSize  = 8
	blockSize = aes.BlockSize
)

// ErrKey is what a wrong passphrase looks like, and damage too.
var ErrKey = errors.New("the passphrase is wrong, or the data is damaged")

// errShort is a ciphertext of an impossible size.
var errShort = errors.New("encrypted data of an impossible size: it is cut short")

// Encrypted tells whether a file that begins with head is encrypted.
func Encrypted(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

// key derives the key and the first initialisation vector.
func key(pass, salt []byte) (stdcipher.Block, []byte) {
	var out, last []byte
	for len(out) < 32+blockSize {
		h := sha1.New()
		h.Write(last)
		h.Write(pass)
		h.Write(salt)
		last = h.Sum(nil)
		out = append(out, last...)
	}
	b, err := aes.NewCipher(out[:32])
	if err != nil {
		panic(err) // only for a key of another size
	}
	return b, out[32 : 32+blockSize]
}

// header returns the salt that data begins with and the header's size.
func header(data []byte) (salt []byte, size int, err error) {
	if Encrypted(data) {
		data, size = data[len(magic):], len(magic)
	}
	if len(data) < saltSize {
		return nil, 0, errShort
	}
	return data[:saltSize], size + saltSize, nil
}

// padding returns how many bytes at the end of the last block are none.
func padding(last []byte) (int, error) {
	n := int(last[len(last)-1])
	if n == 0 || n > blockSize || !bytes.Equal(last[len(last)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return 0, ErrKey
	}
	return n, nil
}

// Decrypt returns the plaintext of data, which it overwrites.
func Decrypt(data, pass []byte) ([]byte, error) {
	salt, n, err := header(data)
	if err != nil {
		return nil, err
	}
	b, iv := key(pass, salt)
	if data = data[n:]; len(data) == 0 || len(data)%blockSize != 0 {
		return nil, errShort
	}
	stdcipher.NewCBCDecrypter(b, iv).CryptBlocks(data, data)
	pad, err := padding(data[len(data)-blockSize:])
	if err != nil {
		return nil, err
	}
	return data[:len(data)-pad], nil
}

// A File is the plaintext of an encrypted file, readable at random. It may be
// used by many goroutines at once.
type File struct {
	r     io.ReaderAt
	start int64 // of the ciphertext in r
	size  int64 // of the plaintext
	block stdcipher.Block
	iv    []byte
}

// Open returns the plaintext of the size bytes in r. It reads the header and
// the last two blocks.
func Open(r io.ReaderAt, size int64, pass []byte) (*File, error) {
	head := make([]byte, min(size, int64(len(magic)+saltSize)))
	if err := readFull(r, head, 0); err != nil {
		return nil, err
	}
	salt, n, err := header(head)
	if err != nil {
		return nil, err
	}
	f := &File{r: r, start: int64(n), size: size - int64(n)}
	if f.size <= 0 || f.size%blockSize != 0 {
		return nil, errShort
	}
	f.block, f.iv = key(pass, salt)
	last := make([]byte, blockSize)
	if err := f.decrypt(last, f.size-blockSize); err != nil {
		return nil, err
	}
	pad, err := padding(last)
	f.size -= int64(pad)
	return f, err
}

// Size returns how many bytes of plaintext there are.
func (f *File) Size() int64 { return f.size }

// decrypt fills p, whole blocks, with the plaintext at off, the beginning of a
// block.
func (f *File) decrypt(p []byte, off int64) error {
	iv := f.iv
	if off > 0 {
		iv = make([]byte, blockSize)
		if err := readFull(f.r, iv, f.start+off-blockSize); err != nil {
			return err
		}
	}
	if err := readFull(f.r, p, f.start+off); err != nil {
		return err
	}
	stdcipher.NewCBCDecrypter(f.block, iv).CryptBlocks(p, p)
	return nil
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("cipher: negative offset")
	}
	if off >= f.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), f.size-off))
	first := off - off%blockSize
	end := (off + int64(n) + blockSize - 1) / blockSize * blockSize
	buf := make([]byte, end-first)
	if err := f.decrypt(buf, first); err != nil {
		return 0, err
	}
	copy(p[:n], buf[off-first:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%d bytes at %d: %w", len(p), off, io.ErrUnexpectedEOF)
	}
	return err
}
