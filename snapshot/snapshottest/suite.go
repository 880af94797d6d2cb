// Package snapshottest holds what tests of snapshots share: the conformance
// suite that every source passes, a source in memory, and fixtures.
//
// It is imported by tests only.
package snapshottest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/snapview/snapview/snapshot"
)

// A Suite is the contract of package snapshot as far as a source can break it.
type Suite struct {
	// Open opens the same snapshot anew; the suite closes it.
	Open func(t testing.TB) *snapshot.Snapshot

	// Want is the SHA-256 of every regular file of the tree, by path; nil
	// to skip the comparison.
	Want map[string]string

	// Whole runs fstest.TestFS on the whole tree, which reads every file a
	// dozen times, partly byte by byte: for small clusters. Otherwise it
	// runs on data/pg_multixact.
	Whole bool

	// MaxOpen is how many bytes opening may read at most; 0 for no bound.
	MaxOpen int64
}

// Run runs the suite as subtests.
func (s Suite) Run(t *testing.T) {
	t.Run("TestFS", s.testFS)
	t.Run("Contents", s.contents)
	t.Run("ReadAt", s.readAt)
	t.Run("Concurrent", s.concurrent)
	t.Run("Lazy", s.lazy)
	t.Run("Closed", s.closed)
	t.Run("Links", s.links)
}

func (s Suite) open(t *testing.T) *snapshot.Snapshot {
	t.Helper()
	snap := s.Open(t)
	t.Cleanup(func() {
		if err := snap.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return snap
}

func (s Suite) testFS(t *testing.T) {
	snap := s.open(t)
	fsys, expected := fs.FS(snap.Tree), []string{"data/PG_VERSION", "data/global/pg_control"}
	if !s.Whole {
		sub, err := fs.Sub(snap.Tree, "data/pg_multixact")
		if err != nil {
			t.Fatal(err)
		}
		fsys, expected = sub, []string{"members/0000", "offsets/0000"}
	}
	if err := fstest.TestFS(fsys, expected...); err != nil {
		t.Fatal(err)
	}
}

func (s Suite) contents(t *testing.T) {
	if s.Want == nil {
		t.Skip("no hashes to compare with")
	}
	Compare(t, Hashes(t, s.open(t).Tree), s.Want)
}

// Compare fails the test for each path whose hash differs.
func Compare(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name, h := range want {
		if got[name] != h {
			t.Errorf("%s: got %q, want %q", name, got[name], h)
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("%s should not be there", name)
		}
	}
}

// Hashes returns the SHA-256 of every regular file of fsys, by path.
func Hashes(t testing.TB, fsys fs.FS) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		sums[name] = hex.EncodeToString(h.Sum(nil))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// An open file of a tree, as far as the tests use it.
type treeFile interface {
	fs.File
	io.ReaderAt
	io.Seeker
	Prefetch(off, n int64)
}

func openFile(t testing.TB, snap *snapshot.Snapshot, name string) (treeFile, int64) {
	t.Helper()
	f, err := snap.Tree.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	tf, ok := f.(treeFile)
	if !ok {
		t.Fatalf("%s: %T lacks ReadAt, Seek or Prefetch", name, f)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := info.Sys().(interface {
		PhysicalOrder() int64
		LinkID() string
	}); !ok {
		t.Errorf("%s: Sys is %T", name, info.Sys())
	}
	return tf, info.Size()
}

// readAt checks the ends of a file and reads across them.
func (s Suite) readAt(t *testing.T) {
	snap := s.open(t)
	f, size := openFile(t, snap, "data/global/pg_control")
	defer f.Close()
	whole, err := io.ReadAll(f)
	if err != nil || int64(len(whole)) != size {
		t.Fatalf("read %d of %d bytes: %v", len(whole), size, err)
	}
	f.Prefetch(0, size)
	f.Prefetch(size, 1) // past the end: no harm
	for _, c := range []struct {
		off  int64
		n    int
		want int
		eof  bool
	}{
		{0, 100, 100, false},
		{size - 100, 100, 100, true},
		{size - 1, 100, 1, true},
		{size, 1, 0, true},
		{size + 1000, 1, 0, true},
	} {
		b := make([]byte, c.n)
		n, err := f.ReadAt(b, c.off)
		// A read that ends at the end may say so or not.
		if n != c.want || err != nil && !errors.Is(err, io.EOF) || c.n > c.want && !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v", c.n, c.off, n, err)
		}
		if n > 0 && !bytes.Equal(b[:n], whole[c.off:c.off+int64(n)]) {
			t.Errorf("ReadAt(%d bytes, %d): other bytes than Read gave", c.n, c.off)
		}
	}
	if _, err := f.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt at a negative offset succeeded")
	}
}

// concurrent reads all files from many goroutines and compares.
func (s Suite) concurrent(t *testing.T) {
	snap := s.open(t)
	want := Hashes(t, snap.Tree)
	var names []string
	for name := range want {
		names = append(names, name)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for range 50 {
				name := names[rnd.IntN(len(names))]
				b, err := fs.ReadFile(snap.Tree, name)
				sum := sha256.Sum256(b)
				if err != nil || hex.EncodeToString(sum[:]) != want[name] {
					t.Errorf("%s read concurrently: %v, other bytes than before", name, err)
				}
			}
		})
	}
	wg.Wait()
}

// lazy: opening reads little, and what is read is counted.
func (s Suite) lazy(t *testing.T) {
	snap := s.open(t)
	before := snap.BytesRead()
	t.Logf("opening read %d of %d bytes", before, snap.Size.Bytes)
	if s.MaxOpen > 0 && before > s.MaxOpen {
		t.Errorf("opening read %d bytes, at most %d are allowed", before, s.MaxOpen)
	}
	if err := fs.WalkDir(snap.Tree, ".", func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			_, err = d.Info()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if n := snap.BytesRead() - before; n != 0 {
		t.Errorf("walking the tree read %d bytes", n)
	}
	f, _ := openFile(t, snap, "data/global/pg_control")
	defer f.Close()
	if n := snap.BytesRead() - before; n != 0 {
		t.Errorf("opening a file read %d bytes", n)
	}
}

func (s Suite) closed(t *testing.T) {
	snap := s.Open(t)
	f, _ := openFile(t, snap, "data/global/pg_control")
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	if err := snap.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("ReadAt after Close: %v", err)
	}
	if _, err := snap.Tree.Open("data/PG_VERSION"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Open after Close: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("closing a file after its snapshot: %v", err)
	}
}

// links: every tablespace can be reached both ways.
func (s Suite) links(t *testing.T) {
	snap := s.open(t)
	for _, ts := range snap.Tablespaces {
		link := fmt.Sprintf("data/pg_tblspc/%d", ts.OID)
		target, err := snap.Tree.ReadLink(link)
		if want := fmt.Sprintf("../../tablespaces/%d", ts.OID); err != nil || target != want {
			t.Errorf("%s -> %q, %v; want %s", link, target, err, want)
		}
		through, err := snap.Tree.ReadDir(link)
		if err != nil || len(through) == 0 {
			t.Errorf("%s: %d entries, %v", link, len(through), err)
		}
	}
}
