package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// indexEvents are the lines of index --json about what was made.
func indexEvents(t *testing.T, out string) (objects []string, made int) {
	t.Helper()
	for line := range strings.Lines(out) {
		var e struct {
			Event, Object string
			Made          bool
			Bytes         int64
			Data          int64 `json:"data_bytes"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if e.Event != "index" {
			continue
		}
		objects = append(objects, e.Object)
		if e.Made {
			made++
		}
		if e.Bytes == 0 || e.Data == 0 {
			t.Errorf("%s", line)
		}
	}
	return objects, made
}

func TestIndexMakesWhatOpenNeedsAndCacheShowsIt(t *testing.T) {
	dir := filepath.Join(snapshottest.Unpack(t, "pg15/pg15-tar-gz.tar.zst"), "tar-gz")
	snapshottest.Untouched(t, dir)
	state, kept := t.TempDir(), t.TempDir()
	objects, made := indexEvents(t, must(t, state, "--json", "index", dir, "--cache-dir", kept))
	if strings.Join(objects, " ") != "16384.tar.gz base.tar.gz pg_wal.tar.gz" || made != 3 {
		t.Errorf("made %d of %v", made, objects)
	}
	if _, made := indexEvents(t, must(t, state, "--json", "index", dir, "--cache-dir", kept)); made != 0 {
		t.Errorf("made %d again", made)
	}
	if out := must(t, state, "index", dir, "--cache-dir", kept); !strings.Contains(out, "base.tar.gz: ") || !strings.Contains(out, "there already") {
		t.Errorf("for people:\n%s", out)
	}
	if out := must(t, state, "cache", "--cache-dir", kept); !strings.Contains(out, "index of gzip") || !strings.Contains(out, "in 3 entries") {
		t.Errorf("the cache:\n%s", out)
	}
	must(t, state, "cache", "clear", "--cache-dir", kept)
	if left, err := os.ReadDir(kept); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	// A limit that nothing fits in: what is in use stays, the others go.
	must(t, state, "index", dir, "--cache-dir", kept, "--cache-limit", "1")
	if left, err := os.ReadDir(kept); err != nil || len(left) != 1 {
		t.Errorf("left by the limit: %v, %v", left, err)
	}
}

func TestIndexSaysWhenNothingIsNeeded(t *testing.T) {
	if out := must(t, t.TempDir(), "index", plainBackup(t), "--cache-dir", t.TempDir()); !strings.Contains(out, "nothing is needed") {
		t.Errorf("it says %q", out)
	}
}

func TestChainIsNamedBackupByBackup(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	full, tip := filepath.Join(t.TempDir(), "full"), filepath.Join(dir, "fp-incr2")
	for _, suffix := range []string{"", "-ts1"} {
		if err := os.Rename(filepath.Join(dir, "fp-full")+suffix, filepath.Join(filepath.Dir(full), "fp-full")+suffix); err != nil {
			t.Fatal(err)
		}
	}
	full = filepath.Join(filepath.Dir(full), "fp-full")
	state := t.TempDir()
	if _, complaint, code := snapview(t, state, "inspect", tip); code != exitBadRef || !strings.Contains(complaint, "predecessor") {
		t.Errorf("without the full one: exit code %d, %s", code, complaint)
	}
	out := must(t, state, "inspect", tip, "--chain", full, "--chain", filepath.Join(dir, "fp-incr1"))
	if !strings.Contains(out, "3 backups, each the next one's predecessor") {
		t.Errorf("inspect says:\n%s", out)
	}
}
