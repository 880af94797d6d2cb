package verify_test

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/sources"
	"github.com/snapview/snapview/snapshot/verify"
)

func open(t *testing.T, ref string) *snapshot.Snapshot {
	t.Helper()
	s, err := sources.Open(t.Context(), ref, snapshot.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func files(t *testing.T, s *snapshot.Snapshot) *verify.Report {
	t.Helper()
	var last, total int64
	r, err := verify.Files(t.Context(), s, verify.Options{Progress: func(done, all int64) {
		if done < last || done > all {
			t.Errorf("progress went from %d to %d of %d", last, done, all)
		}
		last, total = done, all
	}})
	if err != nil {
		t.Fatal(err)
	}
	if last != total || total == 0 && r.Count() == 0 {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	return r
}

func TestFiles_RealBackupsAreWhole(t *testing.T) {
	plain := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	tars := snapshottest.Unpack(t, "pg15/pg15-tar-gz.tar.zst")
	chain := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	for _, ref := range []string{filepath.Join(plain, "fp"), filepath.Join(tars, "tar-gz"), filepath.Join(chain, "fp-incr2")} {
		t.Run(filepath.Base(ref), func(t *testing.T) {
			r := files(t, open(t, ref))
			if err := r.Err(); err != nil {
				t.Errorf("%v\n%+v", err, r)
			}
			if r.Files < 300 || r.Bytes < 5<<20 || r.WALRecords < 1 || r.Unverified != 0 {
				t.Errorf("%d files, %d bytes, %d not verified, %d WAL records", r.Files, r.Bytes, r.Unverified, r.WALRecords)
			}
		})
	}
}

// Each case damages a copy; pg_verifybackup is the judge of what is damage.
func TestFiles_FindsWhatPgVerifybackupFinds(t *testing.T) {
	judges, _ := filepath.Glob("/usr/lib/postgresql/15/bin/pg_verifybackup")
	snapshottest.Need(t, len(judges) == 1, "pg_verifybackup of PostgreSQL 15")
	dir := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	fp := filepath.Join(dir, "fp")
	flipAt := func(at int64) func(string) error { return func(name string) error { return flip(name, at) } }
	write := func(name string) error { return os.WriteFile(name, nil, 0o600) }
	for _, c := range []struct {
		name   string
		file   string
		damage func(name string) error
		kind   verify.Kind // empty: not damage
		path   string
	}{
		{"a flipped bit", "fp/base/5/1259", flipAt(5000), verify.Sum, "base/5/1259"},
		{"a flipped bit in a tablespace", "fp_ts1/PG_15_202209061/5/16401", flipAt(5000), verify.Sum, "pg_tblspc/16384/PG_15_202209061/5/16401"},
		{"a file too short", "fp/base/5/2606", func(name string) error { return os.Truncate(name, 8192) }, verify.Size, "base/5/2606"},
		{"a missing file", "fp/base/5/1249", os.Remove, verify.Missing, "base/5/1249"},
		{"a file too many", "fp/base/5/99999", write, verify.Extra, "base/5/99999"},
		{"settings by ALTER SYSTEM", "fp/postgresql.auto.conf", write, "", ""},
		{"a signal file", "fp/standby.signal", write, "", ""},
		{"a record of the WAL", "fp/pg_wal/000000010000000000000014", flipAt(0x30), verify.WAL, "pg_wal"},
		{"WAL missing", "fp/pg_wal/000000010000000000000014", os.Remove, verify.WAL, "pg_wal"},
		{"the manifest", "fp/backup_manifest", flipAt(300), verify.Manifest, "backup_manifest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(dir, c.file)
			defer restored(t, name)()
			if err := c.damage(name); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(judges[0], fp).CombinedOutput()
			if (err == nil) != (c.kind == "") {
				t.Fatalf("pg_verifybackup thinks otherwise: %v\n%s", err, out)
			}
			r := files(t, open(t, fp))
			if c.kind == "" {
				if err := r.Err(); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(r.Err(), snapshot.ErrDamaged) {
				t.Errorf("Err = %v", r.Err())
			}
			if len(r.Problems) != 1 || r.Problems[0].Kind != c.kind || r.Problems[0].Path != c.path {
				t.Errorf("problems: %+v", r.Problems)
			}
		})
	}
}

// restored remembers a file, if there is one, and returns what brings it back.
func restored(t *testing.T, name string) func() {
	t.Helper()
	before, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return func() { os.Remove(name) }
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(name, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func flip(name string, at int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	if err == nil {
		b[0] ^= 0x10
		_, err = f.WriteAt(b, at)
	}
	return errors.Join(err, f.Close())
}

// withManifest is a made-up cluster with a manifest of one file.
func withManifest(sum string) snapshottest.Cluster {
	c := snapshottest.NewCluster()
	text := "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n"
	names := []string{}
	for name := range c {
		if !strings.HasPrefix(name, "pg_wal/") && name != "base/5/1259" {
			names = append(names, fmt.Sprintf("{ \"Path\": %q, \"Size\": %d, \"Last-Modified\": \"2026-11-21 06:31:50 GMT\" }", name, len(c[name])))
		}
	}
	names = append(names, fmt.Sprintf("{ \"Path\": \"base/5/1259\", \"Size\": 24576, \"Last-Modified\": \"2026-11-21 06:31:50 GMT\", %s }", sum))
	text += strings.Join(names, ",\n") + "\n],\n\"WAL-Ranges\": [\n],\n"
	c["backup_manifest"] = fmt.Appendf(nil, "%s\"Manifest-Checksum\": \"%x\"}\n", text, sha256.Sum256([]byte(text)))
	return c
}

func TestFiles_EveryAlgorithm(t *testing.T) {
	zeros := make([]byte, 24576)
	for name, sum := range map[string]string{
		"SHA224": fmt.Sprintf("%x", sha256.Sum224(zeros)), "SHA256": fmt.Sprintf("%x", sha256.Sum256(zeros)),
		"SHA384": fmt.Sprintf("%x", sha512.Sum384(zeros)), "SHA512": fmt.Sprintf("%x", sha512.Sum512(zeros)),
	} {
		for _, flipped := range []bool{false, true} {
			c := withManifest(fmt.Sprintf("\"Checksum-Algorithm\": %q, \"Checksum\": %q", name, sum))
			if flipped {
				c["base/5/1259"][20000] = 1
			}
			s, err := c.Snapshot(t, snapshot.Options{})
			if err != nil {
				t.Fatal(err)
			}
			r := files(t, s)
			if got := r.Count() != 0; got != flipped {
				t.Errorf("%s: flipped %v, problems %+v", name, flipped, r.Problems)
			}
			if r.Unverified != 6 {
				t.Errorf("%s: %d files not verified; the others have none", name, r.Unverified)
			}
		}
	}
	s, err := withManifest(`"Checksum-Algorithm": "MD5", "Checksum": "00"`).Snapshot(t, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := files(t, s); len(r.Problems) != 1 || r.Problems[0].Kind != verify.Unreadable {
		t.Errorf("an unknown algorithm: %+v", r.Problems)
	}
}

func TestFiles_ByTheStoresOwnChecksums(t *testing.T) {
	for _, good := range []bool{true, false} {
		c := snapshottest.NewCluster()
		b := snapshot.NewBuilder()
		for name, text := range c {
			sum := sha256.Sum256(text)
			if name == "base/5/1259" && !good {
				sum[0] ^= 1
			}
			m := snapshot.Meta{Perm: 0o600, Physical: -1, Checksum: &snapshot.Checksum{Algorithm: "SHA256", Sum: sum[:]}}
			if err := b.File("data/"+name, int64(len(text)), snapshot.Bytes(text), m); err != nil {
				t.Fatal(err)
			}
		}
		s, err := snapshot.Identify(t.Context(), snapshot.Draft{Kind: snapshot.KindMemory, Ref: "memory", Builder: b}, snapshot.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := files(t, s)
		if r.Against != "the store" || r.Unverified != 0 || (r.Count() == 0) != good {
			t.Errorf("good %v: %+v", good, r)
		}
	}
}

func TestFiles_ReadForwardsInTheStore(t *testing.T) {
	b := snapshot.NewBuilder()
	var order []string
	for i, name := range []string{"global/pg_control", "PG_VERSION", "base/5/1259", "backup_label", "pg_wal/000000010000000000000020"} {
		text := snapshottest.NewCluster()[name]
		content := spy{snapshot.Bytes(text), func() { order = append(order, name) }}
		if err := b.File("data/"+name, int64(len(text)), content, snapshot.Meta{Physical: int64(100 - i)}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := snapshot.Identify(t.Context(), snapshot.Draft{Kind: snapshot.KindMemory, Ref: "memory", Builder: b}, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	order = nil
	if _, err := verify.Files(t.Context(), s, verify.Options{Workers: 1}); err != nil {
		t.Fatal(err)
	}
	want := []string{"pg_wal/000000010000000000000020", "backup_label", "base/5/1259", "PG_VERSION", "global/pg_control"}
	if got := slices.Compact(order); !slices.Equal(got, want) {
		t.Errorf("read in the order %v, want %v", got, want)
	}
}

type spy struct {
	snapshot.Content
	read func()
}

func (s spy) ReadAt(p []byte, off int64) (int, error) {
	s.read()
	return s.Content.ReadAt(p, off)
}

func TestFiles_StopsWhenInterrupted(t *testing.T) {
	s, err := snapshottest.NewCluster().Snapshot(t, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verify.Files(ctx, s, verify.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}
