package pgrunner

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/snapview/snapview/pgrunner/pgwatch"
)

// refused are statements that would write, or reach out of the database. Each
// must fail by itself, in a transaction of its own, with an error of the
// server and no effect.
var refused = []string{
	"INSERT INTO acct SELECT * FROM acct",
	"UPDATE acct SET balance = 0",
	"DELETE FROM acct",
	"TRUNCATE acct",
	"MERGE INTO acct a USING acct b ON false WHEN MATCHED THEN DELETE",
	"CREATE TABLE x (a int)",
	"CREATE TEMP TABLE x (a int)",
	"SELECT 1 AS a INTO x",
	"CREATE INDEX ON acct (balance)",
	"DROP TABLE acct",
	"ALTER TABLE acct ADD x int",
	"CREATE ROLE x",
	"ALTER ROLE CURRENT_USER SUPERUSER",
	"GRANT pg_execute_server_program TO CURRENT_USER",
	"SET SESSION AUTHORIZATION postgres",
	"SET ROLE postgres",
	"CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'",
	"CREATE EXTENSION dblink",
	"DO $$ BEGIN DELETE FROM acct; END $$",
	"VACUUM",
	"REINDEX TABLE acct",
	"CHECKPOINT",
	"ALTER SYSTEM SET work_mem = '1GB'",
	"SELECT * FROM acct FOR UPDATE",
	"LOCK TABLE acct IN ACCESS EXCLUSIVE MODE",
	"NOTIFY x",
	"PREPARE TRANSACTION 'x'",
	"SELECT lo_create(0)",
	"SELECT lo_import('/etc/passwd')",
	"SELECT pg_promote()",
	"SELECT pg_wal_replay_resume()",
	"SELECT pg_reload_conf()",
	"SELECT pg_switch_wal()",
	"SELECT pg_logical_emit_message(false, 'a', 'b')",
	"SELECT pg_create_physical_replication_slot('x')",
	"SELECT txid_current()",
	"SELECT nextval(c.oid::regclass) FROM (SELECT 'pg_class'::regclass AS oid) c",
	"SELECT pg_read_file('/snapview/run/pg_hba.conf')",
	"SELECT pg_ls_dir('/')",
	"SELECT pg_stat_file('PG_VERSION')",
	"COPY acct FROM STDIN",
	"COPY acct TO '/snapview/run/x'",
	"COPY acct TO PROGRAM 'cat > /snapview/run/x'",
	"COPY (SELECT 1) TO PROGRAM 'id'",
	"LOAD '/snapview/root/data/x.so'",
	"SET zero_damaged_pages = on",
	"SET lo_compat_privileges = off",
	"SET session_preload_libraries = 'x'",
	"SET TRANSACTION READ WRITE",
	"SET transaction_read_only = off",
}

func TestReaderIsRefused(t *testing.T) {
	p := needsLocal(t, 15)
	s := start(t, p, config(t, plain15(t, p), 15))
	refuse(t, s)
}

// refuse runs them all, over the socket, with statements as a client sends
// them without preparation.
func refuse(t *testing.T, s *Server) {
	t.Helper()
	conn := connect(t, s.DSN("postgres"))
	for _, sql := range refused {
		// Reading first makes the transaction one that has a snapshot.
		_, err := conn.PgConn().Exec(t.Context(), "BEGIN; SELECT 1; "+sql).ReadAll()
		if sql == "VACUUM" || sql == "CHECKPOINT" || strings.HasPrefix(sql, "ALTER SYSTEM") {
			_, err = conn.PgConn().Exec(t.Context(), sql).ReadAll()
		}
		var e *pgconn.PgError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", sql, err)
		}
		if conn.IsClosed() {
			conn = connect(t, s.DSN("postgres"))
			continue
		}
		if _, err := conn.PgConn().Exec(t.Context(), "ROLLBACK").ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	if got := value(t, conn, "select count(*) || '|' || sum(balance) from acct"); got != "10000|10000000" {
		t.Errorf("acct is %s now", got)
	}
	select {
	case <-s.Done():
		t.Errorf("the server has ended: %v", s.Err())
	default:
	}
}

// Through the endpoint only the role can log in, with its password.
func TestEndpointLogin(t *testing.T) {
	p := needsLocal(t, 15)
	s := start(t, p, config(t, plain15(t, p), 15))
	var mu sync.Mutex
	var heard []string
	e, err := Listen("127.0.0.1:0", s.Socket(), func(_ string, st pgwatch.Statement) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, st.Role+": "+st.SQL)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	dsn := func(user, password, mode string) string {
		u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: e.Addr().String(), Path: "/postgres", RawQuery: "sslmode=" + mode}
		return u.String()
	}
	conn := connect(t, dsn(s.Role(), s.Password(), "prefer"))
	if got := value(t, conn, stateQuery); got != stateA {
		t.Errorf("state %s", got)
	}
	for _, bad := range []string{
		dsn(s.Role(), "wrong", "disable"),
		dsn(s.Role(), "", "disable"),
		dsn("postgres", s.Password(), "disable"),
		dsn("postgres", "", "disable"),
		dsn(s.Role(), s.Password(), "require"),
		dsn(s.Role(), s.Password(), "disable") + "&replication=true",
	} {
		if c, err := pgx.Connect(t.Context(), bad); err == nil {
			t.Errorf("logged in with %s", bad)
			_ = c.Close(t.Context())
		}
	}
	// A request to cancel travels over a connection of its own.
	got := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "select pg_sleep(600)")
		got <- err
	}()
	other := connect(t, s.DSN("postgres"))
	for value(t, other, "select count(*) from pg_stat_activity where query like '%sleep(600)' and state = 'active' and pid <> pg_backend_pid()") != "1" {
	}
	if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-got; err == nil || !strings.Contains(err.Error(), "canceling") {
		t.Errorf("cancelled query: %v", err)
	}
	if dump, err := exec.LookPath("pg_dump"); err == nil {
		out := run(t, dump, "--dbname", dsn(s.Role(), s.Password(), "prefer"))
		if !strings.Contains(out, "COPY public.acct") || strings.Count(out, "\n") < 10000 {
			t.Errorf("the dump has %d bytes", len(out))
		}
	}
	// Those who did not get in have run nothing.
	mu.Lock()
	defer mu.Unlock()
	reader := s.Role() + ": "
	if len(heard) < 3 || heard[0] != reader+stateQuery || heard[1] != reader+"select pg_sleep(600)" ||
		!slices.ContainsFunc(heard[2:], func(line string) bool { return strings.HasPrefix(line, reader+"COPY public.acct") }) {
		t.Errorf("heard of %d statements: %.1000q", len(heard), heard)
	}
}

// A superuser of a scratch server still is in the sandbox.
func TestWritable(t *testing.T) {
	p := needsLocal(t, 15)
	c := config(t, plain15(t, p), 15)
	c.Writable = true
	s := start(t, p, c)
	conn := connect(t, s.DSN("postgres"))
	for _, sql := range []string{
		"CREATE TABLE x AS SELECT g FROM generate_series(1, 1000) g", "CREATE INDEX ON acct (balance)",
		"UPDATE acct SET balance = balance + 1", "CREATE TABLE seen (line text)",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	secret := strings.TrimSuffix(tempDir(t), "/") + "/secret"
	write(t, secret, "of the host")
	if err := os.Chmod(secret, 0o666); err != nil {
		t.Fatal(err)
	}
	shell := func(command string) string {
		t.Helper()
		if _, err := conn.Exec(t.Context(), "TRUNCATE seen"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "COPY seen FROM PROGRAM '("+strings.ReplaceAll(command, "'", "''")+") 2>&1; true' (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"); err != nil {
			t.Fatal(err)
		}
		return value(t, conn, "select coalesce(string_agg(line, ' '), '') from seen")
	}
	for _, c := range []struct{ command, want string }{
		{"cat " + secret, "No such file"},
		{"ls /home /root /var/lib /run", "No such file"},
		{"sort /proc/net/dev | grep -c :", "1"},
		{"echo > /usr/x", "Read-only"},
		{"echo > /etc/passwd", "Read-only"},
		{"grep CapBnd /proc/self/status", "0000000000000000"},
		{"grep CapEff /proc/self/status", "0000000000000000"},
		{"grep NoNewPrivs /proc/self/status", "1"},
		{"mount -t tmpfs x /tmp", "ermission denied|must be superuser"},
		{"cp /bin/sh /snapview/root/sh; /snapview/root/sh -c 'echo ran'", "denied"},
		{"cat /proc/1/environ | tr '\\0' '\\n' | grep -c SNAPVIEW_SANDBOX", "0"},
		{"hostname", "snapview"},
		{"id -u", "59915"},
	} {
		got := shell(c.command)
		ok := false
		for _, w := range strings.Split(c.want, "|") {
			ok = ok || strings.Contains(got, w)
		}
		if !ok || strings.Contains(got, "of the host") || strings.Contains(got, "ran") {
			t.Errorf("%s: %q, want %q", c.command, got, c.want)
		}
	}
}
