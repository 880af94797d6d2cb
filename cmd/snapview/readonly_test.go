package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// escapes are statements that change something, or reach out of the server.
// None may succeed for a client of the endpoint.
var escapes = []string{
	`insert into ev default values`,
	`delete from acct`,
	`update acct set balance = 0`,
	`truncate ev`,
	`drop table ev`,
	`create table x (i int)`,
	`create temp table x (i int)`,
	`alter table ev add column x int`,
	`create index on ev (phase)`,
	`vacuum`,
	`reindex table ev`,
	`cluster`,
	`do $$ begin delete from ev; end $$`,
	`copy ev from program 'echo 1'`,
	`copy (select 1) to program 'touch /tmp/escaped'`,
	`copy (select 1) to '/tmp/escaped'`,
	`select pg_read_file('/etc/passwd')`,
	`select pg_ls_dir('/')`,
	`select pg_reload_conf()`,
	`select pg_promote()`,
	`select pg_switch_wal()`,
	`select lo_create(0)`,
	`select lo_import('/etc/passwd')`,
	`select lo_export(1, '/tmp/escaped')`,
	`create role evil superuser`,
	`alter role current_user superuser`,
	`set role postgres`,
	`set session authorization postgres`,
	`alter system set shared_buffers = '1GB'`,
	`create extension dblink`,
	`grant all on ev to public`,
	`begin read write; delete from ev; commit`,
	`notify x`,
	`select nextval('no_such_seq')`,
	`create database x`,
	`checkpoint`,
	`load 'plpgsql'; delete from ev`,
}

func TestNobodyWritesThroughTheEndpoint(t *testing.T) {
	needsPostgres(t, "15")
	ref := plainBackup(t)
	snapshottest.Untouched(t, filepath.Dir(ref))
	r := start(t, stateDir(t), "open", ref, "--runner", "local", "--db", "postgres")
	url := r.untilReady()["psql"].(string)
	for _, sql := range escapes {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		// Without arguments pgx speaks the simple protocol, as psql does.
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err == nil {
			t.Errorf("%s: succeeded", sql)
		}
		conn.Close(t.Context())
	}
	if _, err := os.Stat("/tmp/escaped"); err == nil {
		t.Error("a statement wrote a file on the host")
	}
	if got := ask(t, url, `select (select count(*) from ev) || ',' || (select sum(balance) from acct)`); got != "100,10000000" {
		t.Errorf("the data is now %s", got)
	}
	// The superuser of the backup cannot log in, whatever the password.
	for _, user := range []string{"postgres"} {
		cfg, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		cfg.User = user
		if conn, err := pgx.ConnectConfig(t.Context(), cfg); err == nil {
			conn.Close(t.Context())
			t.Errorf("%s logged in", user)
		}
	}
}

// TestWritableSessionTakesWritesIntoTheOverlay is the proof that the test above can
// fail: the same statements go through where they may.
func TestWritableSessionTakesWritesIntoTheOverlay(t *testing.T) {
	needsPostgres(t, "15")
	ref := plainBackup(t)
	snapshottest.Untouched(t, filepath.Dir(ref))
	state := stateDir(t)
	r := start(t, state, "open", ref, "--runner", "local", "--db", "postgres", "--writable")
	url := r.untilReady()["psql"].(string)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `delete from acct`); err != nil {
		t.Fatal(err)
	}
	// What is only in the server's memory is not in the overlay yet.
	if _, err := conn.Exec(t.Context(), `checkpoint`); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, url, `select count(*)::text from acct`); got != "0" {
		t.Errorf("acct has %s rows after delete", got)
	}
	out := must(t, state, "growth")
	if !strings.Contains(out, "postgres.public.acct") {
		t.Errorf("growth does not name the table that was written:\n%s", out)
	}
}

func TestDumpThroughTheEndpointRestoresElsewhere(t *testing.T) {
	needsPostgres(t, "15")
	const bin = "/usr/lib/postgresql/15/bin/"
	r := start(t, stateDir(t), "open", plainBackup(t), "--runner", "local", "--db", "postgres")
	url := r.untilReady()["psql"].(string)
	var dump, complaints bytes.Buffer
	cmd := exec.Command(bin+"pg_dump", "--no-tablespaces", "--no-owner", "--dbname", url)
	cmd.Stdout, cmd.Stderr = &dump, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, complaints.String())
	}

	dir, err := os.MkdirTemp("", "svdump")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	script := `chmod 755 "$1"; mkdir "$1/c"; chown postgres: "$1/c"; cd /
		as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
		as "$2/initdb" -D "$1/c" -U postgres --no-sync -A trust --no-locale -E UTF8 >/dev/null
		as "$2/pg_ctl" -D "$1/c" -w -l "$1/c/log" -o "-k $1/c -p 5499 -c listen_addresses= -c fsync=off" start >/dev/null`
	if err := shell(script, dir, bin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		shell(`cd /; setpriv --reuid=postgres --regid=postgres --clear-groups "$2/pg_ctl" -D "$1/c" -m immediate -w stop >/dev/null`, dir, bin)
	})
	restore := exec.Command(bin+"psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", dir+"/c", "-p", "5499", "-U", "postgres", "-d", "postgres")
	restore.Stdin = &dump
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("restoring the dump: %v\n%s", err, out)
	}
	out, err := exec.Command(bin+"psql", "-XqAt", "-F", ",", "-h", dir+"/c", "-p", "5499", "-U", "postgres", "-d", "postgres", "-c", stateQuery).Output()
	if err != nil || strings.TrimSpace(string(out)) != stateA {
		t.Errorf("the restored dump answers %q, %v; want %q", out, err, stateA)
	}
}
