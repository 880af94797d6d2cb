package sources_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/sources"
)

func TestList_FindsWhatLiesInATree(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	gz := snapshottest.Unpack(t, "pg15/pg15-tar-gz.tar.zst")
	must(t, os.Rename(gz, filepath.Join(dir, "gz")))
	must(t, os.MkdirAll(filepath.Join(dir, "notes", "deep"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "notes", "other.tar"), make([]byte, 64<<10), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "version"), []byte("15\n"), 0o600))
	snapshottest.Run(t, dir, "tar", "-cf", "broken.tar", "--transform=s/version/PG_VERSION/", "version")
	snapshottest.Untouched(t, dir)

	found, err := sources.List(t.Context(), dir, sources.ListOptions{})
	must(t, err)
	byLabel := map[string]snapshot.Listing{}
	for i, l := range found {
		byLabel[l.Label] = l
		if i > 0 && l.Time.After(found[i-1].Time) {
			t.Errorf("%s is listed after %s, which is older", l.Label, found[i-1].Label)
		}
	}
	full, first, second := byLabel["fp-full"], byLabel["fp-incr1"], byLabel["fp-incr2"]
	if full.Type != "full" || full.Kind != snapshot.KindDirectory || full.PGVersion != 17 || full.SystemID == 0 || full.Bytes == 0 || full.Problem != "" || full.Ref != filepath.Join(dir, "fp-full") {
		t.Errorf("the full backup: %+v", full)
	}
	if first.Type != "incremental" || first.Parent != "fp-full" || second.Parent != "fp-incr1" || second.SystemID != full.SystemID {
		t.Errorf("the chain: %+v, %+v", first, second)
	}
	if broken := byLabel["broken.tar"]; broken.Problem == "" {
		t.Errorf("a tar with nothing but PG_VERSION: %+v", broken)
	}
	compressed := 0
	for _, l := range found {
		if l.Kind == snapshot.KindCompressed {
			compressed++
			if l.StoredBytes == 0 || l.Time.IsZero() || l.Problem != "" {
				t.Errorf("compressed: %+v", l)
			}
		}
		if strings.Contains(l.Ref, "other.tar") || strings.Contains(l.Ref, "/base/") {
			t.Errorf("no backup: %+v", l)
		}
	}
	if compressed != 1 {
		t.Errorf("%d compressed backups, one is there", compressed)
	}

	one, err := sources.List(t.Context(), filepath.Join(dir, "fp-full"), sources.ListOptions{})
	if err != nil || len(one) != 1 || one[0].StartLSN != full.StartLSN {
		t.Errorf("a backup by itself: %+v, %v", one, err)
	}
	if _, err := sources.List(t.Context(), filepath.Join(dir, "notes"), sources.ListOptions{}); !errors.Is(err, snapshot.ErrNotABackup) {
		t.Errorf("a folder without any: %v", err)
	}
	if _, err := sources.List(t.Context(), filepath.Join(dir, "nowhere"), sources.ListOptions{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "this host has no "+dir) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
