package pgbackrest

import (
	"crypto/sha1"
	"errors"
	"testing"

	"github.com/snapview/snapview/snapshot"
)

// What is read whole is compared with its checksum and size, in each codec.
func TestContent_IsVerified(t *testing.T) {
	plain := text(100_000)
	right, wrong := sha1.Sum(plain), sha1.Sum(nil)
	for _, name := range []string{"none", "gz", "lz4", "zst"} {
		stored := plain
		if name != "none" {
			stored = compress(t, name, plain)
		}
		store := &fakeStore{objects: map[string][]byte{"x": stored}}
		v := newVault(t.Context(), store, snapshot.Options{CacheDir: t.TempDir()})
		defer v.Close()
		c, err := findCodec(name)
		if err != nil {
			t.Fatal(err)
		}
		p := piece{object: "x", size: int64(len(stored)), coding: &coding{codec: c}}
		size := int64(len(plain))
		for what, r := range map[string]snapshot.Content{
			"another checksum": v.content(p, size, wholeLimit, &wrong),
			"shorter":          v.content(p, size-1, wholeLimit, &right),
			"longer":           v.content(p, size+1, wholeLimit, &right),
			"beyond the end":   v.content(piece{object: "x", off: 1, size: p.size, coding: p.coding}, size, wholeLimit, &right),
			"elsewhere":        v.content(piece{object: "y", size: p.size, coding: p.coding}, size, wholeLimit, &right),
		} {
			if _, err := r.ReadAt(make([]byte, 10), 50); !errors.Is(err, snapshot.ErrDamaged) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		b := make([]byte, 10)
		if _, err := v.content(p, size, wholeLimit, &right).ReadAt(b, 50); err != nil || string(b) != string(plain[50:60]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
