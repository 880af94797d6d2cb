package sources_test

import (
	"path/filepath"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// Backups that pg_basebackup makes now, in each way this build opens.
func TestBaseBackup_Conforms(t *testing.T) {
	s := snapshottest.StartServer(t)
	s.Run("psql", "-qc", "create table t as select i, md5(i::text) from generate_series(1, 20000) i")
	s.Run("psql", "-qc", "create unlogged table u (i int)")

	// one tar on standard output, WAL fetched into it, the manifest last
	s.Shell("pg_basebackup -D - -Ft -X fetch -c fast > one.tar")
	s.Shell("mkdir one && tar -xf one.tar -C one")
	one := filepath.Join(s.Dir, "one")
	conforms(t, filepath.Join(s.Dir, "one.tar"), snapshot.KindTar, snapshot.Options{}, snapshottest.TreeOf(t, one, nil))
	conforms(t, one, snapshot.KindDirectory, snapshot.Options{}, snapshottest.TreeOf(t, one, nil))

	// plain and tar folder; a tablespace
	s.Shell("mkdir ts")
	s.Run("psql", "-qc", "create tablespace fast location '"+s.Dir+"/ts'")
	s.Run("psql", "-qc", "create table t2 tablespace fast as select * from t")
	s.Run("pg_basebackup", "-D", "folder", "-Ft", "-N", "-c", "fast")
	folder := open(t, filepath.Join(s.Dir, "folder"), snapshot.Options{})
	defer folder.Close()
	s.Run("pg_basebackup", "-D", "plain", "-Fp", "-N", "-c", "fast", "-T", s.Dir+"/ts="+s.Dir+"/plain-ts")
	plain := open(t, filepath.Join(s.Dir, "plain"), snapshot.Options{})
	defer plain.Close()
	for _, snap := range []*snapshot.Snapshot{folder, plain} {
		if len(snap.Tablespaces) != 1 || snap.Tablespaces[0].Files == 0 {
			t.Errorf("%s: tablespaces %+v", snap.Kind, snap.Tablespaces)
		}
		if got := snapshottest.Outcomes(snap); got["unlogged tables"] != snapshot.Warn || got["manifest"] != snapshot.OK || got["wal"] != snapshot.OK {
			t.Errorf("%s:\n%s", snap.Kind, snapshottest.Report(snap))
		}
	}

	// without its WAL it is refused, by the segment's name
	s.Run("pg_basebackup", "-D", "nowal", "-Fp", "-N", "-X", "none", "-c", "fast", "-T", s.Dir+"/ts="+s.Dir+"/nowal-ts")
	refused(t, filepath.Join(s.Dir, "nowal"), "wal")
}

// refused: ref opens, and the named check refuses it.
func refused(t *testing.T, ref, check string) {
	t.Helper()
	s, err := openAny(ref)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := snapshottest.Outcomes(s)[check]; got != snapshot.Refuse || s.Err() == nil {
		t.Errorf("%s is not refused:\n%s", check, snapshottest.Report(s))
	}
}
