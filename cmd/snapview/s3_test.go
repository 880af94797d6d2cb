package main

import (
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/snapshottest/objectstest"
)

func TestQueryAnswersFromABucket(t *testing.T) {
	needsPostgres(t, "15")
	server := objectstest.StartS3(t)
	server.Bucket(t, "backups", tarFolder(t))
	snapshottest.Untouched(t, server.Dir)
	state := stateDir(t)
	t.Setenv("SNAPVIEW_CACHE_DIR", t.TempDir())
	for range 2 { // the second time much of it comes from the cache
		out := must(t, state, "query", "s3://backups", "--runner", "local", "--db", "postgres", "--format", "csv", stateQuery)
		if got := lastLine(out); got != stateA {
			t.Errorf("the backup answered %q, want %q", got, stateA)
		}
	}
	if out := must(t, state, "inspect", "s3://backups"); !strings.Contains(out, "snapview open s3://backups") {
		t.Errorf("inspect says:\n%s", out)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	_, errs, code := snapview(t, state, "inspect", "s3://backups")
	if code == 0 || !strings.Contains(errs, "s3://backups") || !strings.Contains(errs, "AWS_SECRET_ACCESS_KEY") {
		t.Errorf("with a wrong key: exit code %d, %s", code, errs)
	}
}
