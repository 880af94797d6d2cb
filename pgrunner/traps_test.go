package pgrunner

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The tests here are named in docs/traps.md, by the rows of its table.

// TestTrapLeftovers plants everything that files of the old host can do to a
// start, all at once, in a backup that has to open all the same.
func TestTrapLeftovers(t *testing.T) {
	p := needsLocal(t, 15)
	root := plain15(t, p)
	data := filepath.Join(root, "data")
	in := func(name string) string { return filepath.Join(data, name) }
	write(t, in("postgresql.conf"), `
include 'missing.conf'
data_directory = '/var/lib/postgresql/15/main'
hba_file = '/etc/postgresql/15/main/pg_hba.conf'
external_pid_file = '/nowhere/15.pid'
shared_preload_libraries = 'pg_cron,timescaledb'
session_preload_libraries = 'auto_explain_of_ours'
huge_pages = on
shared_buffers = 64GB
ssl = on
ssl_cert_file = '/etc/ssl/gone.pem'
synchronous_standby_names = 'other'
log_directory = '/nowhere'
logging_collector = on
unix_socket_directories = '/nowhere'
archive_mode = on
archive_command = 'touch /snapview/root/archived'
unknown_setting_of_a_fork = 1
max_connections = 20
max_files_per_process = 25
timezone = 'Asia/Kolkata'
`)
	write(t, in("postgresql.auto.conf"), `
restore_command = 'touch /snapview/root/restored; false'
archive_cleanup_command = 'touch /snapview/root/cleaned'
recovery_end_command = 'touch /snapview/root/ended'
primary_conninfo = 'host=192.0.2.1'
primary_slot_name = 'us'
recovery_target_time = '2020-01-01'
recovery_min_apply_delay = '1d'
`)
	for _, name := range []string{
		"recovery.signal", "standby.signal", "recovery.conf", "promote", "postmaster.opts", "current_logfiles",
	} {
		write(t, in(name), "left over\n")
	}
	write(t, in("postmaster.pid"), "1\n/var/lib/postgresql/15/main\n1700000000\n5432\n/var/run/postgresql\n*\n  5432001    163840\nready   \n")
	write(t, in("tablespace_map"), "16384 /mnt/of/the/old/host\n")
	// Another branch, which "latest" would follow.
	write(t, in("pg_wal/00000002.history"), "1\t0/2111198\tno recovery target specified\n")
	mkdir(t, in("pg_replslot/old"))
	write(t, in("pg_replslot/old/state"), "not a slot")
	for _, name := range []string{"pg_hba.conf", "pg_ident.conf"} {
		if err := os.Remove(in(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"pg_notify", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_twophase", "pg_snapshots", "pg_commit_ts"} {
		if err := os.RemoveAll(in(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(in("pg_tblspc/16384")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/mnt/of/the/old/host", in("pg_tblspc/16384")); err != nil {
		t.Fatal(err)
	}
	own(t, root, p)
	// A copy made by root, with its modes lost.
	if err := errors.Join(os.Chmod(data, 0o755), os.Chown(data, 0, 0)); err != nil {
		t.Fatal(err)
	}

	c := config(t, root, 15)
	s := start(t, p, c)
	conn := connect(t, s.DSN("postgres"))
	if got := value(t, conn, stateQuery); got != stateA {
		t.Errorf("state %s, want %s", got, stateA)
	}
	for sql, want := range map[string]string{
		"show timezone":                                   "Asia/Kolkata",
		"show archive_mode":                               "off",
		"show restore_command":                            "",
		"show archive_cleanup_command":                    "",
		"show recovery_target_time":                       "",
		"show recovery_min_apply_delay":                   "0",
		"show shared_preload_libraries":                   "",
		"show session_preload_libraries":                  "",
		"show synchronous_standby_names":                  "",
		"show ssl":                                        "off",
		"show huge_pages":                                 "off",
		"show max_connections":                            "100",
		"select pg_is_in_recovery()":                      "true",
		"select count(*) from pg_replication_slots":       "0",
		"select pg_tablespace_location(16384)":            "../../tablespaces/16384",
		"select timeline_id from pg_control_checkpoint()": "1",
		"select count(*) from pg_stat_get_wal_senders()":  "0",
		"select count(*) from pg_stat_wal_receiver":       "0",
	} {
		if got := value(t, conn, sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	for _, name := range []string{"archived", "restored", "cleaned", "ended"} {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			t.Errorf("a command of the old host was run: %s", name)
		}
	}
	// What was changed is said, and what is lost can be looked at.
	told := strings.Join(s.Changes(), "\n")
	for _, name := range []string{
		"recovery.signal", "standby.signal", "recovery.conf", "promote", "postmaster.pid", "postmaster.opts",
		"tablespace_map", "pg_replslot", "postgresql.auto.conf", "pg_twophase", "16384", "0755",
	} {
		if !strings.Contains(told, name) {
			t.Errorf("says nothing of %s:\n%s", name, told)
		}
	}
	kept, err := os.ReadFile(filepath.Join(c.RunDir, "original", "postgresql.auto.conf"))
	if err != nil || !strings.Contains(string(kept), "primary_conninfo") {
		t.Errorf("original settings: %q, %v", kept, err)
	}
	if b, err := os.ReadFile(in("postgresql.conf")); err != nil || !strings.Contains(string(b), "pg_cron") {
		t.Errorf("postgresql.conf was touched: %v", err)
	}
}

// TestTrapStranger opens a cluster in which as much as possible is not as one
// is used to: see the statements.
func TestTrapStranger(t *testing.T) {
	p := needsLocal(t, 15)
	src := newSource(t, p, `
max_connections = 300
max_worker_processes = 33
max_wal_senders = 20
max_prepared_transactions = 5
max_locks_per_transaction = 200
wal_level = logical
track_commit_timestamp = on
default_transaction_isolation = serializable
min_wal_size = 128MB
`, "--wal-segsize=64") // more than min_wal_size by default: no start
	src.exec("postgres",
		`CREATE DATABASE shop`, `CREATE DATABASE "Ö ""' x"`,
		`REVOKE ALL ON DATABASE shop FROM PUBLIC`,
		`UPDATE pg_database SET datcollversion = '1.0' WHERE datname = 'shop'`,
		`CREATE ROLE snapview_reader NOLOGIN`, `GRANT pg_execute_server_program TO snapview_reader`,
	)
	src.exec("shop",
		`CREATE TABLE plain (id int PRIMARY KEY, t text)`, `INSERT INTO plain SELECT g, 'x' FROM generate_series(1, 1000) g`,
		`CREATE SCHEMA private`, `CREATE TABLE private.t (a int)`, `INSERT INTO private.t VALUES (42)`,
		`REVOKE ALL ON SCHEMA private FROM PUBLIC`,
		`CREATE TABLE rls (a int)`, `INSERT INTO rls VALUES (1), (2)`, `ALTER TABLE rls ENABLE ROW LEVEL SECURITY`,
		`ALTER TABLE rls FORCE ROW LEVEL SECURITY`,
		`CREATE UNLOGGED TABLE fleeting (a int)`, `INSERT INTO fleeting VALUES (1)`,
		`SELECT lo_from_bytea(4711, 'large')`,
		`CREATE PUBLICATION pub FOR ALL TABLES`,
		`SELECT pg_create_logical_replication_slot('slot', 'pgoutput')`,
		`CREATE SUBSCRIPTION sub CONNECTION 'host=192.0.2.1 dbname=x' PUBLICATION pub WITH (connect = false)`,
		`BEGIN`, `INSERT INTO plain VALUES (2000, 'prepared')`, `PREPARE TRANSACTION 'p1'`,
		`BEGIN`, `INSERT INTO plain VALUES (2001, 'prepared')`, `PREPARE TRANSACTION 'p2'`,
	)
	src.exec("template1",
		`ALTER DATABASE shop SET session_preload_libraries = 'gone'`,
		`ALTER DATABASE shop SET default_transaction_isolation = 'serializable'`,
		`ALTER DATABASE shop SET statement_timeout = '1ms'`,
		`ALTER DATABASE shop SET zero_damaged_pages = on`,
		`DROP DATABASE postgres`)
	src.exec(`Ö%20%22%27%20x`, `ALTER DATABASE template1 RENAME TO renamed`)
	c := config(t, src.backup(p), 15)
	// No limits: they are asked for by the start that fails for them.
	s := start(t, p, c)

	if got, want := strings.Join(s.Databases(), "|"), `shop|Ö "' x|renamed`; got != want {
		t.Errorf("databases %s, want %s", got, want)
	}
	if s.Role() != "snapview_reader_2" {
		t.Errorf("logs in as %s, a role of the backup with rights of its own", s.Role())
	}
	conn := connect(t, s.DSN("shop"))
	for sql, want := range map[string]string{
		"select count(*) from plain":                                      "1000",
		"select a from private.t":                                         "42",
		"select count(*) from rls":                                        "2",
		"select convert_from(lo_get(4711), 'utf8')":                       "large",
		"show transaction_isolation":                                      "read committed",
		"show statement_timeout":                                          "0",
		"show zero_damaged_pages":                                         "off",
		"select count(*) from pg_replication_slots":                       "0",
		"select count(*) from pg_stat_subscription where pid is not null": "0",
		"select count(pg_sleep(0.01))":                                    "1",
	} {
		if got := value(t, conn, sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	var n int
	if err := conn.QueryRow(t.Context(), "select count(*) from fleeting").Scan(&n); err == nil {
		t.Errorf("read %d rows of an unlogged table on a standby", n)
	}
	if !strings.Contains(strings.Join(s.Warnings(), "\n"), `"shop" was sorted by version 1.0`) {
		t.Errorf("no warning of another collation: %q", s.Warnings())
	}
	// pg_prepared_xacts is empty on a standby, whatever is prepared.
	if !strings.Contains(strings.Join(s.Warnings(), "\n"), "2 prepared transactions") {
		t.Errorf("no warning of prepared transactions: %q", s.Warnings())
	}
	connect(t, strings.Replace(s.DSN("x"), "/x?", "/%C3%96%20%22%27%20x?", 1))
	// The source's superuser cannot log in, nor anybody replicate.
	for _, dsn := range []string{
		"postgres://boss@/shop?host=" + s.SocketDir(),
		"postgres://snapview_reader@/shop?host=" + s.SocketDir(),
		s.DSN("shop") + "&replication=database",
	} {
		if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
			t.Errorf("logged in with %s", dsn)
			_ = conn.Close(t.Context())
		}
	}
}

func TestTrapNoBackupLabel(t *testing.T) {
	p := needsLocal(t, 15)
	root := plain15(t, p)
	if err := os.Remove(filepath.Join(root, "data", "backup_label")); err != nil {
		t.Fatal(err)
	}
	c := config(t, root, 15)
	if _, err := Start(t.Context(), p, c); !errors.Is(err, ErrUnsafe) {
		t.Fatalf("without backup_label: %v", err)
	}
	c.CrashConsistent = true
	start(t, p, c)
}

func TestTrapColdCopy(t *testing.T) {
	p := needsLocal(t, 15)
	src := newSource(t, p, "wal_level = minimal\nmax_wal_senders = 0\n")
	src.exec("postgres", `CREATE TABLE t (a int)`, `INSERT INTO t VALUES (7)`, `CREATE UNLOGGED TABLE u (a int)`)
	src.stop("fast")
	// Shut down cleanly, no label, and WAL that no standby could start from.
	s := start(t, p, config(t, src.copyOf(p), 15))
	if got := value(t, connect(t, s.DSN("postgres")), "select a from t"); got != "7" {
		t.Errorf("read %s", got)
	}
}

func TestTrapMissingWAL(t *testing.T) {
	p := needsLocal(t, 15)
	root := plain15(t, p)
	segments, err := filepath.Glob(filepath.Join(root, "data", "pg_wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	for _, s := range segments {
		if err := os.Remove(s); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Start(t.Context(), p, config(t, root, 15))
	var e *StartError
	if !errors.As(err, &e) || e.Phase != "recover" || e.Advice == "" || len(e.Log) == 0 {
		t.Fatalf("%v", err)
	}
	if strings.Contains(e.Hint, "removing the file") {
		t.Errorf("passes on the hint that corrupts: %s", e.Hint)
	}
}

// TestTrapWALEndsEarly: the WAL up to the copy is there, what was written until
// the backup's end is not.
func TestTrapWALEndsEarly(t *testing.T) {
	p := needsLocal(t, 15)
	src := newSource(t, p, "", "--wal-segsize=1")
	conn, err := pgx.Connect(t.Context(), src.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "select pg_backup_start('early', true)"); err != nil {
		t.Fatal(err)
	}
	root := src.copyOf(p)
	src.exec("postgres", "create table later as select generate_series(1, 50000) i", "select pg_switch_wal()")
	var label string
	if err := conn.QueryRow(t.Context(), "select labelfile from pg_backup_stop(false)").Scan(&label); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "data", "backup_label"), label)
	own(t, root, p)
	_, err = Start(t.Context(), p, config(t, root, 15))
	var e *StartError
	if !errors.As(err, &e) || e.Phase != "recover" || !strings.Contains(e.Advice, "last segments of the WAL") {
		t.Fatalf("%v", err)
	}
}

func TestTrapWALElsewhere(t *testing.T) {
	p := needsLocal(t, 15)
	root := plain15(t, p)
	wal := filepath.Join(root, "data", "pg_wal")
	if err := errors.Join(os.RemoveAll(wal), os.Symlink("/mnt/wal", wal)); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), p, config(t, root, 15))
	if err == nil || !strings.Contains(err.Error(), "/mnt/wal") {
		t.Fatalf("%v", err)
	}
}

func TestTrapOtherMajor(t *testing.T) {
	p := needsLocal(t, 15)
	root := plain15(t, p)
	if _, err := Start(t.Context(), p, config(t, root, 14)); err == nil || !strings.Contains(err.Error(), "holds PostgreSQL 15") {
		t.Errorf("%v", err)
	}
	// The file lies, the server knows.
	write(t, filepath.Join(root, "data", "PG_VERSION"), "16\n")
	own(t, root, p)
	_, err := Start(t.Context(), p, config(t, root, 16))
	var e *StartError
	if !errors.As(err, &e) || !strings.Contains(e.Cause, "incompatible") || e.Advice == "" {
		t.Errorf("%v", err)
	}
}

func TestTrapMissingTablespace(t *testing.T) {
	p := needsLocal(t, 15)
	root := plain15(t, p)
	if err := os.RemoveAll(filepath.Join(root, "tablespaces", "16384")); err != nil {
		t.Fatal(err)
	}
	s := start(t, p, config(t, root, 15))
	if w := strings.Join(s.Warnings(), "\n"); !strings.Contains(w, "tablespace 16384") {
		t.Errorf("warnings %q", w)
	}
	if got := value(t, connect(t, s.DSN("postgres")), "select count(*) from acct"); got != "10000" {
		t.Errorf("%s rows", got)
	}
}
