package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
)

func TestLsListsWhatOpenTakes(t *testing.T) {
	dir := filepath.Dir(plainBackup(t))
	state := t.TempDir()
	var found snapshot.Listing
	line := must(t, state, "--json", "ls", dir)
	if err := json.Unmarshal([]byte(line), &found); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	if found.Ref != plainBackup(t) || found.PGVersion != 15 || found.StopLSN == 0 || found.Problem != "" {
		t.Errorf("%+v", found)
	}
	if refs := must(t, state, "-q", "ls", dir); refs != plainBackup(t)+"\n" {
		t.Errorf("--quiet prints %q", refs)
	}
	if text := must(t, state, "ls", dir); !strings.Contains(text, "directory") || !strings.Contains(text, "SYSTEM") {
		t.Errorf("the table:\n%s", text)
	}
	_, complaint, code := snapview(t, state, "ls", t.TempDir())
	if code != exitBadRef || !strings.Contains(complaint, "no backup in it") {
		t.Errorf("an empty folder: exit code %d, %s", code, complaint)
	}
}
