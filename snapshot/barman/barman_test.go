package barman_test

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/barman"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// A server is the folder of a real one, of Barman 3.4 and PostgreSQL 15, as
// testdata/make.sh makes it: two backups, each with a tablespace.
type server struct {
	dir      string
	streamed string // ID of the backup by pg_basebackup; its WAL is gzipped
	copied   string // ID of the backup by rsync; its WAL is by bzip2
}

const tablespace = 16384

// withoutTables leaves out what most tests never read, and the manifest that
// would miss it.
var withoutTables = []string{"--exclude=pg/base/*/data/base/*/*", "--exclude=backup_manifest"}

// unpack unpacks the server into a temporary folder.
func unpack(t *testing.T, tarOptions ...string) server {
	t.Helper()
	archive, err := filepath.Abs("testdata/server.tar.zst")
	must(t, err)
	dir := t.TempDir()
	snapshottest.Tool(t, "zstd")
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), append(slices.Clone(tarOptions), "--zstd", "-xf", archive)...)
	s := server{dir: filepath.Join(dir, "pg")}
	found, err := filepath.Glob(filepath.Join(s.dir, "base/*"))
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	s.streamed, s.copied = filepath.Base(found[0]), filepath.Base(found[1])
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s server) backup(id string) string { return filepath.Join(s.dir, "base", id) }

// edit replaces text in a backup's info.
func (s server) edit(t *testing.T, id, old, text string) {
	t.Helper()
	name := filepath.Join(s.backup(id), "backup.info")
	b, err := os.ReadFile(name)
	must(t, err)
	if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("no %q in %s", old, b)
	}
	must(t, os.WriteFile(name, bytes.Replace(b, []byte(old), []byte(text), 1), 0o600))
}

// segment returns the path of the backup's only segment of WAL, and what it
// holds.
func (s server) segment(t *testing.T, id string) (name string, wal []byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.backup(id), "backup.info"))
	must(t, err)
	_, rest, _ := strings.Cut(string(b), "begin_wal=")
	name, rest, _ = strings.Cut(rest, "\n")
	if !strings.Contains(rest, "end_wal="+name) {
		t.Fatalf("the backup has other segments than %s: %s", name, b)
	}
	name = filepath.Join(s.dir, "wals", name[:16], name)
	stored, err := os.ReadFile(name)
	must(t, err)
	var r io.Reader = bzip2.NewReader(bytes.NewReader(stored))
	if id == s.streamed {
		r, err = gzip.NewReader(bytes.NewReader(stored))
		must(t, err)
	}
	wal, err = io.ReadAll(r)
	must(t, err)
	return name, wal
}

// want is what the tree of a backup must hold.
func (s server) want(t *testing.T, id string) map[string]string {
	t.Helper()
	dir := s.backup(id)
	want := snapshottest.TreeOf(t, filepath.Join(dir, "data"), map[uint32]string{tablespace: filepath.Join(dir, fmt.Sprint(tablespace))})
	name, wal := s.segment(t, id)
	want["data/pg_wal/"+filepath.Base(name)] = fmt.Sprintf("%x", sha256.Sum256(wal))
	return want
}

// at returns what a folder is to Barman. Two levels above it are in its reach.
func at(t testing.TB, dir string) barman.Place {
	t.Helper()
	top, name := dir, "."
	for range 2 {
		name = filepath.Join(filepath.Base(top), name)
		top = filepath.Dir(top)
	}
	store, err := objects.OpenLocal(top, 0, &snapshot.Counter{})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	list, err := store.List(t.Context(), name)
	must(t, err)
	p, ok := barman.At(t.Context(), store, name, dir, list)
	if !ok {
		t.Fatalf("%s is not recognised", dir)
	}
	return p
}

func open(t testing.TB, dir, selected string) (*snapshot.Snapshot, error) {
	t.Helper()
	return barman.Open(context.Background(), at(t, dir), snapshot.Options{Select: selected, CacheDir: t.TempDir()})
}

func opened(t testing.TB, dir, selected string) *snapshot.Snapshot {
	t.Helper()
	s, err := open(t, dir, selected)
	must(t, err)
	if err := s.Err(); err != nil {
		t.Fatalf("%v\n%s", err, snapshottest.Report(s))
	}
	return s
}

func TestSuite(t *testing.T) {
	s := unpack(t)
	snapshottest.Untouched(t, s.dir)
	for name, id := range map[string]string{"postgres": s.streamed, "rsync": s.copied} {
		t.Run(name, func(t *testing.T) {
			snapshottest.Suite{
				Open:    func(t testing.TB) *snapshot.Snapshot { return opened(t, s.dir, id) },
				Want:    s.want(t, id),
				MaxOpen: 600 << 10,
			}.Run(t)
			snap := opened(t, s.backup(id), "")
			defer snap.Close()
			i := snap.Identity
			if snap.Kind != snapshot.KindBarman || !strings.HasSuffix(snap.Ref, "pg#"+id) || i.PGVersion != 15 ||
				i.StopTime.IsZero() || i.EndLSN <= i.StartLSN || len(snap.Tablespaces) != 1 || snap.Tablespaces[0].Original == "" {
				t.Errorf("%s %s %+v %+v", snap.Kind, snap.Ref, i, snap.Tablespaces)
			}
		})
	}
}

// Barman's backup_compression: tars below data, the tablespace's too, beside an
// empty folder of it.
func TestSuite_Tars(t *testing.T) {
	s := unpack(t)
	want := s.want(t, s.streamed)
	dir := s.backup(s.streamed)
	data, side := filepath.Join(dir, "data"), filepath.Join(dir, fmt.Sprint(tablespace))
	manifest, err := os.ReadFile(filepath.Join(data, "backup_manifest"))
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(data, "pg_tblspc", fmt.Sprint(tablespace))))
	must(t, os.Remove(filepath.Join(data, "backup_manifest")))
	base, sideTar := packed(t, data), packed(t, side)
	for _, d := range []string{data, side} {
		must(t, os.RemoveAll(d))
		must(t, os.Mkdir(d, 0o700))
	}
	must(t, os.WriteFile(filepath.Join(data, "backup_manifest"), manifest, 0o600))
	must(t, os.WriteFile(filepath.Join(data, "base.tar.gz"), base, 0o600))
	must(t, os.WriteFile(filepath.Join(data, fmt.Sprint(tablespace, ".tar.gz")), sideTar, 0o600))
	snapshottest.Untouched(t, s.dir)
	cache := t.TempDir()
	snapshottest.Suite{
		Open: func(t testing.TB) *snapshot.Snapshot {
			snap, err := barman.Open(context.Background(), at(t, s.dir), snapshot.Options{Select: s.streamed, CacheDir: cache})
			must(t, err)
			if snap.Err() != nil || snap.Kind != snapshot.KindBarman || len(snap.Tablespaces) != 1 || len(snap.Indexes()) != 2 {
				t.Fatalf("%s, %v: %v", snap.Kind, snap.Tablespaces, snap.Err())
			}
			return snap
		},
		Want: want,
	}.Run(t)
}

// packed makes a tar.gz of a folder.
func packed(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	must(t, err)
	w := tar.NewWriter(z)
	must(t, w.AddFS(os.DirFS(dir)))
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

// WAL in every compression that Barman has, and where it lies before it is
// filed.
func TestWAL(t *testing.T) {
	s := unpack(t, withoutTables...)
	name, wal := s.segment(t, s.copied)
	for codec, write := range map[string]func(io.Writer) (io.WriteCloser, error){
		"none": func(w io.Writer) (io.WriteCloser, error) { return nopCloser{w}, nil },
		"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"xz":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
		"lz4":  func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil },
		"snappy": func(w io.Writer) (io.WriteCloser, error) {
			return s2.NewWriter(w, s2.WriterSnappyCompat(), s2.WriterBlockSize(64<<10)), nil
		},
	} {
		var b bytes.Buffer
		w, err := write(&b)
		must(t, err)
		_, err = w.Write(wal)
		must(t, err)
		must(t, w.Close())
		must(t, os.WriteFile(name, b.Bytes(), 0o600))
		s.readWAL(t, codec, name, wal)
	}
	must(t, os.WriteFile(filepath.Join(s.dir, "streaming", filepath.Base(name)), wal, 0o600))
	must(t, os.RemoveAll(filepath.Dir(name)))
	s.readWAL(t, "streaming", name, wal)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (s server) readWAL(t *testing.T, what, name string, want []byte) {
	t.Helper()
	snap := opened(t, s.dir, s.copied)
	defer snap.Close()
	b, err := fs.ReadFile(snap.Tree, "data/pg_wal/"+filepath.Base(name))
	if err != nil || !bytes.Equal(b, want) {
		t.Errorf("%s: %d bytes, %v", what, len(b), err)
	}
	list, err := snap.Tree.ReadDir("data/pg_wal")
	if err != nil || len(list) != 1 {
		t.Errorf("%s: pg_wal has %v, %v", what, list, err)
	}
}

func TestWAL_MissingOrDamaged(t *testing.T) {
	s := unpack(t, withoutTables...)
	name, wal := s.segment(t, s.streamed)
	stored, err := os.ReadFile(name)
	must(t, err)
	flipped := bytes.Clone(stored)
	flipped[len(flipped)/2] ^= 0x55
	var short bytes.Buffer
	z := gzip.NewWriter(&short)
	_, err = z.Write(wal[:len(wal)/2])
	must(t, errors.Join(err, z.Close()))
	for what, b := range map[string][]byte{"cut": stored[:len(stored)-9], "flipped": flipped, "short": short.Bytes()} {
		must(t, os.WriteFile(name, b, 0o600))
		snap := opened(t, s.dir, s.streamed) // the bytes show when they are read
		if _, err := fs.ReadFile(snap.Tree, "data/pg_wal/"+filepath.Base(name)); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "Barman's archive") {
			t.Errorf("%s: %v", what, err)
		}
		must(t, snap.Close())
	}
	refused := func(what, detail string) {
		t.Helper()
		snap, err := open(t, s.dir, s.streamed)
		must(t, err)
		defer snap.Close()
		if err := snap.Err(); err == nil || !strings.Contains(err.Error(), detail) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, os.WriteFile(name, wal[:len(wal)/2], 0o600))
	refused("cut, not compressed", "cut short")
	must(t, os.WriteFile(name, append([]byte("\x85"), stored...), 0o600))
	refused("encrypted", "missing")
	must(t, os.Remove(name))
	refused("missing", filepath.Base(name))
	must(t, os.RemoveAll(filepath.Join(s.dir, "wals")))
	refused("no archive", filepath.Base(name))
}

func TestCatalogue(t *testing.T) {
	s := unpack(t, withoutTables...)
	p := at(t, s.dir)
	list, err := barman.List(t.Context(), p)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, l := range list {
		if l.Problem != "" || l.Kind != snapshot.KindBarman || l.Type != "full" || l.Time.IsZero() || l.PGVersion != 15 || l.SystemID == 0 ||
			l.Timeline != 1 || l.StopLSN <= l.StartLSN || l.StoredBytes < 20<<20 {
			t.Errorf("%+v", l)
		}
	}
	chosen := func(dir, selected, id string) {
		t.Helper()
		snap := opened(t, dir, selected)
		defer snap.Close()
		if !strings.HasSuffix(snap.Ref, "#"+id) {
			t.Errorf("%q opens %s, not %s", selected, snap.Ref, id)
		}
	}
	chosen(s.dir, "", s.copied)
	chosen(s.dir, "latest", s.copied)
	chosen(s.dir, s.streamed, s.streamed)
	chosen(s.backup(s.streamed), "", s.streamed)
	s.edit(t, s.streamed, "status=DONE", "backup_name=before\nstatus=WAITING_FOR_WALS")
	chosen(s.dir, "before", s.streamed)

	// Barman 3.13 keeps the infos in meta.
	must(t, os.Mkdir(filepath.Join(s.dir, "meta"), 0o700))
	must(t, os.Rename(filepath.Join(s.backup(s.streamed), "backup.info"), filepath.Join(s.dir, "meta", s.streamed+"-backup.info")))
	chosen(s.dir, "before", s.streamed)
	chosen(s.backup(s.streamed), "", s.streamed)

	if _, err := open(t, s.dir, "2001"); !errors.Is(err, snapshot.ErrNotABackup) || !strings.Contains(err.Error(), s.copied) {
		t.Errorf("no such backup: %v", err)
	}
	if _, err := open(t, s.dir, "20"); !errors.Is(err, snapshot.ErrNotABackup) {
		t.Errorf("two begin so: %v", err)
	}
	s.edit(t, s.copied, "status=DONE", "parent_backup_id="+s.streamed+"\nstatus=DONE")
	if _, err := open(t, s.dir, s.copied); !errors.Is(err, snapshot.ErrUnsupported) || !strings.Contains(err.Error(), s.streamed) {
		t.Errorf("an incremental backup: %v", err)
	}
	s.edit(t, s.copied, "status=DONE", "status=FAILED")
	s.edit(t, s.copied, "error=None", "error=failure of rsync")
	chosen(s.dir, "latest", s.streamed)
	if _, err := open(t, s.dir, s.copied); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "failure of rsync") {
		t.Errorf("a failed backup: %v", err)
	}
	s.edit(t, s.copied, "begin_xlog=", "begin_xlog=?")
	list, err = barman.List(t.Context(), p)
	if err != nil || len(list) != 2 || list[0].Problem != "" || !strings.Contains(list[1].Problem, "begin_xlog") {
		t.Errorf("a damaged info: %+v, %v", list, err)
	}
	chosen(s.dir, "", s.streamed)
	if _, err := open(t, s.dir, s.copied); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("a damaged info: %v", err)
	}
}

// Files of another cluster than the info is of.
func TestOpen_AnotherCluster(t *testing.T) {
	s := unpack(t, withoutTables...)
	s.edit(t, s.copied, "systemid=", "systemid=1")
	snap, err := open(t, s.dir, s.copied)
	must(t, err)
	defer snap.Close()
	if err := snap.Err(); !errors.Is(err, snapshot.ErrDamaged) {
		t.Error(err)
	}
}

// A backup that was moved without its server lacks the WAL.
func TestOpen_Alone(t *testing.T) {
	s := unpack(t, withoutTables...)
	lone := filepath.Join(t.TempDir(), "monday")
	name, wal := s.segment(t, s.copied)
	must(t, os.Rename(s.backup(s.copied), lone))
	snap, err := open(t, lone, "")
	must(t, err)
	defer snap.Close()
	if err := snap.Err(); err == nil || !strings.Contains(err.Error(), "missing") || snap.Ref != lone {
		t.Errorf("%s: %v", snap.Ref, err)
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, filepath.Base(name)), wal, 0o600))
	whole, err := barman.Open(t.Context(), at(t, lone), snapshot.Options{WALDir: dir})
	must(t, err)
	defer whole.Close()
	if err := whole.Err(); err != nil {
		t.Error(err)
	}
}
