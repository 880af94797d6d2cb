package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// pgBackRestRepository has the real program back a server up, encrypted, and
// returns the repository and the number of rows in the table rows.
func pgBackRestRepository(t *testing.T) (repo, rows string) {
	t.Helper()
	snapshottest.Tool(t, "pgbackrest")
	s := snapshottest.StartServer(t)
	conf := filepath.Join(s.Dir, "pgbackrest.conf")
	repo = filepath.Join(s.Dir, "repo")
	text := strings.ReplaceAll(`[global]
log-level-file=off
log-path=DIR
lock-path=DIR/lock
spool-path=DIR/spool
start-fast=y
compress-level=1
repo1-path=DIR/repo
repo1-bundle=y
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=sesame
[main]
pg1-path=DIR/data
pg1-socket-path=DIR
`, "DIR", s.Dir)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run := "pgbackrest --config=" + conf + " --stanza=main "
	s.Run("psql", "-qc", "alter system set archive_mode = on", "-c", "alter system set archive_command = '"+run+"archive-push %p'")
	s.Run("pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "log", "restart")
	s.Shell(run + "stanza-create")
	s.Run("psql", "-qc", "create table rows as select i, repeat(md5(i::text), 5) from generate_series(1, 40000) i")
	s.Shell(run + "--type=full backup")
	s.Run("psql", "-qc", "insert into rows select i from generate_series(1, 23) i")
	s.Shell(run + "--type=incr backup")
	s.Run("psql", "-qc", "truncate rows") // behind the backup
	s.Shell("psql -qc 'select pg_switch_wal()' >/dev/null")
	return repo, "40023"
}

func TestQueryAnswersFromAPgBackRestRepository(t *testing.T) {
	needsPostgres(t, "15")
	repo, rows := pgBackRestRepository(t)
	state := stateDir(t)
	t.Setenv("SNAPVIEW_PASSPHRASE", "sesame")
	out := must(t, state, "query", repo, "--runner", "local", "--db", "postgres", "--format", "csv", "select count(*) from rows where i > 0")
	if got := lastLine(out); got != rows {
		t.Errorf("%q, want %q", got, rows)
	}
	out = must(t, state, "ls", "--json", repo)
	if n := strings.Count(out, `"kind":"pgbackrest"`); n != 2 {
		t.Errorf("%d backups are listed: %s", n, out)
	}
	out = must(t, state, "inspect", "--verify", filepath.Join(repo, "backup/main/latest"))
	if !strings.Contains(out, "checksums of the store") {
		t.Errorf("the files were not compared with the repository's checksums:\n%s", out)
	}
	t.Setenv("SNAPVIEW_PASSPHRASE", "wrong")
	if _, errs, code := snapview(t, state, "inspect", repo); code != exitPassphrase {
		t.Errorf("a wrong passphrase: exit code %d, %s", code, errs)
	}
}
