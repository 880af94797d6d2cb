package sources_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/sources"
)

func open(t testing.TB, ref string, opts snapshot.Options) *snapshot.Snapshot {
	t.Helper()
	s, err := sources.Open(context.Background(), ref, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("refused: %v\n%s", err, snapshottest.Report(s))
	}
	return s
}

func openAny(ref string) (*snapshot.Snapshot, error) {
	return sources.Open(context.Background(), ref, snapshot.Options{})
}

// conforms runs the suite on ref, which must be of the kind and hold want.
func conforms(t *testing.T, ref string, kind snapshot.Kind, opts snapshot.Options, want map[string]string) {
	t.Helper()
	snapshottest.Suite{
		Want: want, MaxOpen: 1 << 20,
		Open: func(t testing.TB) *snapshot.Snapshot {
			s := open(t, ref, opts)
			if s.Kind != kind {
				t.Errorf("kind %q, want %q", s.Kind, kind)
			}
			return s
		},
	}.Run(t)
}

func TestDirectory_Conforms(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	snapshottest.Untouched(t, dir)
	want := snapshottest.TreeOf(t, filepath.Join(dir, "fp"), map[uint32]string{16384: filepath.Join(dir, "fp_ts1")})
	conforms(t, filepath.Join(dir, "fp"), snapshot.KindDirectory, snapshot.Options{MaxOpenFiles: 4}, want)

	id := open(t, filepath.Join(dir, "fp"), snapshot.Options{}).Identity
	if id.PGVersion != 15 || id.SystemID != 7710508723054575464 || id.StartLSN != 0x1400028 || id.EndLSN != 0x1400100 ||
		id.CheckpointLSN != 0x1400060 || id.Timeline != 1 || id.WALSegmentSize != 1<<20 || !id.Checksums ||
		id.StartTime.Format("15:04:05") != "06:31:58" {
		t.Errorf("identity: %+v", id)
	}
}

// Tars that plain tar makes of a data directory, with the tablespace in the
// tar, or beside it on this host.
func TestTar_Conforms(t *testing.T) {
	program := snapshottest.Tool(t, "tar")
	dir := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	snapshottest.Untouched(t, dir)
	ts := filepath.Join(dir, "fp_ts1")
	want := snapshottest.TreeOf(t, filepath.Join(dir, "fp"), map[uint32]string{16384: ts})
	for name, c := range map[string]struct {
		opts snapshot.Options
		args []string
	}{
		"both":       {args: []string{"fp", "fp_ts1"}},
		"below":      {args: []string{"--transform=s,^,backups/monday/,S", "fp", "fp_ts1"}},
		"dot":        {args: []string{"-C", "fp", "."}, opts: snapshot.Options{Tablespaces: map[uint32]string{16384: ts}}},
		"sparse pax": {args: []string{"--format=pax", "--sparse", "fp", "fp_ts1"}},
		"sparse gnu": {args: []string{"--format=gnu", "--sparse", "fp", "fp_ts1"}},
		"followed":   {args: []string{"--dereference", "fp"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "backup")
			snapshottest.Run(t, dir, program, append([]string{"-cf", out}, c.args...)...)
			conforms(t, out, snapshot.KindTar, c.opts, want)
		})
	}
}

// gunzipped unpacks the folder that pg_basebackup -Ft wrote to plain tars.
func gunzipped(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(snapshottest.Unpack(t, "pg15/pg15-tar-gz.tar.zst"), "tar-gz")
	snapshottest.Tool(t, "gzip")
	snapshottest.Run(t, dir, "gzip", "-d", "base.tar.gz", "16384.tar.gz", "pg_wal.tar.gz")
	return dir
}

func TestTarFolder_Conforms(t *testing.T) {
	dir := gunzipped(t)
	snapshottest.Untouched(t, dir)
	pgdata, ts := t.TempDir(), t.TempDir()
	tar := snapshottest.Tool(t, "tar")
	snapshottest.Run(t, pgdata, tar, "-xf", filepath.Join(dir, "base.tar"))
	snapshottest.Run(t, filepath.Join(pgdata, "pg_wal"), tar, "-xf", filepath.Join(dir, "pg_wal.tar"))
	snapshottest.Run(t, ts, tar, "-xf", filepath.Join(dir, "16384.tar"))
	snapshottest.Run(t, pgdata, "cp", filepath.Join(dir, "backup_manifest"), ".")
	conforms(t, dir, snapshot.KindTarFolder, snapshot.Options{}, snapshottest.TreeOf(t, pgdata, map[uint32]string{16384: ts}))
}

// Every file cut short is noticed: refused at open, or an error on reading.
func TestTarFolder_CutShort(t *testing.T) {
	dir := gunzipped(t)
	for _, name := range []string{"base.tar", "16384.tar", "pg_wal.tar", "backup_manifest"} {
		whole, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{len(whole) / 3, len(whole) / 2, len(whole) * 9 / 10} {
			if err := os.WriteFile(filepath.Join(dir, name), whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := sources.Open(context.Background(), dir, snapshot.Options{})
			if err == nil {
				err = errors.Join(s.Err(), s.Close())
			}
			if err == nil && name != "pg_wal.tar" { // what is cut there may not be needed
				t.Errorf("%s cut to %d of %d bytes opens", name, n, len(whole))
			}
			if err != nil && !errors.Is(err, snapshot.ErrDamaged) && !errors.Is(err, snapshot.ErrUnsafe) {
				t.Errorf("%s cut to %d bytes: %v", name, n, err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// cluster writes a made-up cluster to disk.
func cluster(t testing.TB, change func(c snapshottest.Cluster)) string {
	t.Helper()
	c := snapshottest.NewCluster()
	if change != nil {
		change(c)
	}
	dir := filepath.Join(t.TempDir(), "pgdata")
	for name, b := range c {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDirectory_Links(t *testing.T) {
	t.Run("pg_wal elsewhere", func(t *testing.T) {
		dir := cluster(t, nil)
		wal := filepath.Join(t.TempDir(), "wal")
		must(t, os.Rename(filepath.Join(dir, "pg_wal"), wal))
		must(t, os.Symlink(wal, filepath.Join(dir, "pg_wal")))
		s := open(t, dir, snapshot.Options{})
		defer s.Close()
		if info, err := s.Tree.Lstat("data/pg_wal"); err != nil || !info.IsDir() {
			t.Errorf("pg_wal: %v, %v", info, err)
		}
	})
	t.Run("pg_wal gone, named by option", func(t *testing.T) {
		dir := cluster(t, nil)
		wal := filepath.Join(t.TempDir(), "wal")
		must(t, os.Rename(filepath.Join(dir, "pg_wal"), wal))
		must(t, os.Symlink("/nowhere/wal", filepath.Join(dir, "pg_wal")))
		s, err := sources.Open(context.Background(), dir, snapshot.Options{})
		must(t, err)
		if err := s.Err(); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("without WAL: %v", err)
		}
		must(t, s.Close())
		must(t, open(t, dir, snapshot.Options{WALDir: wal}).Close())
	})
	t.Run("a dangling tablespace", func(t *testing.T) {
		dir := cluster(t, nil)
		must(t, os.Mkdir(filepath.Join(dir, "pg_tblspc"), 0o700))
		must(t, os.Symlink("/nowhere/ts", filepath.Join(dir, "pg_tblspc", "16384")))
		s, err := sources.Open(context.Background(), dir, snapshot.Options{})
		must(t, err)
		if err := s.Err(); !errors.Is(err, snapshot.ErrUnsafe) || !strings.Contains(err.Error(), "--tablespace 16384=DIR") {
			t.Errorf("Err = %v", err)
		}
		must(t, s.Close())
		ts := t.TempDir()
		must(t, os.WriteFile(filepath.Join(ts, "x"), []byte("y"), 0o600))
		s = open(t, dir, snapshot.Options{Tablespaces: map[uint32]string{16384: ts}})
		defer s.Close()
		if b, err := fs.ReadFile(s.Tree, "data/pg_tblspc/16384/x"); err != nil || string(b) != "y" {
			t.Errorf("%q, %v", b, err)
		}
	})
	t.Run("data behind a link", func(t *testing.T) {
		dir := cluster(t, nil)
		must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "base", "5", "16400")))
		if _, err := sources.Open(context.Background(), dir, snapshot.Options{}); !errors.Is(err, snapshot.ErrUnsafe) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("logs behind a link", func(t *testing.T) {
		dir := cluster(t, nil)
		must(t, os.Symlink("/var/log", filepath.Join(dir, "log")))
		s := open(t, dir, snapshot.Options{})
		defer s.Close()
		if _, err := s.Tree.Lstat("data/log"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the link is there: %v", err)
		}
	})
	t.Run("the reference is a link", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "latest")
		must(t, os.Symlink(cluster(t, nil), link))
		must(t, open(t, link, snapshot.Options{}).Close())
	})
}

// A file that is replaced after the snapshot was opened is not read silently.
func TestDirectory_NoticesReplacedFiles(t *testing.T) {
	dir := cluster(t, nil)
	s := open(t, dir, snapshot.Options{})
	defer s.Close()
	name := filepath.Join(dir, "base/5/1259")
	must(t, os.Rename(name, name+".old"))
	must(t, os.Symlink("/etc/passwd", name))
	if _, err := fs.ReadFile(s.Tree, "data/base/5/1259"); err == nil {
		t.Error("a link was followed")
	}
	must(t, os.Remove(name))
	must(t, os.WriteFile(name, make([]byte, 3*8192), 0o600))
	if _, err := fs.ReadFile(s.Tree, "data/base/5/1259"); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("another file under the same name: %v", err)
	}
}

func TestDirectory_HardLinks(t *testing.T) {
	dir := cluster(t, nil)
	must(t, os.Link(filepath.Join(dir, "base/5/1259"), filepath.Join(dir, "base/5/1260")))
	tar := filepath.Join(t.TempDir(), "x.tar")
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "-cf", tar, ".")
	for _, ref := range []string{dir, tar} {
		s := open(t, ref, snapshot.Options{})
		defer s.Close()
		id := func(name string) string {
			info, err := s.Tree.Stat("data/base/5/" + name)
			must(t, err)
			return info.Sys().(*snapshot.Sys).LinkID()
		}
		if id("1259") == "" || id("1259") != id("1260") || id("PG_VERSION") != "" {
			t.Errorf("%s: link IDs %q, %q, %q", s.Kind, id("1259"), id("1260"), id("PG_VERSION"))
		}
	}
}

// What is no backup, or none of ours yet, is named.
func TestOpen_NamesOtherKinds(t *testing.T) {
	file := func(head string) func(t *testing.T) string {
		return func(t *testing.T) string {
			p := filepath.Join(t.TempDir(), "x")
			must(t, os.WriteFile(p, append([]byte(head), make([]byte, 4096)...), 0o600))
			return p
		}
	}
	folder := func(names ...string) func(t *testing.T) string {
		return func(t *testing.T) string {
			dir := t.TempDir()
			for _, n := range names {
				must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(n)), 0o700))
				must(t, os.WriteFile(filepath.Join(dir, n), []byte("x"), 0o600))
			}
			return dir
		}
	}
	for _, c := range []struct {
		name  string
		ref   func(t *testing.T) string
		class error
		says  string
	}{
		{"nothing there", func(*testing.T) string { return "/nowhere/at/all" }, fs.ErrNotExist, "/nowhere/at/all: it is not there: this host has no /nowhere."},
		{"an address", func(*testing.T) string { return "ftp://bucket/key" }, snapshot.ErrUnsupported, "ftp://"},
		{"empty folder", folder(), snapshot.ErrNotABackup, "PG_VERSION"},
		{"data directory below", folder("pgdata/PG_VERSION"), snapshot.ErrNotABackup, "pgdata"},
		{"zeros", file(""), snapshot.ErrNotABackup, "none of the kinds"},
		{"pg_dump", file("PGDMP"), snapshot.ErrUnsupported, "pg_restore"},
		{"qcow2", file("QFI\xfb"), snapshot.ErrUnsupported, "qcow2"},
		{"a pgBackRest repository that is not", folder("archive/main/archive.info", "backup/main/backup.info"), snapshot.ErrUnsupported, "pgBackRest"},
		{"restic", folder("config", "snapshots/x", "keys/x", "data/x"), snapshot.ErrUnsupported, "restic"},
		{"Barman", folder("base/x/y", "wals/x"), snapshot.ErrUnsupported, "Barman"},
		{"a tar of something else", func(t *testing.T) string {
			p := filepath.Join(t.TempDir(), "x.tar")
			snapshottest.Run(t, t.TempDir(), snapshottest.Tool(t, "tar"), "-cf", p, ".")
			return p
		}, snapshot.ErrNotABackup, "without a PostgreSQL data directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sources.Open(context.Background(), c.ref(t), snapshot.Options{})
			if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v; want class %v, saying %q", err, c.class, c.says)
			}
		})
	}
}

// Two data directories in one tar: the user must say which.
func TestTar_SeveralClusters(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Rename(cluster(t, nil), filepath.Join(dir, "a")))
	must(t, os.Rename(cluster(t, nil), filepath.Join(dir, "b")))
	tar := filepath.Join(t.TempDir(), "x.tar")
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "-cf", tar, ".")
	if _, err := sources.Open(context.Background(), tar, snapshot.Options{}); !errors.Is(err, snapshot.ErrNotABackup) || !strings.Contains(err.Error(), "a, b") {
		t.Errorf("err = %v", err)
	}
	must(t, open(t, tar, snapshot.Options{Root: "b"}).Close())
}

// A sanity check of the suite itself: it must see a wrong byte.
func TestSuite_ComparesContents(t *testing.T) {
	dir := cluster(t, nil)
	s := open(t, dir, snapshot.Options{})
	defer s.Close()
	before := snapshottest.Hashes(t, s.Tree)
	p := filepath.Join(dir, "base/5/1259")
	f, err := os.OpenFile(p, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{1}, 1), 8000)
	must(t, errors.Join(err, f.Close()))
	if after := snapshottest.Hashes(t, s.Tree); after["data/base/5/1259"] == before["data/base/5/1259"] {
		t.Error("one byte was changed, and the hashes are equal")
	}
}
