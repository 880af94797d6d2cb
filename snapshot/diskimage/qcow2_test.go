package diskimage

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapview/snapview/snapshot"
)

// Whatever an image says, opening it ends, and reading it stays inside of what
// it says that it has. It names no backing file: a fuzzer would find this host's.
func FuzzQcow2(f *testing.F) {
	// Version 3, clusters of 64 KiB, one table of one entry.
	image := make([]byte, 5<<16)
	be := binary.BigEndian
	copy(image, qcow2Magic)
	be.PutUint32(image[4:], 3)
	be.PutUint32(image[20:], 16)
	be.PutUint64(image[24:], 1<<20)
	be.PutUint32(image[36:], 1)
	be.PutUint64(image[40:], 3<<16)
	be.PutUint64(image[48:], 1<<16)
	be.PutUint32(image[56:], 1)
	be.PutUint32(image[96:], 4)
	be.PutUint32(image[100:], 104)
	be.PutUint64(image[3<<16:], 1<<63|4<<16)
	f.Add(image[:200], image[3<<16:][:64], image[4<<16:][:64])
	be.PutUint64(image[4<<16:], 1<<62|100) // a compressed cluster
	f.Add(image[:104], image[3<<16:][:8], image[4<<16:][:16])
	f.Fuzz(func(t *testing.T, head, l1, l2 []byte) {
		b := make([]byte, 5<<16)
		copy(b, head)
		copy(b[3<<16:], l1)
		copy(b[4<<16:], l2)
		clear(b[8:20]) // backing file
		name := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := openDisk(name, &snapshot.Counter{})
		if err != nil {
			return
		}
		defer d.Close()
		p := make([]byte, 8192)
		for _, off := range []int64{0, 65536, d.size / 2, d.size - 100, d.size} {
			if off < 0 {
				continue
			}
			if n, err := d.ReadAt(p, off); n > len(p) || n < len(p) && err == nil || n > 0 && off+int64(n) > d.size {
				t.Errorf("ReadAt(%d) = %d, %v of %d bytes", off, n, err, d.size)
			}
		}
	})
}
