package codec

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"errors"
	"runtime"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The last test vector of RFC 3394: 256 bits wrapped with a key of 256 bits.
func TestUnwrap(t *testing.T) {
	block, err := aes.NewCipher(unhex(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"))
	if err != nil {
		t.Fatal(err)
	}
	wrapped := unhex(t, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21")
	key, err := unwrap(block, wrapped)
	if err != nil || hex.EncodeToString(key) != "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f" {
		t.Errorf("%x, %v", key, err)
	}
	for i := range wrapped {
		wrapped[i] ^= 1
		if _, err := unwrap(block, wrapped); !errors.Is(err, errUnwrap) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		wrapped[i] ^= 1
	}
}

// What Tink encrypts comes out the same without its tags, also where the
// counter of a frame wraps around.
func TestUntagged(t *testing.T) {
	key := make([]byte, 32)
	for i := range 300 {
		key[i%32] ^= byte(i)
		aead, err := subtle.NewAESGCMSIV(key)
		if err != nil {
			t.Fatal(err)
		}
		plain := bytes.Repeat([]byte{byte(i), 7, 1}, i*i/40)
		frame, err := aead.Encrypt(plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := newUntagged(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := u.decrypt(nil, frame); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes: %v", len(plain), err)
		}
	}
	// RFC 8452, appendix C.3: the counter wraps around.
	u, err := newUntagged(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	frame := append(make([]byte, 12), unhex(t, "f3f80f2cf0cb2dd9c5984fcda908456cc537703b5ba70324a6793a7bf218d3eaffffffff000000000000000000000000")...)
	want := "000000000000000000000000000000004db923dc793ee6497c76dcc03a98e108"
	if got, err := u.decrypt(nil, frame); err != nil || hex.EncodeToString(got) != want {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := u.decrypt(nil, frame[:27]); err == nil {
		t.Error("a frame of 27 bytes")
	}
}

func lz4Codec(t testing.TB) *Codec {
	t.Helper()
	c, err := New(&format.Config{Compression: "LZ4"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func packed(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := lz4.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCodec_Bounds(t *testing.T) {
	c, plain := lz4Codec(t), make([]byte, 16<<20)
	bomb := packed(t, plain)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for what, err := range map[string]error{
		"All":   second(c.All(bomb, 1<<20)),
		"Chunk": second(c.Chunk(bomb, 1<<20)),
		"short": second(c.Chunk(packed(t, plain[:100]), 101)),
		"long":  second(c.Chunk(packed(t, plain[:100]), 99)),
		"cut":   second(c.All(bomb[:len(bomb)-1], 1<<30)),
	} {
		if !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	runtime.ReadMemStats(&after)
	// "cut" may use all it is allowed; the others little.
	if n := after.TotalAlloc - before.TotalAlloc; n > 200<<20 {
		t.Errorf("%d MiB were allocated", n>>20)
	}
	if b, err := c.Chunk(bomb, len(plain)); err != nil || len(b) != len(plain) {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestDeriveKey_Bounds(t *testing.T) {
	ok := format.KDF{Salt: []byte("salt"), KeyLen: 32, Time: 1, Memory: 64, Threads: 1, N: 16, R: 8, P: 1, Iterations: 10, Hash: "SHA256"}
	for _, name := range []string{"ARGON2ID", "SCRYPT", "PBKDF2"} {
		k := ok
		k.Name = name
		if key, err := DeriveKey(&k, []byte("x")); err != nil || len(key) != 32 {
			t.Errorf("%s: %v", name, err)
		}
		for what, change := range map[string]func(*format.KDF){
			"memory": func(k *format.KDF) { k.Memory, k.N, k.Iterations = 1<<40, 1<<40, 1<<40 },
			"time":   func(k *format.KDF) { k.Time, k.P, k.Iterations = 1<<40, 1<<40, 1<<40 },
			"size":   func(k *format.KDF) { k.Threads, k.R, k.Iterations = 1<<40, 1<<60, 1<<63 },
			"zero":   func(k *format.KDF) { k.Time, k.N, k.Iterations = 0, 0, 0 },
		} {
			bad := k
			change(&bad)
			if _, err := DeriveKey(&bad, []byte("x")); !errors.Is(err, snapshot.ErrUnsafe) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	if _, err := DeriveKey(&format.KDF{Name: "MD5", Salt: []byte("s"), KeyLen: 32}, nil); !errors.Is(err, snapshot.ErrUnsupported) {
		t.Error(err)
	}
}

func TestNew_Unknown(t *testing.T) {
	good := format.Encryption{Data: "AES256-GCM-SIV", Subkey: "AES256-KW", Frame: 1 << 16}
	for name, change := range map[string]func(*format.Config){
		"compression": func(c *format.Config) { c.Compression = "BROTLI" },
		"cipher":      func(c *format.Config) { c.Encryption.Data = "ROT13" },
		"wrap":        func(c *format.Config) { c.Encryption.Subkey = "none" },
		"frame":       func(c *format.Config) { c.Encryption.Frame = 1 << 40 },
	} {
		e := good
		c := &format.Config{Encryption: &e}
		change(c)
		if _, err := New(c, make([]byte, 32)); !errors.Is(err, snapshot.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(packed(f, []byte("some text some text some text")), uint8(0))
	f.Add(make([]byte, 100), uint8(3))
	enc := &format.Encryption{Data: "AES256-GCM-SIV", Subkey: "AES256-GCM", Frame: 1 << 16}
	var codecs []*Codec
	for _, c := range []format.Config{{Compression: "LZ4"}, {Compression: "GZIP"}, {Compression: "ZSTD"}, {Encryption: enc}} {
		d, err := New(&c, make([]byte, 32))
		if err != nil {
			f.Fatal(err)
		}
		codecs = append(codecs, d)
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		c := codecs[int(which)%len(codecs)]
		if out, err := c.All(b, 1<<20); err == nil && len(out) > 1<<20 || err != nil && !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("All: %d bytes, %v", len(out), err)
		}
		if out, err := c.Chunk(b, 1000); err == nil && len(out) != 1000 || err != nil && !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("Chunk: %d bytes, %v", len(out), err)
		}
	})
}
