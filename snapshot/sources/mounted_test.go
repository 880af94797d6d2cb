package sources_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// A directory that is read through the cache is one like any other, and the
// second open takes it from there.
func TestMounted_Conforms(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	snapshottest.Untouched(t, dir)
	ref := filepath.Join(dir, "fp")
	want := snapshottest.TreeOf(t, ref, map[uint32]string{16384: filepath.Join(dir, "fp_ts1")})
	opts := snapshot.Options{CacheDir: t.TempDir(), ReadAhead: snapshot.ReadAheadOn, MaxOpenFiles: 4}
	conforms(t, ref, snapshot.KindDirectory, opts, want)

	s := open(t, ref, opts)
	defer s.Close()
	snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
	// pg_control and backup_label are read to know the backup again.
	if n := s.BytesRead(); n == 0 || n > 10<<10 {
		t.Errorf("the second open read %d bytes of the backup", n)
	}
	if !strings.Contains(snapshottest.Report(s), "kept in the cache") {
		t.Errorf("that it goes through the cache is not said:\n%s", snapshottest.Report(s))
	}

	// Disks of this host are read directly.
	opts.ReadAhead, opts.CacheDir = snapshot.ReadAheadAuto, t.TempDir()
	direct := open(t, ref, opts)
	defer direct.Close()
	snapshottest.Compare(t, snapshottest.Hashes(t, direct.Tree), want)
	if list, err := os.ReadDir(opts.CacheDir); err != nil || len(list) != 0 {
		t.Errorf("kept of a local disk: %v, %v", list, err)
	}
}

// Reads that go forwards cost few larger ones, and the whole no more than once.
func TestMounted_ReadsLittle(t *testing.T) {
	dir := cluster(t, func(c snapshottest.Cluster) { c["base/5/16400"] = make([]byte, 8<<20) })
	s := open(t, dir, snapshot.Options{CacheDir: t.TempDir(), ReadAhead: snapshot.ReadAheadOn})
	defer s.Close()
	f, err := s.Tree.Open("data/base/5/16400")
	must(t, err)
	defer f.Close()
	table := f.(interface {
		ReadAt(p []byte, off int64) (int, error)
	})
	before, page := s.BytesRead(), make([]byte, 8192)
	for _, off := range []int64{5 << 20, 1 << 20, 7 << 20} {
		_, err := table.ReadAt(page, off)
		must(t, err)
	}
	if n := s.BytesRead() - before; n > 3*256<<10 {
		t.Errorf("three pages cost %d bytes", n)
	}
	for off := int64(0); off < 8<<20; off += 8192 {
		_, err := table.ReadAt(page, off)
		must(t, err)
	}
	if n := s.BytesRead() - before; n != 8<<20 {
		t.Errorf("%d bytes were read of a file of %d", n, 8<<20)
	}
}

// What is kept of one backup is not shown of another that is mounted at the
// same place, even if its files have the same sizes and times.
func TestMounted_AnotherBackupAtTheSamePlace(t *testing.T) {
	dir := cluster(t, nil)
	opts := snapshot.Options{CacheDir: t.TempDir(), ReadAhead: snapshot.ReadAheadOn}
	read := func() []byte {
		s := open(t, dir, opts)
		defer s.Close()
		b, err := fs.ReadFile(s.Tree, "data/base/5/1259")
		must(t, err)
		return b
	}
	// change writes to a file without a trace in its times.
	change := func(name string, at int, to byte) {
		t.Helper()
		p := filepath.Join(dir, name)
		info, err := os.Stat(p)
		must(t, err)
		b, err := os.ReadFile(p)
		must(t, err)
		b[at] = to
		must(t, os.WriteFile(p, b, 0o600))
		must(t, os.Chtimes(p, info.ModTime(), info.ModTime()))
	}
	read()
	change("base/5/1259", 100, 7)
	change("backup_label", len("START WAL LOCATION: 0/2000028 (file 000000010000000000000020)\nCHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-21 06:31:5"), '9')
	if b := read(); b[100] != 7 {
		t.Error("a page of the other backup was shown")
	}
}

// Backups that restic and borg made of a data directory and its tablespace, and
// show by FUSE: what they lie in is recognised, read ahead, and kept.
func TestMounted_ByRealTools(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	want := snapshottest.TreeOf(t, filepath.Join(dir, "fp"), map[uint32]string{16384: filepath.Join(dir, "fp_ts1")})
	for _, program := range snapshottest.Mounters {
		t.Run(program, func(t *testing.T) {
			ref := snapshottest.Mounted(t, program, dir)
			opts := snapshot.Options{CacheDir: t.TempDir()}
			conforms(t, ref, snapshot.KindDirectory, opts, want)

			s := open(t, ref, opts)
			defer s.Close()
			if report := snapshottest.Report(s); !strings.Contains(report, "info mount:") || !strings.Contains(report, "fuse") {
				t.Errorf("the mount is not spoken of:\n%s", report)
			}
			snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
			if n := s.BytesRead(); n > 10<<10 {
				t.Errorf("what was read before was read again: %d bytes", n)
			}
		})
	}
}
