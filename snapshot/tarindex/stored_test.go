package tarindex_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/snapview/snapview/snapshot/cache"
	"github.com/snapview/snapview/snapshot/tarindex"
)

// broken is an archive that must not be read.
type broken struct{}

var errBroken = errors.New("it was read")

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

func TestScanStored_ReadsOnce(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"a", "b"} {
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Size: 3, Mode: 0o600}), func() error { _, err := w.Write([]byte("abc")); return err }()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, err := cache.Open(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	ctx, size, key := context.Background(), int64(b.Len()), cache.Key{1}
	seen := 0
	want, res, err := tarindex.ScanStored(ctx, c, key, bytes.NewReader(b.Bytes()), size, "t", func(*tarindex.Member) { seen++ })
	if err != nil || len(want) != 2 || seen != 2 || !res.EndMark {
		t.Fatalf("%d members, %d seen, %+v, %v", len(want), seen, res, err)
	}
	got, res2, err := tarindex.ScanStored(ctx, c, key, broken{}, size, "t", nil)
	if err != nil || res2 != res || !reflect.DeepEqual(got, want) {
		t.Errorf("from the cache: %+v, %+v, %v; want %+v", got, res2, err, want)
	}
	if _, _, err := tarindex.ScanStored(ctx, c, cache.Key{2}, broken{}, size, "t", nil); !errors.Is(err, errBroken) {
		t.Errorf("another archive: %v", err)
	}
	// A damaged index is made again.
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 1 {
		t.Fatalf("entries %q", files)
	}
	entry, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	entry[len(entry)-1] ^= 1
	if err := os.WriteFile(files[0], entry, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tarindex.ScanStored(ctx, c, key, broken{}, size, "t", nil); !errors.Is(err, errBroken) {
		t.Errorf("with a damaged index: %v", err)
	}
	got, _, err = tarindex.ScanStored(ctx, c, key, bytes.NewReader(b.Bytes()), size, "t", nil)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("made again: %+v, %v", got, err)
	}
}
