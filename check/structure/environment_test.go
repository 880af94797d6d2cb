package structure_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/check/structure"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// connect opens a connection to a real server as its superuser.
func connect(t *testing.T, s *snapshottest.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), "host="+s.Dir+" user=postgres dbname=postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestOnARealServer(t *testing.T) {
	server := snapshottest.StartServer(t)
	t.Run("statements", func(t *testing.T) { testStatements(t, connect(t, server)) })
	t.Run("another host's cluster", func(t *testing.T) { testOtherHost(t, connect(t, server)) })
}

func testOtherHost(t *testing.T, conn *pgx.Conn) {
	suspect, more, err := structure.Collations(t.Context(), conn, "postgres")
	if err != nil || len(suspect)+more != 0 {
		t.Errorf("of a cluster at home: %+v, %v", suspect, err)
	}
	missing, err := structure.MissingExtensions(t.Context(), conn)
	if err != nil || len(missing) != 0 {
		t.Errorf("of a cluster at home: %v, %v", missing, err)
	}
	// What a cluster from another host looks like.
	for _, sql := range []string{
		"create collation public.old (provider = libc, locale = 'C.UTF-8')",
		"update pg_catalog.pg_collation set collversion = '2.19' where collname = 'old'",
		"create table public.names (n text collate public.old)",
		"create index on public.names (n)",
		"update pg_catalog.pg_extension set extname = 'postgis' where extname = 'plpgsql'",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	suspect, _, err = structure.Collations(t.Context(), conn, "postgres")
	if err != nil || len(suspect) != 1 || suspect[0].Relation != "public.names_n_idx" || !strings.Contains(suspect[0].Message, "2.19") {
		t.Errorf("%+v, %v", suspect, err)
	}
	missing, err = structure.MissingExtensions(t.Context(), conn)
	if err != nil || len(missing) != 1 || !strings.HasPrefix(missing[0], "postgis ") {
		t.Errorf("%v, %v", missing, err)
	}
}

func testStatements(t *testing.T, conn *pgx.Conn) {
	for sql, want := range map[string]string{
		"select 1, null, 'x'":                             "", // passes
		"select true from generate_series(1, 3)":          "",
		"select n < 2 from generate_series(1, 3) n":       "row 2 is not true",
		"select null::bool":                               "row 1 is not true: null",
		"select 1 where false":                            "no row",
		"select 1 / (n - 2) from generate_series(1, 3) n": "division by zero",
	} {
		shown, err := structure.Assert(t.Context(), conn, sql)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v; want %q", sql, shown, err, want)
		}
	}
	if err := structure.RunScript(t.Context(), conn, "create table a (b int);\n\nselect c from a;\n"); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("script: %v", err)
	}
	if err := structure.RunScript(t.Context(), conn, "create table a (b int); insert into a select 1; select * from a"); err != nil {
		t.Errorf("script: %v", err)
	}
}
