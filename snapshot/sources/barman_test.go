package sources_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/sources"
)

// A server's folder, one backup of it, and the folder above the servers.
func TestBarman_References(t *testing.T) {
	archive, err := filepath.Abs("../barman/testdata/server.tar.zst")
	must(t, err)
	home := t.TempDir()
	snapshottest.Tool(t, "zstd")
	snapshottest.Run(t, home, snapshottest.Tool(t, "tar"), "--zstd", "-xf", archive)
	server := filepath.Join(home, "pg")
	found, err := filepath.Glob(filepath.Join(server, "base/*"))
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	first, last := filepath.Base(found[0]), filepath.Base(found[1])
	for ref, id := range map[string]string{
		server:               last,
		server + "#latest":   last,
		server + "#" + first: first,
		found[0]:             first,
		found[1] + "/":       last,
	} {
		s := open(t, ref, snapshot.Options{})
		if s.Kind != snapshot.KindBarman || !strings.HasSuffix(s.Ref, "pg#"+id) {
			t.Errorf("%s opens %s, kind %q", ref, s.Ref, s.Kind)
		}
		must(t, s.Close())
	}
	for ref, n := range map[string]int{home: 2, server: 2, found[0]: 1} {
		list, err := sources.List(t.Context(), ref, sources.ListOptions{})
		if err != nil || len(list) != n {
			t.Errorf("%s: %d backups are listed, not %d: %v", ref, len(list), n, err)
		}
		for _, l := range list {
			if l.Problem != "" || l.Kind != snapshot.KindBarman {
				t.Errorf("%+v", l)
			}
		}
	}
}
