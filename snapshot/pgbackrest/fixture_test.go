package pgbackrest_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/pgbackrest"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// blockRepositories are those in testdata, which scripts/pgbackrest-fixture.sh
// made with pgBackRest 2.55: block incremental backups of a made-up cluster.
var blockRepositories = []string{"zst", "gz-cipher", "lz4-cipher", "bz2", "none"}

// unpack unpacks testdata and returns its folder.
func unpack(t testing.TB) string {
	t.Helper()
	archive, err := filepath.Abs("testdata/block.tar.zst")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	snapshottest.Tool(t, "zstd")
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "--zstd", "-xf", archive)
	return dir
}

// wanted reads what the real program restored from a backup.
func wanted(t testing.TB, dir, repo, label string) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "want", repo+"#"+label))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		want[name] = sum
	}
	delete(want, "data/postgresql.auto.conf") // restore makes one if there is none
	return want
}

func TestBlocks_EqualRestore(t *testing.T) {
	dir := unpack(t)
	snapshottest.Untouched(t, dir)
	for _, repo := range blockRepositories {
		t.Run(repo, func(t *testing.T) {
			opts := snapshot.Options{Passphrase: passphrase("sesame"), CacheDir: t.TempDir()}
			list := labels(t, filepath.Join(dir, repo, "backup/main"))
			if len(list) != 3 {
				t.Fatalf("backups: %v", list)
			}
			for _, label := range list {
				opts.Select = label
				want := wanted(t, dir, repo, label)
				snap := mustOpen(t, filepath.Join(dir, repo), opts)
				snapshottest.Compare(t, snapshottest.Hashes(t, snap.Tree), want)
				if err := snap.Close(); err != nil {
					t.Error(err)
				}
			}
			if repo != "none" && repo != "gz-cipher" {
				return
			}
			snapshottest.Suite{
				Want: wanted(t, dir, repo, list[2]), MaxOpen: 200 << 10,
				Open: func(t testing.TB) *snapshot.Snapshot { return mustOpen(t, filepath.Join(dir, repo), opts) },
			}.Run(t)
		})
	}
}

func TestSelect(t *testing.T) {
	repo := filepath.Join(unpack(t), "zst")
	list := labels(t, filepath.Join(repo, "backup/main"))
	full, diff, incr := list[0], list[1], list[2]
	if err := os.CopyFS(filepath.Join(repo, "backup/other"), os.DirFS(filepath.Join(repo, "backup/main"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, want string }{
		{"main/" + full, full}, {"main/latest", incr}, {"main", incr}, {"other/" + diff, diff}, {"main/" + diff[:len(diff)-1], diff},
		{"main/" + full[:10], ""}, {"main/2001", ""}, {"", ""}, {"nobody/latest", ""}, {"../main/latest", ""}, {"main/../" + full, ""},
	} {
		s, err := open(t, repo, snapshot.Options{Select: c.name})
		if c.want == "" {
			if !errors.Is(err, snapshot.ErrNotABackup) {
				t.Errorf("%q: %v", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.name, err)
			continue
		}
		if !strings.HasSuffix(s.Ref, "/"+c.want) {
			t.Errorf("%q opens %s", c.name, s.Ref)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestList(t *testing.T) {
	dir := unpack(t)
	list := labels(t, filepath.Join(dir, "gz-cipher/backup/main"))
	store, err := objects.OpenLocal(filepath.Join(dir, "gz-cipher"), 0, &snapshot.Counter{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	got, err := pgbackrest.List(t.Context(), store, snapshot.Options{Passphrase: passphrase("sesame")})
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, l := range got {
		if l.Label != list[i] || l.Ref != store.String()+"#"+list[i] || l.Type != []string{"full", "diff", "incr"}[i] || l.Time.IsZero() ||
			l.Bytes < 1<<20 || l.StoredBytes == 0 || l.PGVersion != 15 || l.SystemID == 0 || l.Problem != "" || i > 0 && l.Parent == "" {
			t.Errorf("%+v", l)
		}
	}
	if _, err := pgbackrest.List(t.Context(), store, snapshot.Options{}); !isPassphrase(err) {
		t.Errorf("without a passphrase: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "gz-cipher/backup/main", list[1])); err != nil {
		t.Fatal(err)
	}
	got, err = pgbackrest.List(t.Context(), store, snapshot.Options{Passphrase: passphrase("sesame"), Select: "main/" + list[1]})
	if err != nil || len(got) != 1 || got[0].Problem == "" {
		t.Errorf("a backup whose folder is gone: %+v, %v", got, err)
	}
}

// readAll reads every file and returns the hashes of those that can be read,
// and the errors of the others.
func readAll(t testing.TB, s *snapshot.Snapshot) (sums map[string]string, errs []error) {
	t.Helper()
	sums = map[string]string{}
	err := fs.WalkDir(s.Tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := fs.ReadFile(s.Tree, name)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		sums[name] = sha256Hex(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums, errs
}
