package klosettest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/snapview/snapview/snapshot/kloset/codec"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

const frame = 64 << 10 // bytes of plain text in an encrypted frame

// encode makes a blob.
func (w *Writer) encode(plain []byte) ([]byte, error) {
	b, err := w.compress(plain)
	if err != nil || w.secret == nil {
		return b, err
	}
	return w.secret.encrypt(b)
}

func (w *Writer) compress(plain []byte) ([]byte, error) {
	var out bytes.Buffer
	var z io.WriteCloser
	switch w.opts.Compression {
	case "none":
		return plain, nil
	case "LZ4":
		lw := lz4.NewWriter(&out)
		if len(plain) <= 64<<10 { // plakar's blocks are of 4 MiB, whatever they hold: buffers of MiBs each time
			if err := lw.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
				return nil, err
			}
		}
		z = lw
	case "GZIP":
		z = gzip.NewWriter(&out)
	case "ZSTD":
		var err error
		if z, err = zstd.NewWriter(&out); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("compression %q", w.opts.Compression)
	}
	if _, err := z.Write(plain); err != nil {
		return nil, err
	}
	err := z.Close()
	return out.Bytes(), err
}

// encryption is the part of CONFIG, with the names that Plakar's has.
type encryption struct {
	SubKeyAlgorithm string
	DataAlgorithm   string
	ChunkSize       int
	KDFParams       kdfParams
	Canary          []byte
}

type kdfParams struct {
	KDF      string
	Salt     []byte
	Argon2id map[string]any `msgpack:"argon2id,omitempty"`
	Scrypt   map[string]any `msgpack:"scrypt,omitempty"`
	Pbkdf2   map[string]any `msgpack:"pbkdf2,omitempty"`
}

type secret struct {
	key    []byte
	config encryption
}

func newSecret(o Options) (*secret, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	p, k := kdfParams{KDF: o.KDF, Salt: salt}, format.KDF{Name: o.KDF, Salt: salt, KeyLen: 32}
	switch o.KDF {
	case "ARGON2ID":
		k.Time, k.Memory, k.Threads = 1, 64, 1
		if o.Effort {
			k.Time, k.Memory = 4, 256<<10
		}
		p.Argon2id = map[string]any{"SaltSize": 16, "Time": k.Time, "Memory": k.Memory, "Threads": k.Threads, "KeyLen": 32}
	case "SCRYPT":
		k.N, k.R, k.P = 16, 8, 1
		p.Scrypt = map[string]any{"SaltSize": 16, "N": k.N, "R": k.R, "P": k.P, "KeyLen": 32}
	default:
		p.KDF, k.Name, k.Iterations, k.Hash = "PBKDF2", "PBKDF2", 10, "SHA256"
		p.Pbkdf2 = map[string]any{"SaltSize": 16, "Iterations": k.Iterations, "KeyLen": 32, "Hashing": k.Hash}
	}
	key, err := codec.DeriveKey(&k, []byte(o.Passphrase))
	if err != nil {
		return nil, err
	}
	s := &secret{key: key, config: encryption{SubKeyAlgorithm: "AES256-KW", DataAlgorithm: "AES256-GCM-SIV", ChunkSize: frame, KDFParams: p}}
	s.config.Canary, err = s.encrypt(salt)
	return s, err
}

// encrypt makes an encrypted blob: a wrapped key and frames.
func (s *secret) encrypt(plain []byte) ([]byte, error) {
	subkey := make([]byte, 32)
	if _, err := rand.Read(subkey); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(s.key)
	if err != nil {
		return nil, err
	}
	aead, err := subtle.NewAESGCMSIV(subkey)
	if err != nil {
		return nil, err
	}
	blob := wrap(block, subkey)
	for len(plain) > 0 {
		n := min(frame, len(plain))
		sealed, err := aead.Encrypt(plain[:n], nil)
		if err != nil {
			return nil, err
		}
		blob, plain = append(blob, sealed...), plain[n:]
	}
	return blob, nil
}

// wrap is the AES key wrap of RFC 3394.
func wrap(block cipher.Block, key []byte) []byte {
	n := len(key) / 8
	out := append(bytes.Repeat([]byte{0xa6}, 8), key...)
	var b [16]byte
	for t := 1; t <= 6*n; t++ {
		i := (t-1)%n*8 + 8
		copy(b[:8], out[:8])
		copy(b[8:], out[i:i+8])
		block.Encrypt(b[:], b[:])
		copy(out[i:], b[8:])
		b[7] ^= byte(t)
		copy(out[:8], b[:8])
	}
	return out
}
