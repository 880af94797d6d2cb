package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/web"
)

// readAudit reads an audit log.
func readAudit(t *testing.T, file string) (log []web.Statement) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var st web.Statement
		if err := json.Unmarshal(line, &st); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		log = append(log, st)
	}
	return log
}

// auditLine is the part of a record that a test can foresee.
func auditLine(s web.Statement) string {
	// psql's own spaces differ from version to version.
	line := fmt.Sprintf("%s %s %q %d %s", s.Via, s.Kind, strings.Join(strings.Fields(s.SQL), " "), s.Rows, s.Outcome)
	if s.Commands > 0 {
		line += fmt.Sprintf(" of %d", s.Commands)
	}
	return line
}

// runClients runs statements in a scratch session by psql and pgx, and returns the
// lines that the audit log must have of them, in order.
func runClients(t *testing.T, state string, info web.Info) (want []string) {
	t.Helper()
	snapshottest.Tool(t, "psql")
	found, err := session.Find(state, info.ID)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(info.Psql.Host, strconv.Itoa(info.Psql.Port))
	link := psqlURL(address, found.Login.Role, found.Login.Password, "postgres") + "?application_name=report"
	expect := func(kind, sql string, rows int, outcome string) {
		want = append(want, fmt.Sprintf("psql %s %q %d %s", kind, sql, rows, outcome))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	// psql: simple queries, several commands in one, errors, COPY both ways, and
	// large objects by function calls.
	blob := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(blob, make([]byte, 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "select * from acct limit 7;\nselect 1 \\; select 2 \\; table nowhere;\ncreate temp table u(n int);\n\\copy u from stdin\n1\n2\n\\.\n" +
		"\\copy acct to '/dev/null'\n\\lo_import " + blob + " 'x'\n"
	psql := exec.CommandContext(ctx, "psql", "-XqAt", link)
	psql.Stdin = strings.NewReader(script)
	if out, err := psql.CombinedOutput(); err != nil || !strings.Contains(string(out), `relation "nowhere" does not exist`) {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	expect("query", "select * from acct limit 7;", 7, "ok")
	expect("query", "select 1 ; select 2 ; table nowhere;", 2, "failed of 2")
	expect("query", "create temp table u(n int);", 0, "ok")
	expect("query", "COPY u FROM STDIN", 2, "ok")
	expect("query", "COPY acct TO STDOUT", 10000, "ok")
	want = append(want, "import")

	conn, err := pgx.Connect(ctx, link)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	many := "select n, repeat('x', 100) from generate_series(1, $1::int) n"
	for _, rows := range []int{50_000, 3} {
		var n int
		list, err := conn.Query(ctx, many, rows)
		for err == nil && list.Next() {
			n++
		}
		if err != nil || n != rows {
			t.Fatalf("%d rows of %d, %v", n, rows, err)
		}
		expect("query", many, rows, "ok")
	}
	batch := &pgx.Batch{}
	for _, sql := range []string{"select $1::int", "select 1/$1::int", "select $1::int + 1"} {
		batch.Queue(sql, 0)
	}
	if err := conn.SendBatch(ctx, batch).Close(); err == nil {
		t.Error("the batch did not fail")
	}
	expect("query", "select $1::int", 1, "ok")
	expect("query", "select 1/$1::int", 0, "failed")
	var copied bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &copied, "copy ev to stdout"); err != nil {
		t.Fatal(err)
	}
	expect("query", "copy ev to stdout", 100, "ok")
	if _, err := conn.Exec(ctx, "tble x", "with", "parameters"); err == nil {
		t.Error("a statement with an error did not fail")
	}
	expect("query", "tble x", 0, "failed")
	asleep := make(chan error)
	go func() {
		_, err := conn.Exec(ctx, "select pg_sleep(300)")
		asleep <- err
	}()
	other, err := pgx.Connect(ctx, link)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(ctx)
	for running := false; !running; time.Sleep(10 * time.Millisecond) {
		if err := other.QueryRow(ctx, "select exists (select from pg_stat_activity where query ~ '^select pg_sleep' and state = 'active')").Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.PgConn().CancelRequest(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-asleep; err == nil {
		t.Error("the statement was not cancelled")
	}
	expect("query", "select pg_sleep(300)", 0, "cancelled")

	// A client that goes away, leaving a statement.
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = raw.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	_ = raw.SetReadDeadline(time.Now().Add(patience))
	if rest, err := io.ReadAll(raw); err != nil || len(rest) > 0 {
		t.Errorf("garbage was answered with %q, %v", rest, err)
	}
	_ = raw.Close()

	// The command's socket is a way of the same kind.
	must(t, state, "psql", info.ID, "--", "-XAt", "-d", "postgres", "-c", "select 'by socket'")
	expect("query", "select 'by socket'", 1, "ok")
	return want
}

// auditOf checks the records of the statements that runClients ran.
func auditOf(t *testing.T, log []web.Statement, info web.Info, want []string) {
	t.Helper()
	var have []string
	var in, out, imported int64
	for _, s := range log {
		if s.Via != web.ViaPsql || strings.HasPrefix(s.SQL, "select exists (") {
			continue
		}
		if s.Session != info.ID || s.Owner != "ada" || s.User != "" || s.Reference != info.Reference || s.Role == "" || s.Database != "postgres" ||
			s.Time.IsZero() || s.Millis < 0 || s.Bytes == 0 || (s.Outcome == "ok") != (s.Error == "") {
			t.Errorf("%+v", s)
		}
		if s.SQL == "select 'by socket'" {
			if s.Remote != "socket" || s.Application != "psql" {
				t.Errorf("%+v", s)
			}
		} else if !strings.HasPrefix(s.Remote, "127.0.0.1:") || s.Application != "report" {
			t.Errorf("%+v", s)
		}
		switch {
		case s.Kind == "function" || strings.Contains(s.SQL, "lo_") || s.SQL == "BEGIN" || s.SQL == "COMMIT" || strings.HasPrefix(s.SQL, "COMMENT ON LARGE OBJECT"):
			// How psql imports a file is psql's.
			if strings.HasPrefix(s.SQL, "lowrite(") {
				imported++
			}
			if have[len(have)-1] != "import" {
				have = append(have, "import")
			}
			continue
		case strings.Contains(s.SQL, " u FROM STDIN"):
			in = s.BytesIn
		case s.SQL == "copy ev to stdout":
			out = s.Bytes
		}
		have = append(have, auditLine(s))
	}
	if got, wanted := strings.Join(have, "\n"), strings.Join(want, "\n"); got != wanted {
		t.Errorf("the audit log has\n%s\n-- want\n%s", got, wanted)
	}
	if in < 4 || in > 10 || out < 100 || imported == 0 {
		t.Errorf("COPY took %d bytes, gave %d; %d calls wrote the large object", in, out, imported)
	}
}
