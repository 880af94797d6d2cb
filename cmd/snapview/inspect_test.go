package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// flipByte changes one byte of a file.
func flipByte(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x20
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func TestInspectVerifyComparesFilesWithTheirChecksums(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	ref, state := filepath.Join(dir, "fp"), stateDir(t)
	if out := must(t, state, "inspect", ref, "--verify"); !strings.Contains(out, "all as when the backup was taken") {
		t.Errorf("of a good backup it says:\n%s", out)
	}
	flipByte(t, filepath.Join(dir, "fp_ts1/PG_15_202209061/5/16401"), 9000)
	if _, errs, code := snapview(t, state, "inspect", ref); code != exitOK {
		t.Errorf("without --verify the contents are not read; exit code %d: %s", code, errs)
	}
	const damaged = "pg_tblspc/16384/PG_15_202209061/5/16401"
	out, errs, code := snapview(t, state, "inspect", ref, "--verify")
	if code != exitBadRef || !strings.Contains(errs, damaged) || !strings.Contains(out, "CRC32C is") {
		t.Errorf("exit code %d, want %d:\n%s\n%s", code, exitBadRef, out, errs)
	}
	out, _, code = snapview(t, state, "--json", "inspect", ref, "--verify")
	var report struct {
		Opens    bool
		Verified struct {
			Files    int
			Problems []struct{ Path, Kind string }
		}
	}
	first, _, _ := strings.Cut(out, "\n")
	if err := json.Unmarshal([]byte(first), &report); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if p := report.Verified.Problems; code != exitBadRef || !report.Opens || report.Verified.Files != 400 || len(p) != 1 || p[0].Path != damaged || p[0].Kind != "checksum" {
		t.Errorf("exit code %d, report %+v", code, report)
	}
}

func TestInspectSaysWhatBecomesOfSettings(t *testing.T) {
	out := must(t, stateDir(t), "inspect", plainBackup(t), "--settings")
	for _, want := range []string{"listen_addresses = ''  -> ''", "max_wal_size = '64MB'  -> '4GB'", "timezone = 'UTC'  kept", "archive_mode = 'on'  -> default", "opening replays 216 bytes of WAL"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}
