package main

import (
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// A backup that a program shows by FUSE: it opens, and nothing holds the mount
// when the session is gone.
func TestMountedBackupShowsItsState(t *testing.T) {
	needsPostgres(t, "15")
	ref := snapshottest.Mounted(t, "restic", snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst"))
	out := must(t, stateDir(t), "query", ref, "--runner", "local", "--db", "postgres", "--format", "csv", stateQuery)
	if got := lastLine(out); got != stateA {
		t.Errorf("the backup answered %q, want %q", got, stateA)
	}
}
