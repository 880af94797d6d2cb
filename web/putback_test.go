package web_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/testneeds"
	"github.com/snapview/snapview/web/webtest"
)

// A lossy is a database with the demo's tables in which rows were lost.
type lossy struct {
	t    *testing.T
	name string
	c    *webtest.Cluster
}

// loseRows copies the demo database and runs statements in the copy. It comes
// before the test's first request: nobody may be connected to what is copied.
func loseRows(t *testing.T, name string, statements ...string) *lossy {
	t.Helper()
	c := cluster(t)
	ctx := t.Context()
	// Connections of a test before may still be on their way out. Ours must
	// not have been made yet.
	eventually(t, "the demo database can be copied", func() bool {
		err := c.Exec(ctx, "postgres", "create database "+name+" template "+webtest.DemoDatabase)
		if err != nil {
			t.Log(err)
		}
		return err == nil
	})
	t.Cleanup(func() { dropDatabase(c, name) })
	if err := c.Exec(ctx, name, statements...); err != nil {
		t.Fatal(err)
	}
	return &lossy{t, name, c}
}

// run runs a script as a person would.
func (l *lossy) run(script []byte) {
	l.t.Helper()
	file := filepath.Join(l.t.TempDir(), "put-back.sql")
	if err := os.WriteFile(file, script, 0o600); err != nil {
		l.t.Fatal(err)
	}
	if _, err := exec.LookPath("psql"); err != nil {
		testneeds.Missing(l.t, "psql")
	}
	out, err := exec.CommandContext(l.t.Context(), "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", l.c.SuperDSN(l.name), "-f", file).CombinedOutput()
	if err != nil {
		l.t.Fatalf("psql: %v\n%s\n%.3000s", err, out, script)
	}
}

// same compares a query's answer here and in the demo database.
func (l *lossy) same(sql string) {
	l.t.Helper()
	want, err := l.c.QueryText(l.t.Context(), webtest.DemoDatabase, sql)
	if err != nil {
		l.t.Fatal(err)
	}
	got, err := l.c.QueryText(l.t.Context(), l.name, sql)
	if err != nil {
		l.t.Fatal(err)
	}
	if got != want {
		l.t.Errorf("%s: %s, want %s", sql, got, want)
	}
}

func (e *env) oid(schema, name string) uint32 {
	e.t.Helper()
	var rel struct{ OID uint32 }
	e.call("GET", shop+"/schemas/"+schema+"/relations/"+name, nil, 200, &rel)
	return rel.OID
}

func (e *env) putBack(body map[string]any) []byte {
	e.t.Helper()
	body["format"] = "put-back"
	a := e.call("POST", shop+"/export", body, 200, nil)
	if message := a.trailer.Get("X-Snapview-Error"); message != "" {
		e.t.Fatal(message)
	}
	return a.body
}

const wholeShop = `select md5(string_agg(t::text, '|' order by t::text)) from (
	select c::text as t from shop.customers c union all select o::text from shop.orders o union all select l::text from shop.order_lines l
	union all select p::text from shop.products p union all select e::text from shop.employees e) x`

func TestPutBack_CustomersThatWereDeletedWithAllThatTheyHad(t *testing.T) {
	l := loseRows(t, "lost_customers", "delete from shop.customers where id in (7, 20, 999)",
		"update shop.customers set name = 'changed since' where id = 8")
	e := newEnv(t)
	script := e.putBack(map[string]any{"relation": e.oid("shop", "customers"), "keys": []string{`["7"]`, `["20"]`, `["999"]`}, "children": true, "parents": true})
	for range 2 { // a second run changes nothing
		l.run(script)
	}
	if err := l.c.Exec(t.Context(), l.name, "update shop.customers c set name = 'x' where id = 8"); err != nil {
		t.Fatal(err)
	}
	l.same("select count(*) from shop.customers")
	l.same(strings.ReplaceAll(wholeShop, "from shop.customers c", "from shop.customers c where id <> 8"))
	l.same("select (select last_value from shop.customers_id_seq) >= (select max(id) from shop.customers)")
}

func TestPutBack_AQueryWithWhatItsRowsReferTo(t *testing.T) {
	l := loseRows(t, "lost_orders", "truncate shop.order_lines", "delete from shop.orders", "delete from shop.customers", "delete from shop.products")
	e := newEnv(t)
	l.run(e.putBack(map[string]any{"sql": "select l.* from shop.order_lines l where quantity = 5 and sku < 'SKU-0100' order by 1; ", "parents": true}))
	l.same("select md5(string_agg(l::text, '|' order by l::text)) from shop.order_lines l where quantity = 5 and sku < 'SKU-0100'")
	lines := "(select order_id from shop.order_lines where quantity = 5 and sku < 'SKU-0100')"
	l.same("select md5(string_agg(o::text, '|' order by o::text)) from shop.orders o where id in " + lines)
	l.same("select md5(string_agg(c::text, '|' order by c::text)) from shop.customers c where id in (select customer_id from shop.orders where id in " + lines + ")")
	left, err := l.c.QueryText(t.Context(), l.name, "select (select count(*) from shop.order_lines where not (quantity = 5 and sku < 'SKU-0100')) + (select count(*) from shop.orders where id not in "+lines+")")
	if err != nil || left != "0" {
		t.Errorf("%s rows too many, %v", left, err)
	}
}

func TestPutBack_ATableThatRefersToItself(t *testing.T) {
	l := loseRows(t, "lost_employees", "delete from shop.employees where id in (4, 2, 3)", "delete from shop.employees")
	e := newEnv(t)
	script := e.putBack(map[string]any{"relation": e.oid("shop", "employees"), "filter": []string{"1.eq.4"}, "parents": true})
	l.run(script)
	got, err := l.c.QueryText(t.Context(), l.name, "select string_agg(id::text, ',' order by id) from shop.employees")
	if err != nil || got != "1,2,4" {
		t.Errorf("employees %s, %v; want the leaf and those above it", got, err)
	}
}

func TestPutBack_HostileNamesStayInTheirQuotes(t *testing.T) {
	l := loseRows(t, "lost_weird", `delete from "weird ""names"" & co"."<script>alert('t')</script>"`)
	e := newEnv(t)
	var page struct{ Items []struct{ OID uint32 } }
	e.call("GET", shop+"/relations?schema="+"weird+%22names%22+%26+co", nil, 200, &page)
	if len(page.Items) != 1 {
		t.Fatalf("%+v", page)
	}
	l.run(e.putBack(map[string]any{"relation": page.Items[0].OID}))
	l.same(`select string_agg(w::text, '|' order by w::text) from "weird ""names"" & co"."<script>alert('t')</script>" w`)
}

// TestPutBack_MarkedRows marks rows of tables without a key and with one of two
// columns, exactly these come back.
func TestPutBack_MarkedRows(t *testing.T) {
	l := loseRows(t, "lost_marked", "truncate shop.log, shop.order_lines")
	e := newEnv(t)
	for _, name := range []string{"log", "order_lines"} {
		var page rowPage
		e.call("GET", e.oidOf("shop", name)+"/rows?limit=400", nil, 200, &page)
		keys := []string{*page.Keys[399], *page.Keys[3], *page.Keys[200]} // marked in this order
		l.run(e.putBack(map[string]any{"relation": e.oid("shop", name), "keys": keys}))
		// In the table's own order, whatever the order of the marks.
		csv := e.call("POST", shop+"/export", map[string]any{"relation": e.oid("shop", name), "keys": keys, "format": "csv", "header": false}, 200, nil)
		lines := strings.Split(strings.TrimSpace(string(csv.body)), "\n")
		if len(lines) != 3 {
			t.Fatalf("%s: %q", name, csv.body)
		}
		for i, n := range []int{3, 200, 399} {
			if first, _ := page.Rows[n][0].(string); !strings.HasPrefix(lines[i], first+",") {
				t.Errorf("%s: line %q does not begin with %q", name, lines[i], first)
			}
		}
	}
	got, err := l.c.QueryText(t.Context(), l.name, "select (select string_agg(message, ',' order by at) from shop.log) || ' ' || (select string_agg(order_id || '/' || line, ',' order by order_id, line) from shop.order_lines)")
	if want := "message 4,message 201,message 400 2/2,101/1,200/2"; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestPutBack_Refuses(t *testing.T) {
	e := newEnv(t)
	customers := e.oid("shop", "customers")
	for name, body := range map[string]map[string]any{
		"a query of two tables":       {"sql": "select o.id, c.id from shop.orders o join shop.customers c on true limit 1"},
		"a query without the key":     {"sql": "select name from shop.customers"},
		"keys beside a filter":        {"relation": customers, "keys": []string{`["7"]`}, "filter": []string{"1.eq.7"}},
		"a key of another form":       {"relation": customers, "keys": []string{`["7","8"]`}},
		"parents in another format":   {"relation": customers, "keys": []string{`["7"]`}, "parents": true, "format": "sql"},
		"keys of a view":              {"relation": e.oid("shop", "order_totals"), "keys": []string{`["7"]`}, "format": "csv"},
		"a key that is no number":     {"relation": customers, "keys": []string{`["7; drop table"]`}},
		"a statement after the query": {"sql": "select * from shop.customers) q; delete from shop.customers; select * from (select 1"},
	} {
		if body["format"] == nil {
			body["format"] = "put-back"
		}
		a := e.do(e.request("POST", shop+"/export", body))
		if a.status < 400 || a.status >= 500 {
			t.Errorf("%s: status %d: %.300s", name, a.status, a.body)
		}
	}
	a := e.do(e.request("POST", shop+"/export", map[string]any{"relation": e.oid("shop", "order_totals"), "format": "put-back"}))
	wantProblem(t, a, 422, "not-supported")
}
