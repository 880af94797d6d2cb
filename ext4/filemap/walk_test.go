package filemap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/fstest"

	"github.com/snapview/snapview/ext4"
)

// image lays a small tree out and returns its bytes.
func image(t testing.TB, tree fstest.MapFS) []byte {
	t.Helper()
	m, err := ext4.New(tree, ext4.Options{FreeBytes: 1 << 20, FreeInodes: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b := make([]byte, min(m.Size(), m.Layout().MetadataBytes+m.Layout().DataBytes))
	if _, err := m.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

func tree() fstest.MapFS {
	fs := fstest.MapFS{
		"data/PG_VERSION":    {Data: []byte("15\n"), Mode: 0o600},
		"data/base/5/16384":  {Data: bytes.Repeat([]byte("page"), 5000), Mode: 0o600},
		"data/base/5/empty":  {Mode: 0o600},
		"data/pg_wal/000001": {Data: bytes.Repeat([]byte("w"), 8192), Mode: 0o600},
	}
	for i := range 200 { // a directory of several blocks
		fs[fmt.Sprintf("data/many/a-file-with-a-long-name-%060d", i)] = &fstest.MapFile{Data: []byte{byte(i)}, Mode: 0o600}
	}
	return fs
}

// padded reads b as the beginning of a longer disk of zeros.
type padded []byte

func (p padded) ReadAt(q []byte, off int64) (int, error) {
	clear(q)
	if off < int64(len(p)) {
		copy(q, p[off:])
	}
	return len(q), nil
}

const diskSize = 128 << 20

func TestWalkFindsEveryFileAndItsBytes(t *testing.T) {
	want := tree()
	b := image(t, want)
	used := make(map[int64]string)
	found := 0
	err := Walk(t.Context(), padded(b), diskSize, func(f File) bool {
		var have []byte
		for _, e := range append(f.Extents, f.Tree...) {
			for at := e.Offset; at < e.Offset+e.Length; at += 4096 {
				if other := used[at]; other != "" {
					t.Errorf("block %d belongs to %s and to %s", at/4096, other, f.Path)
				}
				used[at] = f.Path
			}
		}
		for _, e := range f.Extents {
			have = append(have, b[e.Offset:e.Offset+e.Length]...)
		}
		if f.Dir {
			return true
		}
		file := want[f.Path]
		if file == nil || int64(len(file.Data)) != f.Size || !bytes.Equal(have[:f.Size], file.Data) {
			t.Errorf("%s: %d bytes that are not those of the file", f.Path, f.Size)
		}
		found++
		return true
	})
	if err != nil || found != len(want) {
		t.Errorf("%d of %d files, %v", found, len(want), err)
	}
	// It stops where it is told to, and when nobody waits any more.
	found = 0
	if err := Walk(t.Context(), padded(b), diskSize, func(File) bool { found++; return found < 3 }); err != nil || found != 3 {
		t.Errorf("stopped after %d, %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Walk(ctx, padded(b), diskSize, func(File) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

// TestDamageIsAnError flips a byte in each of the structures that Walk reads.
func TestDamageIsAnError(t *testing.T) {
	b := image(t, tree())
	fs, err := open(padded(b), diskSize)
	if err != nil {
		t.Fatal(err)
	}
	root, err := fs.inode(rootInode)
	if err != nil {
		t.Fatal(err)
	}
	extents, _, err := fs.extentsOf(root)
	if err != nil {
		t.Fatal(err)
	}
	table := int64(le.Uint32(b[4096+8:])) * 4096
	for what, at := range map[string]int64{
		"superblock": 1024 + 0x0c, "root inode": table + 256 + 0x28 + 20, "directory": extents[0].Offset + 30,
	} {
		bad := bytes.Clone(b)
		bad[at] ^= 1
		if err := Walk(t.Context(), padded(bad), diskSize, func(File) bool { return true }); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := Walk(t.Context(), padded(nil), diskSize, func(File) bool { return true }); !errors.Is(err, ErrDamaged) {
		t.Errorf("zeros: %v", err)
	}
	if err := Walk(t.Context(), padded(b), 1<<20, func(File) bool { return true }); err == nil {
		t.Error("a disk that is too short was read")
	}
}

// FuzzWalk changes an image as it likes, checksums aside: it must come to an
// end, and say nothing that lies outside.
func FuzzWalk(f *testing.F) {
	b := image(f, fstest.MapFS{"d/a": {Data: []byte("a"), Mode: 0o600}, "d/e/b": {Data: make([]byte, 9000), Mode: 0o600}})
	table := uint32(le.Uint32(b[4096+8:])) * 4096
	f.Add(uint32(1024+0x28), []byte{1, 0, 0, 0})
	f.Add(table+256+0x28, []byte{0x0a, 0xf3, 1, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9})
	f.Add(table+11*256+0x28+18, []byte{2, 0})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		bad := bytes.Clone(b)
		if int64(at) < int64(len(bad)) {
			copy(bad[at:], patch)
		}
		sb := bad[1024:2048]
		le.PutUint32(sb[0x3fc:], crc32c(^uint32(0), sb[:0x3fc]))
		fs, err := open(padded(bad), diskSize)
		if err != nil {
			return
		}
		fs.unchecked = true
		files := 0
		//nolint:errcheck // most are damaged
		walk(t.Context(), fs, func(file File) bool {
			for _, e := range append(file.Extents, file.Tree...) {
				if e.Offset < 0 || e.Length <= 0 || e.Offset+e.Length > diskSize {
					t.Fatalf("%s has %+v", file.Path, e)
				}
			}
			files++
			return files < 10_000
		})
	})
}
