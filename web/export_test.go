package web_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

// TestExport_CSVIsWhatCOPYWrites compares the file with PostgreSQL's own COPY
// of the same rows, byte for byte.
func TestExport_CSVIsWhatCOPYWrites(t *testing.T) {
	e := newEnv(t)
	conn, err := pgx.Connect(t.Context(), cluster(t).DSN(webtest.DemoDatabase))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "set extra_float_digits = 3; set datestyle = 'ISO, YMD'"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"select * from shop.customers where id <> 7 order by id", "select * from shop.order_lines order by 1, 2",
		`select 'a,b', 'q"q', E'l\nl', E'r\rr', '', null, ' x ', '\.', 'é', 1.5, true, array[1,null]`, `select '\.'`, "select ''", "select null::text",
	} {
		var want strings.Builder
		if _, err := conn.PgConn().CopyTo(t.Context(), &want, "copy ("+sql+") to stdout (format csv, header)"); err != nil {
			t.Fatal(err)
		}
		a := e.call("POST", shop+"/export", map[string]any{"sql": sql, "format": "csv"}, 200, nil)
		if string(a.body) != want.String() {
			t.Errorf("%s:\n%.500q\nwant\n%.500q", sql, a.body, want.String())
		}
		if rows := a.trailer.Get("X-Snapview-Rows"); rows != fmt.Sprint(rowsOf(t, want.String())) || a.trailer.Get("X-Snapview-Error") != "" {
			t.Errorf("%s: trailers %v", sql, a.trailer)
		}
	}
}

func rowsOf(t testing.TB, text string) int {
	t.Helper()
	if text == "?column?\n\n" || strings.HasSuffix(text, "\n\n") {
		return 1 // a lone NULL is an empty line, which csv skips
	}
	list, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return strings.Count(text, "\n") - 1
	}
	return len(list) - 1
}

func TestExport_CSVOptions(t *testing.T) {
	e := newEnv(t)
	a := e.call("POST", shop+"/export", map[string]any{
		"sql": "select '=1+1' as a, -5 as b, '-x' as c, null as d, 'x;y' as e, '@' as f;", "format": "csv", "header": false,
		"delimiter": ";", "null": "NULL", "bom": true, "escapeFormulas": true, "fileName": "../../<b>\u202ename",
	}, 200, nil)
	if want := "\ufeff\"'=1+1\";-5;\"'-x\";NULL;\"x;y\";\"'@\"\n"; string(a.body) != want {
		t.Errorf("%q, want %q", a.body, want)
	}
	if d := a.header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment") || strings.ContainsAny(d, "/<\u202e") {
		t.Errorf("Content-Disposition: %q", d)
	}
}

func TestExport_JSONKeepsValues(t *testing.T) {
	e := newEnv(t)
	sql := `select 9007199254740993::int8 as big, 1.10::numeric as n, 'NaN'::float8 as nan, true as b, null as nothing,
		E'{"a": [1,\n 2]}'::json as j, '{"k": null}'::jsonb as jb, 'x"y' as s, 1 as s, array[1,2] as arr from generate_series(1, 2)`
	want := `{"big":9007199254740993,"n":1.10,"nan":"NaN","b":true,"nothing":null,"j":{"a":[1,2]},"jb":{"k":null},"s":"x\"y","s_2":1,"arr":"{1,2}"}`
	a := e.call("POST", shop+"/export", map[string]any{"sql": sql, "format": "ndjson"}, 200, nil)
	if string(a.body) != want+"\n"+want+"\n" {
		t.Errorf("ndjson: %s", a.body)
	}
	a = e.call("POST", shop+"/export", map[string]any{"sql": sql, "format": "json"}, 200, nil)
	if string(a.body) != "[\n"+want+",\n"+want+"\n]\n" {
		t.Errorf("json: %s", a.body)
	}
	a = e.call("POST", shop+"/export", map[string]any{"sql": "select 1 where false", "format": "json"}, 200, nil)
	var list []any
	if err := json.Unmarshal(a.body, &list); err != nil || len(list) != 0 {
		t.Errorf("no rows: %s", a.body)
	}
}

// TestExport_SQLPutsTheRowsBack runs the exported script elsewhere and compares
// the tables.
func TestExport_SQLPutsTheRowsBack(t *testing.T) {
	e := newEnv(t)
	c := cluster(t)
	if err := c.CreateDemoAs(t.Context(), "target"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dropDatabase(c, "target") })
	if err := c.Exec(t.Context(), "target", "truncate shop.customers, shop.order_lines, shop.orders cascade"); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"customers", "orders", "order_lines"} {
		var r struct{ OID uint32 }
		e.call("GET", shop+"/schemas/shop/relations/"+table, nil, 200, &r)
		a := e.call("POST", shop+"/export", map[string]any{"relation": r.OID, "format": "sql", "onConflict": "nothing"}, 200, nil)
		for range 2 { // twice: the second does nothing
			if err := c.Exec(t.Context(), "target", string(a.body)); err != nil {
				t.Fatalf("%s: %v", table, err)
			}
		}
		sum := "select md5(string_agg(x::text, '|' order by x::text)) from shop." + table + " x"
		have, err := c.QueryText(t.Context(), "target", sum)
		if err != nil {
			t.Fatal(err)
		}
		want, err := c.QueryText(t.Context(), webtest.DemoDatabase, sum)
		if err != nil {
			t.Fatal(err)
		}
		if have != want || want == "" {
			t.Errorf("%s differs after it was put back", table)
		}
	}
	// With CREATE TABLE, elsewhere in it: a generated column is one like others,
	// and so is an identity. Twice, as what is there is left alone.
	if err := c.Exec(t.Context(), "target", "create schema there"); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"order_lines", "customers"} {
		script := e.exported("", "sql", map[string]any{"relation": e.oid("shop", table), "createTable": true, "rowsPerStatement": 7, "onConflict": "nothing", "target": "there." + table})
		for range 2 {
			if err := c.Exec(t.Context(), "target", script); err != nil {
				t.Fatalf("%s: %v\n%.2000s", table, err, script)
			}
		}
		sum := "select count(*) || md5(string_agg(x::text, '|' order by x::text)) from %s." + table + " x"
		want, err := c.QueryText(t.Context(), webtest.DemoDatabase, fmt.Sprintf(sum, "shop"))
		if err != nil {
			t.Fatal(err)
		}
		if have, err := c.QueryText(t.Context(), "target", fmt.Sprintf(sum, "there")); err != nil || have != want {
			t.Errorf("there.%s is not what shop.%s is (%v)", table, table, err)
		}
	}
	a := e.call("POST", shop+"/export", map[string]any{"sql": "select id as number, name from shop.employees where id < 2", "format": "sql"}, 200, nil)
	if !strings.Contains(string(a.body), "INSERT INTO \"shop\".\"employees\" (\"id\", \"name\") VALUES\n  (1, 'Root');") {
		t.Errorf("a query over one table: %s", a.body)
	}
	e.refused("POST", shop+"/export", map[string]any{"sql": "select 1", "format": "sql"}, 400, "bad-request")
	e.call("POST", shop+"/export", map[string]any{"sql": "select 1", "format": "sql", "target": "shop.new"}, 200, nil)
}

func TestExport_FailureIsVisible(t *testing.T) {
	e := newEnv(t)
	for format, comment := range map[string]string{"csv": "# ", "json": "# ", "ndjson": "# ", "sql": "-- "} {
		body := map[string]any{"sql": "select 1/(5000-i) as x from generate_series(1, 10000) i", "format": format}
		if format == "sql" {
			body["target"] = "t"
		}
		a := e.call("POST", shop+"/export", body, 200, nil)
		lines := strings.Split(strings.TrimSuffix(string(a.body), "\n"), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, comment+"snapview: export failed after 4999 rows") || !strings.Contains(last, "division by zero") {
			t.Errorf("%s ends with %q", format, last)
		}
		if got := a.trailer.Get("X-Snapview-Error"); !strings.HasPrefix(got, "sql-error") || a.trailer.Get("X-Snapview-Rows") != "4999" {
			t.Errorf("%s: trailers %v", format, a.trailer)
		}
	}
	// Before the first byte it is a problem.
	e.refused("POST", shop+"/export", map[string]any{"sql": "select nope", "format": "csv"}, 422, "sql-error")
	e.refused("POST", shop+"/export", map[string]any{"sql": "delete from shop.log", "format": "csv"}, 422, "not-a-query")
	e.refused("POST", shop+"/exports", map[string]any{"sql": "delete from shop.log", "format": "csv"}, 422, "not-a-query")
}

func TestExport_PreparedIsDownloadedOnce(t *testing.T) {
	e := newEnv(t)
	var ticket struct{ URL, ID string }
	e.call("POST", shop+"/exports", map[string]any{"sql": "select generate_series(1, 3) as n", "format": "csv"}, 201, &ticket)
	// As the browser does it: a plain GET.
	a := e.raw(e.client, "GET", ticket.URL, map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}, nil)
	if string(a.body) != "n\n1\n2\n3\n" || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%s %v", a.body, a.header)
	}
	wantProblem(t, e.raw(e.client, "GET", ticket.URL, nil, nil), 404, "export-not-found")
	e.call("POST", shop+"/exports", map[string]any{"sql": "select 1", "format": "csv"}, 201, &ticket)
	wantProblem(t, e.raw(stranger(t), "GET", ticket.URL, nil, nil), 401, "unauthorized")
	wantProblem(t, e.raw(e.client, "GET", ticket.URL, map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, nil), 403, "forbidden-origin")
}

func TestServer_NeedsSessions(t *testing.T) {
	if _, err := web.New(web.Options{}); err == nil {
		t.Error("a server without sessions was made")
	}
}
