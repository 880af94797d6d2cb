package kloset_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset"
	"github.com/snapview/snapview/snapshot/kloset/klosettest"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

var monday = time.Date(2026, 11, 16, 1, 0, 0, 0, time.UTC)

// files lists a directory as an import that calls it prefix.
func files(t testing.TB, dir, prefix string) []klosettest.File {
	t.Helper()
	list, err := klosettest.Dir(dir, prefix)
	must(t, err)
	return list
}

// cluster is a made-up data directory as the files of a snapshot, with a table
// of several chunks.
func cluster(prefix string) []klosettest.File {
	c := snapshottest.NewCluster()
	c["base/5/16384"] = pages(40)
	files := []klosettest.File{{Path: "/", Mode: fs.ModeDir | 0o755}}
	for name, text := range c {
		files = append(files, klosettest.Text(prefix+"/"+name, string(text)))
	}
	return files
}

// pages are n pages of 8 KiB of which no two are alike.
func pages(n int) []byte {
	b := make([]byte, n*8192)
	for i := range n {
		copy(b[i*8192:], strings.Repeat(fmt.Sprintf("page %d of the table; ", i), 100))
	}
	return b
}

// create makes a store of many files.
func create(t testing.TB, o klosettest.Options) (*klosettest.Writer, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	w, err := klosettest.Create(dir, o)
	must(t, err)
	return w, dir
}

// store adds a snapshot and returns the first digits of its name.
func store(t testing.TB, w *klosettest.Writer, name string, at time.Time, files []klosettest.File) string {
	t.Helper()
	id, err := w.Snapshot(klosettest.Snapshot{Name: name, Time: at, Files: files})
	must(t, err)
	return id.Short()
}

// Data directories as imports of different kinds leave them, in stores of
// different settings.
func TestWritten_Conforms(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	want := snapshottest.TreeOf(t, filepath.Join(dir, "fp"), map[uint32]string{16384: filepath.Join(dir, "fp_ts1")})
	below := append(files(t, filepath.Join(dir, "fp"), "/srv/pg/fp"), files(t, filepath.Join(dir, "fp_ts1"), "/srv/pg/fp_ts1")...)
	small := klosettest.Options{Chunk: 32 << 10, Pack: 1 << 20}
	for name, c := range map[string]struct {
		write klosettest.Options
		files []klosettest.File
		opts  snapshot.Options
		brief bool // only compare the files
	}{
		"below":     {write: small, files: below},
		"named":     {write: small, files: below, opts: snapshot.Options{Root: "/srv/pg/fp"}, brief: true},
		"root":      {files: files(t, filepath.Join(dir, "fp"), "/"), opts: snapshot.Options{Tablespaces: map[uint32]string{16384: filepath.Join(dir, "fp_ts1")}}, brief: true},
		"encrypted": {write: klosettest.Options{Passphrase: passphrase, KDF: "ARGON2ID"}, files: below, opts: snapshot.Options{Passphrase: secret}},
		"tars":      {files: tars(t, dir), brief: true},
		"one tar":   {files: oneTar(t, dir), brief: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, at := create(t, c.write)
			store(t, w, name, monday, c.files)
			snapshottest.Untouched(t, at)
			if c.brief {
				s := open(t, at, c.opts)
				defer s.Close()
				snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
				return
			}
			snapshottest.Suite{Want: want, MaxOpen: 1 << 20, Open: func(t testing.TB) *snapshot.Snapshot {
				return open(t, at, c.opts)
			}}.Run(t)
		})
	}
}

// tars packs the plain backup as pg_basebackup -Ft would.
func tars(t *testing.T, dir string) []klosettest.File {
	out, tar := t.TempDir(), snapshottest.Tool(t, "tar")
	snapshottest.Run(t, filepath.Join(dir, "fp"), tar, "--exclude=./pg_tblspc/16384", "--exclude=./pg_wal/*", "--exclude=./backup_manifest", "-cf", filepath.Join(out, "base.tar"), ".")
	snapshottest.Run(t, filepath.Join(dir, "fp_ts1"), tar, "-cf", filepath.Join(out, "16384.tar"), ".")
	snapshottest.Run(t, filepath.Join(dir, "fp", "pg_wal"), tar, "-cf", filepath.Join(out, "pg_wal.tar"), ".")
	snapshottest.Run(t, dir, "cp", "fp/backup_manifest", out)
	return files(t, out, "/backups/monday")
}

// oneTar packs it into one tar beside other files.
func oneTar(t *testing.T, dir string) []klosettest.File {
	out := t.TempDir()
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "-cf", filepath.Join(out, "pg.tar"), "fp", "fp_ts1")
	return append(files(t, out, "/backups"), klosettest.Text("/etc/hostname", "db1\n"))
}

// Every codec, hash and key derivation that a store may have.
func TestWritten_Settings(t *testing.T) {
	for name, o := range map[string]klosettest.Options{
		"plain":     {},
		"none":      {Compression: "none"},
		"gzip":      {Compression: "GZIP"},
		"zstd":      {Compression: "ZSTD"},
		"sha256":    {SHA256: true},
		"old state": {OldState: true},
		"scrypt":    {Passphrase: passphrase, KDF: "SCRYPT"},
		"pbkdf2":    {Passphrase: passphrase, KDF: "PBKDF2", Compression: "none"},
		"argon2id":  {Passphrase: passphrase, KDF: "ARGON2ID", SHA256: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.Chunk = 64 << 10
			file := filepath.Join(t.TempDir(), "x.ptar")
			_, err := klosettest.Ptar(file, o, klosettest.Snapshot{Time: monday, Files: cluster("")})
			must(t, err)
			w, dir := create(t, o)
			store(t, w, "", monday, cluster("/pg"))
			for _, ref := range []string{file, dir} {
				s := open(t, ref, snapshot.Options{Passphrase: secret})
				defer s.Close()
				if b, err := fs.ReadFile(s.Tree, "data/base/5/16384"); err != nil || string(b) != string(pages(40)) {
					t.Errorf("%s: %d bytes, %v", ref, len(b), err)
				}
			}
		})
	}
}

func TestSelect(t *testing.T) {
	w, dir := create(t, klosettest.Options{})
	day := 24 * time.Hour
	old := store(t, w, "old", monday, cluster("/old"))
	mid := store(t, w, "mid", monday.Add(day), cluster("/mid"))
	gone, err := w.Snapshot(klosettest.Snapshot{Name: "gone", Time: monday.Add(2 * day), Files: cluster("")})
	must(t, err)
	must(t, w.Delete(gone))
	etc := store(t, w, "etc", monday.Add(3*day), []klosettest.File{klosettest.Text("/etc/passwd", "root")})
	failed := store(t, w, "failed", monday.Add(4*day), []klosettest.File{{Path: "/", Mode: fs.ModeDir | 0o755}})

	for _, sel := range []string{"", "latest", mid, mid[:6]} {
		s := open(t, dir, snapshot.Options{Select: sel})
		last := s.Checks[0]
		for _, c := range s.Checks {
			if c.Name == "snapshot" && c.Outcome == snapshot.Warn {
				last = c
			}
		}
		if sel == "" || sel == "latest" {
			if !strings.Contains(last.Detail, failed) || !strings.Contains(last.Detail, etc) || len(s.Warnings) == 0 {
				t.Errorf("select %q does not say what it passed over: %+v", sel, s.Checks)
			}
		}
		if s.Checks[0].Outcome != snapshot.OK || !strings.Contains(s.Checks[0].Detail, mid) {
			t.Errorf("select %q opened %q, want %s", sel, s.Checks[0].Detail, mid)
		}
		must(t, s.Close())
	}
	must(t, open(t, dir, snapshot.Options{Select: old}).Close())
	must(t, open(t, dir, snapshot.Options{Root: "old"}).Close())

	for sel, says := range map[string]string{
		etc: "no data directory", failed: "holds no files", gone.Short(): "there are " + failed, "zz": "there are",
	} {
		if _, err := kloset.Open(t.Context(), dir, snapshot.Options{Select: sel}); !errors.Is(err, snapshot.ErrNotABackup) || !strings.Contains(err.Error(), says) {
			t.Errorf("select %q: %v", sel, err)
		}
	}
	local, err := objects.OpenLocal(dir, 0, &snapshot.Counter{})
	must(t, err)
	defer local.Close()
	list, err := kloset.List(t.Context(), local, snapshot.Options{})
	must(t, err)
	if len(list) != 4 || list[0].Label != failed || list[0].Problem == "" || list[3].Ref != local.String()+"#"+old || list[3].Problem != "" {
		t.Errorf("list: %+v", list)
	}
}

// Two data directories, or two folders of tars, are a question to the user,
// not a reason to open an older snapshot.
func TestAmbiguous(t *testing.T) {
	w, dir := create(t, klosettest.Options{})
	store(t, w, "", monday, cluster("/only"))
	store(t, w, "", monday.Add(1), append(cluster("/a"), cluster("/b")[1:]...))
	_, err := kloset.Open(t.Context(), dir, snapshot.Options{})
	if !errors.Is(err, snapshot.ErrNotABackup) || !strings.Contains(err.Error(), "a, b") {
		t.Errorf("err = %v", err)
	}
	must(t, open(t, dir, snapshot.Options{Root: "b"}).Close())
	store(t, w, "", monday.Add(2), []klosettest.File{klosettest.Text("/a/base.tar", "x"), klosettest.Text("/b/base.tar", "x")})
	if _, err := kloset.Open(t.Context(), dir, snapshot.Options{}); !errors.Is(err, snapshot.ErrNotABackup) || !strings.Contains(err.Error(), "/base.tar") {
		t.Errorf("err = %v", err)
	}
	store(t, w, "", monday.Add(3), []klosettest.File{klosettest.Text("/a/base.tar.gz", "x")})
	if _, err := kloset.Open(t.Context(), dir, snapshot.Options{}); !errors.Is(err, snapshot.ErrUnsupported) {
		t.Errorf("err = %v", err)
	}
}

// The importer of tars keeps links as empty files with a target.
func TestLinks(t *testing.T) {
	w, dir := create(t, klosettest.Options{})
	list := append(cluster("/pg"),
		klosettest.File{Path: "/pg/pg_tblspc/16400", Mode: 0o777, Link: "/srv/fast"},
		klosettest.Text("/srv/fast/PG_15_202209061/5/16385", "tuples"),
		klosettest.File{Path: "/pg/current", Mode: fs.ModeSymlink | 0o777, Link: "PG_VERSION"},
		klosettest.File{Path: "/pg/.s.PGSQL.5432", Mode: fs.ModeSocket | 0o777})
	store(t, w, "", monday, list)
	s := open(t, dir, snapshot.Options{})
	defer s.Close()
	if b, err := fs.ReadFile(s.Tree, "data/pg_tblspc/16400/PG_15_202209061/5/16385"); string(b) != "tuples" {
		t.Errorf("%q, %v", b, err)
	}
	if to, err := s.Tree.ReadLink("data/current"); to != "PG_VERSION" {
		t.Errorf("%q, %v", to, err)
	}
	if _, err := s.Tree.Lstat("data/.s.PGSQL.5432"); err == nil || !strings.Contains(snapshottest.Report(s), "socket") {
		t.Errorf("the socket: %v\n%s", err, snapshottest.Report(s))
	}
}

// Reading a page reads the chunk that it is in and no other.
func TestLazy(t *testing.T) {
	w, dir := create(t, klosettest.Options{Compression: "none", Chunk: 64 << 10})
	store(t, w, "", monday, cluster(""))
	s := open(t, dir, snapshot.Options{})
	defer s.Close()
	f, err := s.Tree.Open("data/base/5/16384")
	must(t, err)
	defer f.Close()
	before, page := s.BytesRead(), make([]byte, 8192)
	_, err = f.(interface {
		ReadAt([]byte, int64) (int, error)
	}).ReadAt(page, 20*8192)
	must(t, err)
	if n := s.BytesRead() - before; n < 32<<10 || n > 3*64<<10 {
		t.Errorf("a page cost %d bytes", n)
	}
	if string(page) != string(pages(21)[20*8192:]) {
		t.Error("another page was read")
	}
}

func TestPassphrase(t *testing.T) {
	w, dir := create(t, klosettest.Options{Passphrase: passphrase})
	store(t, w, "", monday, cluster(""))
	asked := ""
	for name, ask := range map[string]func(string) ([]byte, error){
		"none":  nil,
		"wrong": func(what string) ([]byte, error) { asked = what; return []byte("x"), nil },
	} {
		_, err := kloset.Open(t.Context(), dir, snapshot.Options{Passphrase: ask})
		if !errors.Is(err, snapshot.ErrPassphrase) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--passphrase-file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked != dir {
		t.Errorf("asked for the passphrase of %q", asked)
	}
	silent := errors.New("nobody answers")
	if _, err := kloset.Open(t.Context(), dir, snapshot.Options{Passphrase: func(string) ([]byte, error) { return nil, silent }}); !errors.Is(err, silent) {
		t.Errorf("err = %v", err)
	}
}

// What is missing from a store, and what is in it besides.
func TestStore_Incomplete(t *testing.T) {
	w, dir := create(t, klosettest.Options{})
	store(t, w, "", monday, cluster(""))
	must(t, os.WriteFile(filepath.Join(dir, "states", "README"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, "states", "00", "x"), 0o700))
	must(t, open(t, dir, snapshot.Options{}).Close())
	packs, err := filepath.Glob(filepath.Join(dir, "packfiles", "*", "*"))
	must(t, err)
	for _, p := range packs {
		must(t, os.Remove(p))
	}
	if _, err := kloset.Open(t.Context(), dir, snapshot.Options{}); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "packfile") {
		t.Errorf("without packfiles: %v", err)
	}
	empty, at := create(t, klosettest.Options{})
	must(t, empty.Flush())
	if _, err := kloset.Open(t.Context(), at, snapshot.Options{}); !errors.Is(err, snapshot.ErrNotABackup) {
		t.Errorf("an empty store: %v", err)
	}
	if _, err := kloset.Open(t.Context(), t.TempDir(), snapshot.Options{}); !errors.Is(err, snapshot.ErrNotABackup) {
		t.Errorf("an empty folder: %v", err)
	}
}
