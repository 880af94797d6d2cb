package sources_test

import (
	"bufio"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// combined returns the hashes that pg_combinebackup's output had, by the
// tree's paths.
func combined(t testing.TB) map[string]string {
	t.Helper()
	f, err := os.Open(snapshottest.Fixture(t, "pg17/pg17-combined.sha256"))
	must(t, err)
	defer f.Close()
	want := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		sum, name, ok := strings.Cut(lines.Text(), "  ./")
		if !ok {
			t.Fatalf("line %q", lines.Text())
		}
		name, inTablespace := strings.CutPrefix(name, "pg_tblspc/")
		if inTablespace {
			want["tablespaces/"+name] = sum
		} else {
			want["data/"+name] = sum
		}
	}
	must(t, lines.Err())
	return want
}

func TestChain_HashesLikePgCombinebackup(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	snapshottest.Untouched(t, dir)
	for name, ref := range map[string]string{"the folder of all": dir, "the last one": filepath.Join(dir, "fp-incr2")} {
		t.Run(name, func(t *testing.T) {
			conforms(t, ref, snapshot.KindIncremental, snapshot.Options{}, nil)
			s := open(t, ref, snapshot.Options{})
			defer s.Close()
			compareCombined(t, s)
		})
	}
}

// compareCombined compares a tree with pg_combinebackup's output, which the
// fixture lists without WAL and manifest.
func compareCombined(t *testing.T, s *snapshot.Snapshot) {
	t.Helper()
	got := snapshottest.Hashes(t, s.Tree)
	for name := range got {
		if strings.HasPrefix(name, "data/pg_wal/") || name == "data/backup_manifest" {
			delete(got, name)
		}
	}
	snapshottest.Compare(t, got, combined(t))
}

// tarred turns a plain backup of the fixture into a folder of tars.
func tarred(t testing.TB, dir, name string) {
	t.Helper()
	program := snapshottest.Tool(t, "tar")
	plain := filepath.Join(dir, name)
	out := filepath.Join(dir, "tars", name)
	must(t, os.MkdirAll(out, 0o700))
	list := []string{"backup_label"} // the first member, as pg_basebackup does
	entries, err := os.ReadDir(plain)
	must(t, err)
	for _, e := range entries {
		if n := e.Name(); n != "backup_label" && n != "backup_manifest" {
			list = append(list, n)
		}
	}
	snapshottest.Run(t, plain, program, append([]string{"--exclude=pg_tblspc/*", "-cf", filepath.Join(out, "base.tar")}, list...)...)
	snapshottest.Run(t, filepath.Join(dir, name+"-ts1"), program, "-cf", filepath.Join(out, "16384.tar"), ".")
	must(t, os.Rename(filepath.Join(plain, "backup_manifest"), filepath.Join(out, "backup_manifest")))
}

func TestChain_OfTars(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	for _, name := range []string{"fp-full", "fp-incr1", "fp-incr2"} {
		tarred(t, dir, name)
	}
	s := open(t, filepath.Join(dir, "tars"), snapshot.Options{})
	defer s.Close()
	compareCombined(t, s)
}

func TestChain_Refuses(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	tip := filepath.Join(dir, "fp-incr2")
	file := func(pattern string) string {
		m, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(m) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		return m[0]
	}
	t.Run("no predecessor", func(t *testing.T) {
		must(t, os.Rename(filepath.Join(dir, "fp-incr1"), filepath.Join(dir, "gone")))
		must(t, os.Rename(filepath.Join(dir, "gone", "backup_label"), filepath.Join(dir, "label")))
		if _, err := openAny(tip); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "predecessor") {
			t.Errorf("err = %v", err)
		}
		must(t, os.Rename(filepath.Join(dir, "label"), filepath.Join(dir, "gone", "backup_label")))
		must(t, os.Rename(filepath.Join(dir, "gone"), filepath.Join(dir, "fp-incr1")))
	})
	t.Run("of another cluster", func(t *testing.T) {
		full := filepath.Join(dir, "fp-full", "global", "pg_control")
		saved, err := os.ReadFile(full)
		must(t, err)
		must(t, os.WriteFile(full, snapshottest.Control(6), 0o600))
		if _, err := openAny(tip); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("err = %v", err)
		}
		must(t, os.WriteFile(full, saved, 0o600))
	})
	t.Run("a damaged header", func(t *testing.T) {
		name := file("fp-incr2/base/*/INCREMENTAL.*")
		saved, err := os.ReadFile(name)
		must(t, err)
		must(t, os.WriteFile(name, append([]byte("garbage"), saved[7:]...), 0o600))
		if _, err := openAny(tip); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), path.Base(name)) {
			t.Errorf("err = %v", err)
		}
		must(t, os.WriteFile(name, saved, 0o600))
	})
	t.Run("and opens again", func(t *testing.T) { // the oracle of the three above
		s := open(t, tip, snapshot.Options{})
		defer s.Close()
	})
}
