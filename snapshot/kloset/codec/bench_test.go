package codec

import (
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
)

// Frames as a chunk has them, with and without their tags.
func BenchmarkFrame(b *testing.B) {
	key, plain := make([]byte, 32), make([]byte, 64<<10)
	aead, err := subtle.NewAESGCMSIV(key)
	if err != nil {
		b.Fatal(err)
	}
	frame, err := aead.Encrypt(plain, nil)
	if err != nil {
		b.Fatal(err)
	}
	u, err := newUntagged(key)
	if err != nil {
		b.Fatal(err)
	}
	for name, decrypt := range map[string]func([]byte) ([]byte, error){
		"tag": func(f []byte) ([]byte, error) { return aead.Decrypt(f, nil) }, "no tag": func(f []byte) ([]byte, error) { return u.decrypt(nil, f) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				if _, err := decrypt(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
