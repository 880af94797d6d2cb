package snapshot_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/sources"
)

// What a real server's catalogue says is told without a server.
func TestCatalog_OfARealServer(t *testing.T) {
	server := snapshottest.StartServer(t)
	server.Run("createdb", "-T", "template0", "--locale-provider=icu", "--icu-locale=en", "shop")
	server.Run("createdb", "dropped")
	server.Run("dropdb", "dropped")
	server.Run("psql", "-Xqc", "create extension pg_trgm", "-c", "checkpoint", "-d", "shop")
	version := strings.TrimSpace(server.Run("psql", "-XAtqc", "select datcollversion from pg_database where datname = 'shop'"))
	server.Run("pg_basebackup", "-D", "backup", "-X", "stream", "-c", "fast")
	s, err := sources.Open(t.Context(), filepath.Join(server.Dir, "backup"), snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	report := snapshottest.Report(s)
	for _, want := range []string{"postgres (C), shop (en), template0 (C), template1 (C)\n", "shop: icu en, version " + version + "\n", "shop: pg_trgm\n"} {
		if !strings.Contains(report, want) {
			t.Errorf("%q is not in\n%s", want, report)
		}
	}
}
