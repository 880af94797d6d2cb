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
	"github.com/snapview/snapview/snapshot/sources"
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

// tarred and compressed, each backup in another way.
func TestChain_OfCompressedTars(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	for name, program := range map[string]string{"fp-full": "lz4 -q -m --rm -BD", "fp-incr1": "zstd -q --rm", "fp-incr2": "gzip"} {
		tarred(t, dir, name)
		args := strings.Fields(program)
		snapshottest.Tool(t, args[0])
		for _, tar := range []string{"base.tar", "16384.tar"} {
			snapshottest.Run(t, filepath.Join(dir, "tars", name), args[0], append(args[1:], tar)...)
		}
	}
	snapshottest.Untouched(t, filepath.Join(dir, "tars"))
	opts := snapshot.Options{CacheDir: t.TempDir()}
	for _, ref := range []string{"tars", "tars/fp-incr2"} { // the second from the cache
		s := open(t, filepath.Join(dir, ref), opts)
		defer s.Close()
		compareCombined(t, s)
		if n := len(s.Indexes()); n != 6 {
			t.Errorf("%d indexes told, want 6", n)
		}
	}
}

// The backups of a chain named one by one, which lie apart.
func TestChain_ByList(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	at := map[string]string{}
	for _, name := range []string{"fp-full", "fp-incr1", "fp-incr2"} {
		away := t.TempDir()
		at[name] = filepath.Join(away, name)
		must(t, os.Rename(filepath.Join(dir, name), at[name]))
		must(t, os.Rename(filepath.Join(dir, name+"-ts1"), at[name]+"-ts1"))
	}
	list := func(first string, more ...string) (*snapshot.Snapshot, error) {
		var opts snapshot.Options
		for _, name := range more {
			opts.Chain = append(opts.Chain, at[name])
		}
		return sources.Open(t.Context(), at[first], opts)
	}
	for _, names := range [][]string{{"fp-full", "fp-incr1", "fp-incr2"}, {"fp-incr2", "fp-full", "fp-incr1"}} {
		s, err := list(names[0], names[1:]...)
		must(t, err)
		if s.Ref != at["fp-incr2"] || s.Err() != nil {
			t.Errorf("%s: %v", s.Ref, s.Err())
		}
		compareCombined(t, s)
		must(t, s.Close())
	}
	label := func(name, old, new string) (restore func()) {
		file := filepath.Join(at[name], "backup_label")
		b, err := os.ReadFile(file)
		must(t, err)
		must(t, os.WriteFile(file, []byte(strings.Replace(string(b), old, new, 1)), 0o600))
		return func() { must(t, os.WriteFile(file, b, 0o600)) }
	}
	for name, c := range map[string]struct {
		names  []string
		change func() func()
		want   string
	}{
		"no full one":       {[]string{"fp-incr1", "fp-incr2"}, nil, "is missing"},
		"one left out":      {[]string{"fp-full", "fp-incr2"}, nil, "one of the chain is missing"},
		"another timeline":  {[]string{"fp-full", "fp-incr1"}, func() func() { return label("fp-full", "START TIMELINE: 1", "START TIMELINE: 2") }, "on timeline 2"},
		"the same twice":    {[]string{"fp-full", "fp-incr1", "fp-incr1"}, nil, "does not belong to it"},
		"two full ones":     {[]string{"fp-full", "fp-full"}, nil, "builds on none"},
		"one that is none":  {[]string{"fp-full", "fp-incr1-ts1"}, nil, "nothing among its"},
		"of another system": {[]string{"fp-full", "fp-incr1"}, func() func() { return control(t, at["fp-full"]) }, "make no chain"},
	} {
		t.Run(name, func(t *testing.T) {
			at["fp-incr1-ts1"] = at["fp-incr1"] + "-ts1"
			if c.change != nil {
				defer c.change()()
			}
			s, err := list(c.names[0], c.names[1:]...)
			if err == nil {
				must(t, s.Close())
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("err = %v, want %q", err, c.want)
			}
		})
	}
}

// control puts another system's pg_control in place.
func control(t testing.TB, dir string) (restore func()) {
	t.Helper()
	file := filepath.Join(dir, "global", "pg_control")
	b, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, snapshottest.Control(6), 0o600))
	return func() { must(t, os.WriteFile(file, b, 0o600)) }
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
