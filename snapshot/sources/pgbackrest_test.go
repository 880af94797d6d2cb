package sources_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/snapshottest/objectstest"
	"github.com/snapview/snapview/snapshot/sources"
)

// pgBackRest unpacks the repositories that package pgbackrest has for its tests,
// and returns their folder, the label of the newest backup in the repository
// zst and what must be in that.
func pgBackRest(t *testing.T) (dir, label string, want map[string]string) {
	t.Helper()
	archive, err := filepath.Abs("../pgbackrest/testdata/block.tar.zst")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	snapshottest.Tool(t, "zstd")
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "--zstd", "-xf", archive)
	found, err := filepath.Glob(filepath.Join(dir, "want", "zst#*I"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	_, label, _ = strings.Cut(filepath.Base(found[0]), "#")
	f, err := os.Open(found[0])
	must(t, err)
	defer f.Close()
	want = map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		want[name] = sum
	}
	delete(want, "data/postgresql.auto.conf") // restore made it
	return dir, label, want
}

// A repository, a stanza's backups, one backup, and copies of parts of it.
func TestPgBackRest_References(t *testing.T) {
	dir, label, want := pgBackRest(t)
	snapshottest.Untouched(t, dir)
	repo := filepath.Join(dir, "zst")
	full := label[:16]
	copied := t.TempDir()
	must(t, os.CopyFS(copied, os.DirFS(filepath.Join(repo, "backup/main"))))
	link := filepath.Join(t.TempDir(), "latest")
	must(t, os.Symlink(filepath.Join(repo, "backup/main", label), link))
	for ref, end := range map[string]string{
		repo:                                "#main/" + label,
		repo + "#latest":                    "#main/" + label,
		repo + "#" + full:                   "#main/" + full,
		repo + "#main/" + full:              "#main/" + full,
		repo + "/backup/main":               "#main/" + label,
		repo + "/backup/main#" + full:       "#main/" + full,
		repo + "/backup/main/" + label:      "#main/" + label,
		repo + "/backup/main/" + full + "/": "#main/" + full,
		link:                                "#main/" + label,
		copied:                              "#" + label,
		copied + "/" + full:                 "#" + full,
	} {
		s := open(t, ref, cached(t))
		if s.Kind != snapshot.KindPgBackRest || !strings.HasSuffix(s.Ref, end) {
			t.Errorf("%s opens %s, kind %q", ref, s.Ref, s.Kind)
		}
		if strings.HasSuffix(end, label) {
			snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
		}
		must(t, s.Close())
	}
	for ref, n := range map[string]int{dir: 15, repo: 3, repo + "/backup/main": 3, repo + "/backup/main/" + label: 1, copied: 3} {
		opts := cached(t)
		opts.Passphrase = func(string) ([]byte, error) { return []byte("sesame"), nil }
		list, err := sources.List(t.Context(), ref, sources.ListOptions{Snapshot: opts})
		if err != nil || len(list) != n {
			t.Errorf("%s: %d backups are listed, not %d: %v", ref, len(list), n, err)
		}
		for _, l := range list {
			if l.Problem != "" || l.Kind != snapshot.KindPgBackRest {
				t.Errorf("%+v", l)
			}
		}
	}
	if _, err := sources.Open(t.Context(), repo+"#20010101", cached(t)); !errors.Is(err, snapshot.ErrNotABackup) {
		t.Errorf("no such label: %v", err)
	}
	if _, err := sources.Open(t.Context(), repo+"/backup/none", cached(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such stanza: %v", err)
	}
}

func TestS3_PgBackRest(t *testing.T) {
	dir, label, want := pgBackRest(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "repositories", dir)
	for _, ref := range []string{"s3://repositories/zst", "s3://repositories/zst/#main/" + label, "s3://repositories/zst#latest"} {
		s := open(t, ref, cached(t))
		snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
		if s.Kind != snapshot.KindPgBackRest || !strings.HasSuffix(s.Ref, "s3://repositories/zst#main/"+label) {
			t.Errorf("%s opens %s", ref, s.Ref)
		}
		must(t, s.Close())
	}
	opts := cached(t)
	if _, err := sources.Open(t.Context(), "s3://repositories/gz-cipher", opts); !errors.Is(err, snapshot.ErrPassphrase) {
		t.Errorf("encrypted, without a passphrase: %v", err)
	}
	opts.Passphrase = func(string) ([]byte, error) { return []byte("sesame"), nil }
	s := open(t, "s3://repositories/gz-cipher", opts)
	snapshottest.Hashes(t, s.Tree)
	must(t, s.Close())
}
