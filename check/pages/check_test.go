package pages_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/snapview/snapview/check/pages"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// cluster is a real cluster with data checksums, laid out as on a mount.
func cluster(t *testing.T) (root fs.FS, dir string) {
	t.Helper()
	dir = snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	if err := errors.Join(os.Rename(filepath.Join(dir, "fp"), filepath.Join(dir, "data")),
		os.Mkdir(filepath.Join(dir, "tablespaces"), 0o700),
		os.Rename(filepath.Join(dir, "fp_ts1"), filepath.Join(dir, "tablespaces/16384"))); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(dir), dir
}

func run(t *testing.T, root fs.FS, opts pages.Options) *pages.Result {
	t.Helper()
	list, err := pages.List(root)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pages.Check(t.Context(), root, list, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCheck_RealClusterIsValid(t *testing.T) {
	root, dir := cluster(t)
	var read atomic.Int64
	r := run(t, root, pages.Options{Checksums: true, Progress: func(n int64) { read.Add(n) }})
	if r.Bad() != 0 {
		t.Errorf("%+v", r.Problems)
	}
	var want int64
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		base := filepath.Base(name)
		if err != nil || d.IsDir() || base[0] < '1' || base[0] > '9' || strings.Contains(name, "pg_wal") || !strings.Contains(name, "/base/") && !strings.Contains(name, "/global/") && !strings.Contains(name, "/tablespaces/") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			want += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Bytes != want || read.Load() != want || r.Pages != want/8192 || r.Files < 300 {
		t.Errorf("%+v, and progress of %d bytes; the files have %d", r, read.Load(), want)
	}
}

// change changes bytes of one file.
func change(t *testing.T, dir, name string, edit func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), edit(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheck_NamesFileAndBlock(t *testing.T) {
	root, dir := cluster(t)
	const table, spaced = "data/base/5/1259", "tablespaces/16384/PG_15_202209061/5/16401"
	for _, c := range []struct {
		name, file string
		edit       func(b []byte) []byte
		block      uint32
		whole      bool
		says       string
	}{
		{"a bit in a row", table, func(b []byte) []byte { b[8192+5000] ^= 1; return b }, 1, false, "checksum"},
		{"a bit in a tablespace", spaced, func(b []byte) []byte { b[5000] ^= 1; return b }, 0, false, "checksum"},
		{"a page of zeros but for one byte", table, func(b []byte) []byte { clear(b[8192:16384]); b[9000] = 1; return b }, 1, false, "never used"},
		{"two pages swapped", table, func(b []byte) []byte { copy(b[:8192], b[8192:16384]); return b }, 0, false, "checksum"},
		{"half a page missing", table, func(b []byte) []byte { return b[:len(b)-4096] }, 0, true, "cut short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			good, err := os.ReadFile(filepath.Join(dir, c.file))
			if err != nil {
				t.Fatal(err)
			}
			defer change(t, dir, c.file, func([]byte) []byte { return good })
			change(t, dir, c.file, c.edit)
			r := run(t, root, pages.Options{Checksums: true})
			if r.Bad() != 1 {
				t.Fatalf("%+v", r)
			}
			p := r.Problems[0]
			if p.File.Path != c.file || p.Whole != c.whole || !c.whole && p.Block != c.block || !strings.Contains(p.What, c.says) {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestCheck_WithoutChecksumsHeadersAreJudged(t *testing.T) {
	root, dir := cluster(t)
	change(t, dir, "data/base/5/1259", func(b []byte) []byte {
		b[5000] ^= 1                                  // not noticed: nothing sums it
		binary.LittleEndian.PutUint16(b[8192+14:], 9) // upper below lower
		return b
	})
	r := run(t, root, pages.Options{})
	if r.Bad() != 1 || r.Problems[0].Block != 1 || !strings.Contains(r.Problems[0].What, "impossible") {
		t.Errorf("%+v", r)
	}
}

// Blocks are counted through the segments of a fork, and the number is part of
// the checksum.
func TestCheck_CountsBlocksThroughSegments(t *testing.T) {
	page := make([]byte, 8192)
	le := binary.LittleEndian
	le.PutUint16(page[12:], 24)
	le.PutUint16(page[14:], 8192)
	le.PutUint16(page[16:], 8192)
	le.PutUint16(page[18:], 8192|4)
	second := 2*131072 + 1
	le.PutUint16(page[8:], pages.Checksum(page, uint32(second)))
	root := fstest.MapFS{
		"data/global":            {Mode: fs.ModeDir},
		"data/base/5/16384.2":    {Data: append(make([]byte, 8192), page...)},
		"data/base/5/t3_16385":   {Data: []byte("temporary")},
		"data/base/5/pg_version": {Data: []byte("no relation")},
	}
	if r := run(t, root, pages.Options{Checksums: true}); r.Bad() != 0 || r.Pages != 2 || r.New != 1 || r.Files != 1 {
		t.Errorf("%+v", r)
	}
	root["data/base/5/16384"] = root["data/base/5/16384.2"]
	r := run(t, root, pages.Options{Checksums: true})
	if r.Bad() != 1 || r.Problems[0].File.Path != "data/base/5/16384" || r.Problems[0].Block != 1 {
		t.Errorf("%+v", r)
	}
}

// A page that is being written is read again.
func TestCheck_ReadsAgain(t *testing.T) {
	page := make([]byte, 8192)
	binary.LittleEndian.PutUint16(page[14:], 8192) // torn: no checksum yet
	root := flaky{fstest.MapFS{"data/global": {Mode: fs.ModeDir}, "data/base/5/16384": {Data: make([]byte, 8192)}}, page, new(atomic.Int64)}
	if r := run(t, root, pages.Options{Checksums: true}); r.Bad() != 0 {
		t.Errorf("%+v", r)
	}
	if root.reads.Load() < 2 {
		t.Error("the test's page was read once: nothing was tested")
	}
}

// flaky shows torn pages at the first read.
type flaky struct {
	fs.FS
	torn  []byte
	reads *atomic.Int64
}

type flakyFile struct {
	fs.File
	f flaky
}

func (f flaky) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil || name != "data/base/5/16384" {
		return file, err
	}
	return flakyFile{file, f}, nil
}

func (f flakyFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.(interface {
		ReadAt([]byte, int64) (int, error)
	}).ReadAt(p, off)
	if f.f.reads.Add(1) == 1 {
		copy(p, f.f.torn)
	}
	return n, err
}

func TestCheck_StopsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pages.Check(ctx, fstest.MapFS{}, []pages.File{{Path: "data/base/5/1"}}, pages.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func BenchmarkChecksum(b *testing.B) {
	page := make([]byte, 8192)
	b.SetBytes(8192)
	for b.Loop() {
		pages.Checksum(page, 1)
	}
}
