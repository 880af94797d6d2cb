package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pierrec/lz4/v4"
)

// What the library writes with any option decodes the same in memory: many
// blocks, stored ones, with and without checksums.
func TestLZ4Blocks(t *testing.T) {
	noise := make([]byte, 300_000)
	rnd := rand.NewChaCha8([32]byte{1})
	if _, err := rnd.Read(noise); err != nil {
		t.Fatal(err)
	}
	for name, plain := range map[string][]byte{
		"empty": {}, "short": []byte("x"), "noise": noise, "zeros": make([]byte, 300_000), "mixed": bytes.Repeat(noise[:1000], 290),
	} {
		for i, opts := range [][]lz4.Option{
			{}, {lz4.BlockSizeOption(lz4.Block64Kb)}, {lz4.BlockSizeOption(lz4.Block256Kb), lz4.BlockChecksumOption(true)},
			{lz4.ChecksumOption(false)}, {lz4.SizeOption(uint64(len(plain)))}, {lz4.CompressionLevelOption(lz4.Level9)},
		} {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) {
				var b bytes.Buffer
				w := lz4.NewWriter(&b)
				if err := errors.Join(w.Apply(opts...), second(w.Write(plain)), w.Close()); err != nil {
					t.Fatal(err)
				}
				c := lz4Codec(t)
				for what, decode := range map[string]func() ([]byte, error){
					"Chunk": func() ([]byte, error) { return c.Chunk(b.Bytes(), len(plain)) },
					"Blob":  func() ([]byte, error) { return c.Blob(b.Bytes(), int64(len(plain))) },
					"All":   func() ([]byte, error) { return c.All(b.Bytes(), int64(len(plain))) },
				} {
					if got, err := decode(); err != nil || !bytes.Equal(got, plain) {
						t.Errorf("%s: %d bytes, %v", what, len(got), err)
					}
				}
				if len(plain) > 0 {
					if _, err := c.Blob(b.Bytes(), int64(len(plain))-1); err == nil {
						t.Error("more than the limit was decoded")
					}
				}
			})
		}
	}
}
