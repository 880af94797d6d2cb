package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

func TestQuery_ValuesAreTheServersText(t *testing.T) {
	e := newEnv(t)
	r := e.query(`select 9223372036854775807::int8 as big, 0.1::float8, 1.10::numeric(10,2) as n, true, null::text as nothing, '' as empty,
		E'a"b\\c\n\t\x01' as odd, 'שלום 😀' as wide, '{"k": [1, null]}'::jsonb, array['a','b "c"',null], '\xdeadbeef'::bytea,
		timestamptz '2026-11-20 02:14:09.5+00', interval '1 day 2:03', int4range(1,5), point(1,2)`)
	if r.End.Error != nil {
		t.Fatal(r.End.Error)
	}
	want := []any{
		"9223372036854775807", "0.1", "1.10", "t", nil, "", "a\"b\\c\n\t\x01", "שלום 😀", `{"k": [1, null]}`,
		`{a,"b \"c\"",NULL}`, `\xdeadbeef`, nil, "1 day 02:03:00", "[1,5)", "(1,2)",
	}
	for i, w := range want {
		if got := r.Rows[0][i]; got != w && i != 11 {
			t.Errorf("column %d: %#v, want %#v", i, got, w)
		}
	}
	if c := r.Cols[2]; c.Name != "n" || c.Type != "numeric(10,2)" || c.TypeOID != 1700 {
		t.Errorf("column n is %+v", c)
	}
	if r.End.Rows != 1 || r.End.Truncated || r.End.Tag != "SELECT 1" {
		t.Errorf("end: %+v", r.End)
	}
	// A column of a table says which, for hops along foreign keys.
	r = e.query("select customer_id from shop.orders limit 1")
	if c := r.Cols[0]; c.Relation == 0 || c.Number != 2 {
		t.Errorf("column of a table: %+v", c)
	}
	if r = e.query("select id from shop.orders where false"); r.End.Rows != 0 || r.End.Error != nil || len(r.Cols) != 1 {
		t.Errorf("no rows: %+v", r)
	}
	if r = e.query("explain (analyze, format json) select count(*) from shop.orders"); r.End.Error != nil || len(r.Rows) != 1 {
		t.Errorf("explain: %+v", r.End)
	}
	if r = e.query("show server_version;"); r.End.Error != nil {
		t.Errorf("show: %+v", r.End.Error)
	}
}

func TestQuery_ErrorsStandWhereTheyAre(t *testing.T) {
	e := newEnv(t)
	for sql, want := range map[string]struct {
		code, state string
		position    int
	}{
		"select 1 frm x y":                           {"sql-error", "42601", 14},
		"select 'é😀', nope":                          {"sql-error", "42703", 14}, // characters, not bytes
		"select * from shop.nope":                    {"sql-error", "42P01", 15},
		"select $1::int":                             {"sql-error", "", 0},
		"select 1; select 2":                         {"sql-error", "42601", 0},
		"delete from shop.orders":                    {"not-a-query", "", 0},
		"select 1 \x00":                              {"bad-request", "", 0},
		"select 1/0":                                 {"sql-error", "22012", 0},
		"select 1/(i-3) from generate_series(1,5) i": {"sql-error", "22012", 0},
	} {
		r := e.query(sql)
		if r.End.Error == nil {
			t.Errorf("%q: no error", sql)
			continue
		}
		if got := r.End.Error; got.Code != want.code || got.SQLState != want.state || got.Position != want.position {
			t.Errorf("%q: %+v, want %+v", sql, *got, want)
		}
	}
	// A relation that is there under another schema, or with capitals, is named.
	for sql, want := range map[string]string{
		"select 'é😀' from orders":     "Did you mean shop.orders? What is in no schema of the search_path is written with its schema.",
		`select * from shop."Orders"`: "Did you mean shop.orders? Without quotes a name is read in lower case, in quotes as it is written.",
		"select * from shop.nope":     "",
	} {
		if r := e.query(sql); r.End.Error == nil || r.End.Error.SQLState != "42P01" || r.End.Error.Hint != want {
			t.Errorf("%q: %+v, want the hint %q", sql, r.End.Error, want)
		}
	}
	a := e.call("POST", "/sessions/demo/databases/none/query", map[string]any{"sql": "select 1"}, 200, nil)
	if r := parseResult(t, a.body); r.End.Error == nil || r.End.Error.Code != "database-not-found" {
		t.Errorf("unknown database: %+v", r.End.Error)
	}
	e.refused("GET", "/sessions/demo/databases/none/schemas", nil, 404, "database-not-found")
	for _, body := range []map[string]any{
		{}, {"sql": ""}, {"sql": "select 1", "maxRows": -1}, {"sql": "select 1", "maxCellBytes": 1}, {"sql": "select 1", "unknown": 1},
		{"sql": "select 1", "id": "a b"}, {"sql": "select 1", "timeoutSeconds": -1}, {"sql": 7},
	} {
		e.refused("POST", shop+"/query", body, 400, "bad-request")
	}
}

func TestQuery_TruncationIsSaid(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct {
		max       int
		rows      int64
		truncated bool
	}{{0, 0, false}, {1, 1, true}, {999, 999, true}, {1000, 1000, false}, {1001, 1000, false}} {
		r := e.query("select i from generate_series(1, 1000) i", map[string]any{"maxRows": c.max})
		if r.End.Error != nil || r.End.Rows != c.rows || int64(len(r.Rows)) != c.rows || r.End.Truncated != c.truncated {
			t.Errorf("maxRows %d: %d rows, end %+v", c.max, len(r.Rows), r.End)
		}
	}
	// In the select list it makes its rows one by one; in FROM it would make
	// all of them first.
	r := e.query("select generate_series(1, 1000000000)", map[string]any{"maxRows": 10})
	if r.End.Rows != 10 || !r.End.Truncated {
		t.Errorf("of a huge result: %+v", r.End)
	}
	noStatementRuns(t)
	for _, n := range e.query("select i, repeat('x', 100) from generate_series(1, 20000) i").Batches {
		if n > 500 {
			t.Errorf("a batch has %d rows", n)
		}
	}
}

func TestQuery_LongValuesAreCut(t *testing.T) {
	e := newEnv(t)
	r := e.query("select repeat('ä', 10000), repeat('x', 10 << 20)::text", map[string]any{"maxCellBytes": 1001})
	for i, length := range []float64{20000, 10 << 20} {
		cut, ok := r.Rows[0][i].(map[string]any)
		if !ok || cut["bytes"] != length {
			t.Fatalf("value %d is %.100v", i, r.Rows[0][i])
		}
		if begin := cut["cut"].(string); len(begin) < 1000 || len(begin) > 1001 || strings.ContainsRune(begin, '\ufffd') {
			t.Errorf("value %d was cut to %d bytes", i, len(begin))
		}
	}
	small := newEnv(t, func(o *web.Options) { o.MaxValueBytes = 1 << 20 })
	r = small.query("select repeat('x', 2 << 20)")
	if r.End.Error == nil || r.End.Error.Code != "value-too-large" {
		t.Errorf("a value past the limit: %+v", r.End.Error)
	}
	if r = small.query("select 1"); r.End.Error != nil {
		t.Errorf("the statement after it: %+v", r.End.Error)
	}
}

func TestQuery_ManyColumnsAndOddNames(t *testing.T) {
	e := newEnv(t)
	// A target list has at most 1,664 entries (MaxTupleAttributeNumber).
	list := make([]string, 1664)
	for i := range list {
		list[i] = fmt.Sprintf("%d as c%d", i, i)
	}
	r := e.query("select " + strings.Join(list, ","))
	if r.End.Error != nil || len(r.Cols) != 1664 || len(r.Rows[0]) != 1664 || r.Rows[0][1663] != "1663" {
		t.Fatalf("1,664 columns: %d, %+v", len(r.Cols), r.End.Error)
	}
	r = e.query("select " + strings.Join(append(list, list[:336]...), ","))
	if r.End.Error == nil || r.End.Error.SQLState != "54011" {
		t.Errorf("2,000 columns are more than PostgreSQL has; got %+v", r.End.Error)
	}
	r = e.query(`select 1 as "<script>alert(1)</script>", 2 as "quote""d", 3 as "עברית", 4 as "a", 5 as "a"`)
	names := []string{"<script>alert(1)</script>", `quote"d`, "עברית", "a", "a"}
	for i, n := range names {
		if r.Cols[i].Name != n {
			t.Errorf("column %d is %q, want %q", i, r.Cols[i].Name, n)
		}
	}
}

func TestQuery_NoticesComeAlong(t *testing.T) {
	c := cluster(t)
	err := c.Exec(t.Context(), webtest.DemoDatabase, `create or replace function shop.noisy() returns int language plpgsql as $$
		begin raise notice 'listen: %', '<b>'; return 1; end $$`)
	if err != nil {
		t.Fatal(err)
	}
	r := newEnv(t).query("select shop.noisy()")
	if len(r.Notices) != 1 || r.Notices[0] != "listen: <b>" || r.End.Error != nil {
		t.Errorf("notices %q, end %+v", r.Notices, r.End)
	}
}

// cancelOne starts a statement that sleeps and cancels it by its id.
func cancelOne(t testing.TB, e *env) result {
	t.Helper()
	done := make(chan answer, 1)
	req := e.request("POST", shop+"/query", map[string]any{"sql": "select pg_sleep(600)", "id": "sleeper"})
	go func() { done <- e.do(req) }()
	eventually(t, "the statement is listed", func() bool {
		var list struct {
			Items []struct{ ID, SQL, Kind string }
		}
		e.call("GET", "/sessions/demo/queries", nil, 200, &list)
		return len(list.Items) == 1 && list.Items[0].ID == "sleeper" && list.Items[0].SQL == "select pg_sleep(600)"
	})
	e.refused("POST", shop+"/query", map[string]any{"sql": "select 1", "id": "sleeper"}, 409, "conflict")
	e.call("DELETE", "/sessions/demo/queries/sleeper", nil, 204, nil)
	a := <-done
	return parseResult(t, a.body)
}

// waitListed waits until so many statements run.
func waitListed(t testing.TB, e *env, n int) {
	t.Helper()
	eventually(t, "the statement is listed", func() bool {
		var list struct{ Items []struct{ ID string } }
		e.call("GET", "/sessions/demo/queries", nil, 200, &list)
		return len(list.Items) == n
	})
}

// noStatementRuns waits until the cluster runs nothing for the page.
func noStatementRuns(t testing.TB) {
	t.Helper()
	c := cluster(t)
	eventually(t, "no backend of the page runs a statement", func() bool {
		n, err := c.QueryText(context.Background(), "postgres",
			"select count(*) from pg_stat_activity where usename = '"+webtest.Reader+"' and state = 'active'")
		if err != nil {
			t.Fatal(err)
		}
		return n == "0"
	})
}

func TestQuery_CancelById(t *testing.T) {
	e := newEnv(t)
	r := cancelOne(t, e)
	if r.End.Error == nil || r.End.Error.Code != "cancelled" {
		t.Errorf("end: %+v", r.End)
	}
	noStatementRuns(t)
	e.refused("DELETE", "/sessions/demo/queries/sleeper", nil, 404, "query-not-found")
}

func TestQuery_CancelByLeaving(t *testing.T) {
	e := newEnv(t)
	ctx, cancel := context.WithCancel(t.Context())
	req := e.request("POST", shop+"/query", map[string]any{"sql": "select generate_series(1, 100000000), pg_sleep(0.001)", "maxRows": 10000000}).WithContext(ctx)
	res, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	// Rows that are few still arrive while the statement runs.
	lines := bufio.NewReader(res.Body)
	for i := 0; i < 2; i++ {
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	res.Body.Close()
	noStatementRuns(t)
}

func TestQuery_DeadlineAndTeardownEndIt(t *testing.T) {
	e := newEnv(t)
	r := e.query("select pg_sleep(600)", map[string]any{"timeoutSeconds": 0.2})
	if r.End.Error == nil || r.End.Error.Code != "timeout" || r.End.Error.Hint == "" {
		t.Errorf("after its time: %+v", r.End.Error)
	}
	// A statement cannot lift the limit that is kept here.
	r = e.query("select set_config('statement_timeout', '0', false), pg_sleep(600)", map[string]any{"timeoutSeconds": 0.2})
	if r.End.Error == nil || r.End.Error.Code != "timeout" {
		t.Errorf("after its time, with statement_timeout lifted: %+v", r.End.Error)
	}
	done := make(chan answer, 1)
	req := e.request("POST", shop+"/query", map[string]any{"sql": "select pg_sleep(600)"})
	go func() { done <- e.do(req) }()
	waitListed(t, e, 1)
	e.call("DELETE", "/sessions/demo", nil, 202, nil)
	a := <-done
	if r := parseResult(t, a.body); r.End.Error == nil || r.End.Error.Code != "cancelled" || !strings.Contains(r.End.Error.Message, "torn down") {
		t.Errorf("after teardown: %+v", r.End.Error)
	}
	noStatementRuns(t)
}

func TestQuery_TooManyAtOnce(t *testing.T) {
	e := newEnv(t, func(o *web.Options) { o.MaxStatements = 1 })
	done := make(chan answer, 1)
	req := e.request("POST", shop+"/query", map[string]any{"sql": "select pg_sleep(600)", "id": "only"})
	go func() { done <- e.do(req) }()
	waitListed(t, e, 1)
	e.refused("POST", shop+"/query", map[string]any{"sql": "select 1"}, 429, "busy")
	e.call("DELETE", "/sessions/demo/queries/only", nil, 204, nil)
	<-done
}

func TestQuery_LostConnectionIsSaid(t *testing.T) {
	e := newEnv(t)
	done := make(chan answer, 1)
	req := e.request("POST", shop+"/query", map[string]any{"sql": "select pg_sleep(600)"})
	go func() { done <- e.do(req) }()
	c := cluster(t)
	eventually(t, "the backend is killed", func() bool {
		n, err := c.QueryText(t.Context(), "postgres", "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'")
		if err != nil {
			t.Fatal(err)
		}
		return n == "1"
	})
	a := <-done
	if r := parseResult(t, a.body); r.End.Error == nil || r.End.Error.Code != "connection-lost" || r.End.Error.Hint == "" {
		t.Errorf("end: %+v", r.End.Error)
	}
	if r := e.query("select 1"); r.End.Error != nil {
		t.Errorf("the next statement: %+v", r.End.Error)
	}
}

// TestQuery_MemoryStaysFlat sends a result of 80 MB and looks at what was
// allocated for it in this process, client and all: values are not kept and
// not made into objects.
func TestQuery_MemoryStaysFlat(t *testing.T) {
	e := newEnv(t)
	body := map[string]any{"sql": "select i, repeat('x', 150) from generate_series(1, 500000) i", "maxRows": 1000000}
	count := func() (rows int) {
		res, err := e.client.Do(e.request("POST", shop+"/query", body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewReaderSize(res.Body, 1<<20)
		for {
			line, err := lines.ReadSlice('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(string(line[:8]), `{"end"`) {
				var f struct{ End queryEnd }
				if err := json.Unmarshal(line, &f); err != nil {
					t.Fatal(err)
				}
				return int(f.End.Rows)
			}
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	started := time.Now()
	rows := count()
	took := time.Since(started)
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d rows in %v (%.0f rows/s), %d KiB allocated in all", rows, took, float64(rows)/took.Seconds(), allocated>>10)
	if rows != 500000 {
		t.Fatalf("%d rows", rows)
	}
	if allocated > 32<<20 {
		t.Errorf("%d MiB were allocated for 80 MB of rows: something keeps or copies them", allocated>>20)
	}
}
