package sources_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/snapshottest/objectstest"
	"github.com/snapview/snapview/snapshot/sources"
)

// A cloud is what the real barman-cloud-backup 3.4 put into a bucket, as
// ../barman/testdata/make-cloud.sh makes it: one backup in three tars with a
// tablespace, and one that failed.
type cloud struct {
	dir    string // with the server's folder pg
	id     string // of the backup
	failed string
	wal    string // its only segment
}

func unpackCloud(t *testing.T) cloud {
	t.Helper()
	archive, err := filepath.Abs("../barman/testdata/cloud.tar.zst")
	must(t, err)
	c := cloud{dir: t.TempDir()}
	snapshottest.Tool(t, "zstd")
	snapshottest.Run(t, c.dir, snapshottest.Tool(t, "tar"), "--zstd", "-xf", archive)
	found, err := filepath.Glob(filepath.Join(c.dir, "pg/base/*"))
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	c.id, c.failed = filepath.Base(found[0]), filepath.Base(found[1])
	wal, err := filepath.Glob(filepath.Join(c.dir, "pg/wals/*", strings.Repeat("?", 24)))
	if err != nil || len(wal) != 1 {
		t.Fatalf("%v, %v", wal, err)
	}
	c.wal = wal[0]
	return c
}

func (c cloud) backup() string { return filepath.Join(c.dir, "pg", "base", c.id) }

// want is what tar and Barman's restore make of it.
func (c cloud) want(t *testing.T) map[string]string {
	t.Helper()
	pgdata, side, tar := t.TempDir(), t.TempDir(), snapshottest.Tool(t, "tar")
	for _, name := range []string{"data.tar", "data_0001.tar", "data_0002.tar"} {
		snapshottest.Run(t, pgdata, tar, "-xf", filepath.Join(c.backup(), name))
	}
	snapshottest.Run(t, side, tar, "-xf", filepath.Join(c.backup(), "16384.tar"))
	want := snapshottest.TreeOf(t, pgdata, map[uint32]string{16384: side})
	wal, err := os.ReadFile(c.wal)
	must(t, err)
	want["data/pg_wal/"+filepath.Base(c.wal)] = fmt.Sprintf("%x", sha256.Sum256(wal))
	return want
}

// compress does what barman-cloud-backup and barman-cloud-wal-archive do with
// --gzip, --bzip2 and --snappy.
func (c cloud) compress(t *testing.T, suffix string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.backup(), "*.tar"))
	must(t, err)
	for _, name := range append(files, c.wal) {
		if suffix != ".snappy" {
			snapshottest.Run(t, c.dir, snapshottest.Tool(t, map[string]string{".gz": "gzip", ".bz2": "bzip2"}[suffix]), "-1", name)
			continue
		}
		b, err := os.ReadFile(name)
		must(t, err)
		var packed bytes.Buffer
		w := s2.NewWriter(&packed, s2.WriterSnappyCompat(), s2.WriterBlockSize(64<<10))
		_, err = w.Write(b)
		must(t, errors.Join(err, w.Close(), os.Remove(name)))
		must(t, os.WriteFile(name+suffix, packed.Bytes(), 0o600))
	}
}

func TestBarmanCloud_Conforms(t *testing.T) {
	c := unpackCloud(t)
	snapshottest.Untouched(t, c.dir)
	want := c.want(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "bucket", c.dir)
	opts := cached(t)
	for name, ref := range map[string]string{"a copy": filepath.Join(c.dir, "pg"), "S3": "s3://bucket/pg"} {
		t.Run(name, func(t *testing.T) {
			snapshottest.Suite{
				Want: want, MaxOpen: 40 << 20, // without a manifest all headers are read
				Open: func(t testing.TB) *snapshot.Snapshot {
					s := open(t, ref, opts)
					id := s.Identity
					if s.Kind != snapshot.KindBarman || s.Ref != ref+"#"+c.id || id.PGVersion != 15 || id.EndLSN <= id.StartLSN ||
						id.StopTime.IsZero() || len(s.Tablespaces) != 1 || s.Tablespaces[0].Original == "" {
						t.Errorf("%s %s %+v %+v", s.Kind, s.Ref, id, s.Tablespaces)
					}
					return s
				},
			}.Run(t)
		})
	}
	for _, ref := range []string{c.backup(), "s3://bucket/pg/base/" + c.id, "s3://bucket/pg/base/" + c.id + "/", "s3://bucket/pg#" + c.id} {
		s := open(t, ref, opts)
		if !strings.HasSuffix(s.Ref, "pg#"+c.id) {
			t.Errorf("%s opens %s", ref, s.Ref)
		}
		must(t, s.Close())
	}
	for _, ref := range []string{c.dir, filepath.Join(c.dir, "pg"), "s3://bucket", "s3://bucket/pg/"} {
		list, err := sources.List(t.Context(), ref, sources.ListOptions{Snapshot: opts})
		must(t, err)
		if len(list) != 2 {
			t.Fatalf("%s: %+v", ref, list)
		}
		for _, l := range list {
			whole := l.Problem == "" && l.Time.Year() > 2000 && l.StoredBytes > 20<<20 && l.PGVersion == 15 && l.SystemID != 0 && l.Timeline == 1 && l.StopLSN > l.StartLSN
			if l.Label == c.id && !whole || l.Label == c.failed && !strings.Contains(l.Problem, "FAILED") {
				t.Errorf("%s: %+v", ref, l)
			}
		}
	}
}

func TestBarmanCloud_Compressed(t *testing.T) {
	for _, suffix := range []string{".gz", ".bz2", ".snappy"} {
		c := unpackCloud(t)
		want := c.want(t)
		c.compress(t, suffix)
		s := open(t, filepath.Join(c.dir, "pg"), cached(t))
		snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
		if n := len(s.Indexes()); n != 4 {
			t.Errorf("%s: %d indexes, want 4", suffix, n)
		}
		must(t, s.Close())
	}
}

func TestBarmanCloud_Incomplete(t *testing.T) {
	c := unpackCloud(t)
	pg := filepath.Join(c.dir, "pg")
	refused := func(gone, ref string, class error, text string) {
		t.Helper()
		if gone != "" {
			must(t, os.Rename(gone, c.dir+"/gone"))
			defer func() { must(t, os.Rename(c.dir+"/gone", gone)) }()
		}
		s, err := openAny(ref)
		if err == nil {
			err = s.Err()
			defer s.Close()
		}
		if !errors.Is(err, class) || !strings.Contains(err.Error(), text) {
			t.Errorf("without %s: %v; want it to hold %q and be %v", gone, err, text, class)
		}
	}
	refused("", pg+"#"+c.failed, snapshot.ErrDamaged, "FAILED")
	refused(filepath.Join(c.backup(), "data_0001.tar"), pg, snapshot.ErrDamaged, "data_0002.tar is there")
	refused(filepath.Join(c.backup(), "data_0002.tar"), pg, snapshot.ErrDamaged, "pg_control")
	refused(filepath.Join(c.backup(), "data.tar"), pg+"#"+c.id, snapshot.ErrDamaged, "its data is gone")
	refused(c.wal, pg, snapshot.ErrUnsafe, filepath.Base(c.wal))
}
