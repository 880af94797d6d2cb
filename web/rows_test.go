package web_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/snapview/snapview/web/webtest"
)

type rowPage struct {
	Columns []struct {
		Number int
		Name   string
		Type   string
	}
	Rows   [][]any
	Keys   []*string
	Paging string
	Next   string
	SQL    string
}

// oidOf returns the path of a relation of the demo database.
func (e *env) oidOf(schema, name string) string {
	e.t.Helper()
	var r struct{ OID uint32 }
	e.call("GET", shop+"/schemas/"+url.PathEscape(schema)+"/relations/"+url.PathEscape(name), nil, 200, &r)
	return fmt.Sprintf("%s/relations/%d", shop, r.OID)
}

// allRows pages through a relation and returns its rows and keys.
func (e *env) allRows(path string, params url.Values) (rows [][]any, keys []*string, pages int) {
	e.t.Helper()
	for {
		var p rowPage
		e.call("GET", path+"/rows?"+params.Encode(), nil, 200, &p)
		rows, keys = append(rows, p.Rows...), append(keys, p.Keys...)
		pages++
		if p.Next == "" {
			return rows, keys, pages
		}
		if len(p.Rows) == 0 || pages > 5000 {
			e.t.Fatalf("page %d of %s has %d rows and a next", pages, path, len(p.Rows))
		}
		params.Set("cursor", p.Next)
	}
}

// oracle asks PostgreSQL for the same rows in one piece.
func oracle(t testing.TB, sql string) []string {
	t.Helper()
	s, err := cluster(t).QueryText(t.Context(), webtest.DemoDatabase, "select string_agg(x::text, E'\\x1e') from ("+sql+") x")
	if err != nil {
		t.Fatal(err)
	}
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x1e")
}

func firstColumn(rows [][]any) []string {
	list := make([]string, len(rows))
	for i, r := range rows {
		list[i] = "(" + fmt.Sprint(r[0]) + ")"
	}
	return list
}

// TestRows_PagesAreTheWholeInOrder compares what paging brings, in every way
// of paging and order, with one ORDER BY in PostgreSQL.
func TestRows_PagesAreTheWholeInOrder(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct {
		relation, paging string
		params           url.Values
		sql              string // of the first column
	}{
		{"orders", "key", url.Values{"limit": {"3000"}}, "select id from shop.orders order by id"},
		{"orders", "key", url.Values{"limit": {"2500"}, "order": {"1.desc"}}, "select id from shop.orders order by id desc"},
		{"orders", "key", url.Values{"limit": {"90"}, "order": {"5.asc"}, "filter": {"1.le.400"}}, "select id from shop.orders where id <= 400 order by total, id"},
		{"orders", "key", url.Values{"limit": {"90"}, "order": {"5.desc", "3.asc"}, "filter": {"1.le.400"}}, "select id from shop.orders where id <= 400 order by total desc, state, id"},
		{"orders", "key", url.Values{"limit": {"7"}, "order": {"3.desc", "1.desc"}, "filter": {"1.lt.100"}}, "select id from shop.orders where id < 100 order by state desc, id desc"},
		{"order_lines", "key", url.Values{"limit": {"4999"}}, "select order_id from shop.order_lines order by order_id, line"},
		{"order_lines", "key", url.Values{"limit": {"11"}, "filter": {"1.le.50"}, "order": {"2.desc"}}, "select order_id from shop.order_lines where order_id <= 50 order by line desc, order_id"},
		// Names that begin alike, cut to fewer characters than tell them apart.
		{"products", "key", url.Values{"limit": {"70"}, "order": {"2.desc"}, "cut": {"16"}}, "select sku from shop.products order by title desc, sku"},
		{"log", "ctid", url.Values{"limit": {"700"}}, "select message from shop.log order by ctid"},
		{"log", "ctid", url.Values{"limit": {"100"}, "filter": {"2.eq.3"}}, "select message from shop.log where level = 3 order by ctid"},
		{"log", "ctid", url.Values{"limit": {"999"}, "order": {"2.desc"}}, "select message from shop.log order by level desc, ctid"},
		{"sales_by_city", "ctid", url.Values{"limit": {"2"}}, "select coalesce(city, '<nil>') from shop.sales_by_city order by ctid"},
		{"events", "offset", url.Values{"limit": {"300"}, "order": {"1.asc"}}, "select at from shop.events order by at"},
		{"order_totals", "offset", url.Values{"limit": {"30"}, "order": {"1.asc"}, "filter": {"1.le.100"}}, "select id from shop.order_totals where id <= 100 order by id"},
		{"empty", "key", url.Values{}, "select id from shop.empty"},
		{"invoice_number", "offset", url.Values{}, "select last_value from shop.invoice_number"},
	} {
		path := e.oidOf("shop", c.relation)
		var first rowPage
		e.call("GET", path+"/rows?"+c.params.Encode(), nil, 200, &first)
		if first.Paging != c.paging {
			t.Errorf("%s is paged by %s, want %s", c.relation, first.Paging, c.paging)
		}
		rows, keys, pages := e.allRows(path, c.params)
		want := oracle(t, c.sql)
		got := firstColumn(rows)
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], `"`, "")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s %v: %d rows on %d pages differ from the %d of %s", c.relation, c.params, len(got), pages, len(want), c.sql)
		}
		if c.paging != "offset" {
			seen := make(map[string]bool)
			for _, k := range keys {
				if k == nil || seen[*k] {
					t.Fatalf("%s: key %v is missing or double", c.relation, k)
				}
				seen[*k] = true
			}
		}
		// The statement for the editor runs, and begins with the same rows.
		if r := e.query(first.SQL, map[string]any{"maxRows": 100}); r.End.Error != nil {
			t.Errorf("%s: %s: %+v", c.relation, first.SQL, r.End.Error)
		}
	}
}

func TestRows_Filters(t *testing.T) {
	e := newEnv(t)
	path := e.oidOf("shop", "customers")
	for filter, where := range map[string]string{
		"2.contains.o'brien": "strpos(lower(name), 'o''brien') > 0", "2.like.Ada %": "name like 'Ada %'", "2.ilike.ada %": "name ilike 'ada %'",
		"4.null": "born is null", "4.notnull": "born is not null", "4.lt.1960-01-01": "born < '1960-01-01'", "8.eq.true": "vip",
		"7.ge.900.5": "balance >= 900.5", "7.ne.0": "balance is distinct from 0", `5.eq.{loyal}`: "tags = '{loyal}'",
		`6.eq.{"city":"Oslo"}`: `profile = '{"city":"Oslo"}'`, "10.eq.": "note = ''", `2.eq.a\'; drop table x; --`: "false",
		"3.contains.customer19": "email like '%customer19%'", `9.eq.\x89504e470d0a1a0a`: "avatar is not null",
	} {
		var n struct{ Rows int64 }
		e.call("GET", path+"/count?"+url.Values{"filter": {filter}}.Encode(), nil, 200, &n)
		want := oracle(t, "select count(*) from shop.customers where "+where)
		if fmt.Sprintf("(%d)", n.Rows) != want[0] {
			t.Errorf("filter %s: %d rows, want %s", filter, n.Rows, want[0])
		}
	}
	for _, bad := range []url.Values{
		{"filter": {"99.eq.1"}}, {"filter": {"1.is.1"}}, {"filter": {"id.eq.1"}}, {"filter": {"2.eq.\x00"}}, {"order": {"1.up"}}, {"order": {"99.asc"}},
		{"limit": {"0"}}, {"limit": {"x"}}, {"cut": {"1"}}, {"cursor": {"x"}}, {"cursor": {"e30"}}, {"key": {"[]"}}, {"key": {"7"}}, {"timeoutSeconds": {"nan"}},
	} {
		e.refused("GET", path+"/rows?"+bad.Encode(), nil, 400, "bad-request")
	}
	e.refused("GET", path+"/rows?filter=1.eq.x", nil, 422, "sql-error")
	e.refused("GET", shop+"/relations/1/rows", nil, 404, "relation-not-found")
	e.refused("GET", shop+"/relations/x/rows", nil, 400, "bad-request")
	e.refused("GET", shop+"/schemas/shop/relations/none", nil, 404, "relation-not-found")
}

func TestRows_LongValuesAndCells(t *testing.T) {
	e := newEnv(t)
	path := e.oidOf("shop", "customers")
	var p rowPage
	e.call("GET", path+"/rows?"+url.Values{"filter": {"1.eq.7"}, "cut": {"100"}}.Encode(), nil, 200, &p)
	cut, ok := p.Rows[0][9].(map[string]any)
	if !ok || cut["bytes"] != float64(11200000) || len(cut["cut"].(string)) != 100 {
		t.Fatalf("11 MB of text: %.200v", p.Rows[0][9])
	}
	if _, whole := p.Rows[0][1].(string); !whole {
		t.Errorf("a short text: %v", p.Rows[0][1])
	}
	cell := func(key string, column int, more string) answer {
		return e.do(e.request("GET", fmt.Sprintf("%s/cell?key=%s&column=%d%s", path, url.QueryEscape(key), column, more), nil))
	}
	if a := cell(*p.Keys[0], 10, ""); len(a.body) != 11200000 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || a.header.Get("Content-Disposition") != "" {
		t.Errorf("the whole text: %d bytes, %v", len(a.body), a.header)
	}
	a := cell(`["20"]`, 9, "")
	if string(a.body) != "\x89PNG\r\n\x1a\n" || a.header.Get("X-Snapview-Media-Type") != "image/png" || a.header.Get("Content-Type") != "application/octet-stream" ||
		!strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("bytea: %q %v", a.body, a.header)
	}
	if a = cell(`["20"]`, 9, "&as=text"); string(a.body) != `\x89504e470d0a1a0a` {
		t.Errorf("bytea as text: %q", a.body)
	}
	if a = cell(`["3"]`, 10, "&download=true"); string(a.body) != "<script>alert(1)</script>" || !strings.Contains(a.header.Get("Content-Disposition"), "customers-note.txt") {
		t.Errorf("script as a download: %q %v", a.body, a.header)
	}
	wantProblem(t, cell(`["99999"]`, 2, ""), 404, "row-not-found")
	wantProblem(t, cell(`["7"]`, 99, ""), 400, "bad-request")
	wantProblem(t, cell(`["7"]`, 2, "&as=binary"), 400, "bad-request")
	wantProblem(t, cell(`["x"]`, 2, ""), 422, "sql-error")
	// A row without a key cannot be named.
	view := e.oidOf("shop", "order_totals")
	wantProblem(t, e.do(e.request("GET", view+"/cell?key=1&column=1", nil)), 422, "not-supported")
	// By ctid.
	e.call("GET", e.oidOf("shop", "log")+"/rows?limit=1", nil, 200, &p)
	a = e.do(e.request("GET", e.oidOf("shop", "log")+"/cell?column=1&key="+url.QueryEscape(*p.Keys[0]), nil))
	if string(a.body) != "message 1" {
		t.Errorf("by ctid %s: %q", *p.Keys[0], a.body)
	}
}

func TestRows_OddNames(t *testing.T) {
	e := newEnv(t)
	schema, table := `weird "names" & co`, "<script>alert('t')</script>"
	path := e.oidOf(schema, table)
	var p rowPage
	e.call("GET", path+"/rows?"+url.Values{"order": {"2.asc"}, "filter": {"4.notnull"}}.Encode(), nil, 200, &p)
	if len(p.Rows) != 2 || p.Columns[2].Name != "שם" || p.Rows[0][3] != "%41/../?x#y" {
		t.Errorf("%+v", p)
	}
	var list struct {
		Items []struct{ Schema, Name string }
		Total int
	}
	e.call("GET", shop+"/relations?"+url.Values{"q": {`NAMES" & co.<scr`}}.Encode(), nil, 200, &list)
	if list.Total != 1 || list.Items[0].Schema != schema || list.Items[0].Name != table {
		t.Errorf("search: %+v", list)
	}
	a := e.call("POST", shop+"/export", map[string]any{"format": "sql", "sql": `select * from "weird ""names"" & co"."<script>alert('t')</script>"`}, 200, nil)
	if !strings.Contains(string(a.body), `INSERT INTO "weird ""names"" & co"."<script>alert('t')</script>" ("select", "a ""quoted"" column", "שם", "per%cent/slash?#") VALUES`) {
		t.Errorf("%s", a.body)
	}
}

func TestRelation_SaysEverything(t *testing.T) {
	e := newEnv(t)
	var r struct {
		Kind, Paging, DDL, Comment, PartitionKey, Definition string
		Columns                                              []struct {
			Name, Type, Default, Identity, Comment string
			Key                                    int
			NotNull, Generated                     bool
		}
		Indexes                  []struct{ Name string }
		Constraints              []struct{ Name, Kind, Definition string }
		References, ReferencedBy []struct {
			Relation              string
			Columns, OtherColumns []int
			OnDelete              string
		}
		Partitions []struct{ Name, Kind string }
		Sizes      struct{ Table, Indexes, Toast int64 }
		Bytes      int64
	}
	e.call("GET", shop+"/schemas/shop/relations/customers", nil, 200, &r)
	if r.Kind != "table" || r.Paging != "key" || r.Columns[0].Identity != "always" || r.Columns[0].Key != 1 || r.Columns[4].Default != "'{}'::text[]" ||
		r.Columns[4].Comment == "" || r.Comment == "" || len(r.ReferencedBy) != 1 || r.ReferencedBy[0].Relation != "orders" || r.ReferencedBy[0].Columns[0] != 1 {
		t.Errorf("customers: %+v", r)
	}
	if r.Sizes.Table <= 0 || r.Sizes.Toast <= 0 || r.Sizes.Table+r.Sizes.Indexes+r.Sizes.Toast != r.Bytes {
		t.Errorf("sizes: %+v of %d", r.Sizes, r.Bytes)
	}
	// The statements that it shows make the same columns.
	c := cluster(t)
	ddl := strings.NewReplacer(`"shop"."customers"`, "shop.copied", `"customers_`, `"copied_`, `"balance_sane"`, `"copied_sane"`).Replace(r.DDL)
	if err := c.Exec(t.Context(), webtest.DemoDatabase, ddl); err != nil {
		t.Errorf("DDL: %v in\n%s", err, ddl)
	}
	t.Cleanup(func() { _ = c.Exec(context.Background(), webtest.DemoDatabase, "drop table if exists shop.copied") })

	e.call("GET", shop+"/schemas/shop/relations/order_lines", nil, 200, &r)
	if len(r.References) != 2 || r.References[0].OnDelete != "cascade" || !r.Columns[5].Generated {
		t.Errorf("order_lines: %+v", r)
	}
	e.call("GET", shop+"/schemas/shop/relations/employees", nil, 200, &r)
	if len(r.References) != 1 || len(r.ReferencedBy) != 1 {
		t.Errorf("a table that points to itself: %+v", r)
	}
	e.call("GET", shop+"/schemas/shop/relations/events", nil, 200, &r)
	if r.Kind != "partitioned-table" || r.PartitionKey != "RANGE (at)" || len(r.Partitions) != 2 || r.Partitions[0].Kind != "partition" {
		t.Errorf("events: %+v", r)
	}
	e.call("GET", shop+"/schemas/shop/relations/order_totals", nil, 200, &r)
	if r.Kind != "view" || !strings.Contains(r.Definition, "sum(l.amount)") || !strings.HasPrefix(r.DDL, "CREATE VIEW") {
		t.Errorf("order_totals: %+v", r)
	}
}

// TestRelations_TenThousand lists a schema of 10,000 tables: in pages that join
// to the whole, in both orders.
func TestRelations_TenThousand(t *testing.T) {
	c := cluster(t)
	if err := c.Exec(t.Context(), "postgres", "create database wide"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dropDatabase(c, "wide") })
	// Made in the catalogue itself, which takes a moment instead of many: the
	// list reads nothing else.
	if err := c.Exec(t.Context(), "wide", "create table template (id int)", `set allow_system_table_mods = on;
		insert into pg_class select r.* from pg_class c
		cross join generate_series(1, 10000) i
		cross join lateral jsonb_populate_record(c, jsonb_build_object('oid', 1000000 + i, 'relname', 'Table ' || i, 'relpages', i % 100)) r
		where c.relname = 'template';
		delete from pg_class where relname = 'template'`); err != nil {
		t.Fatal(err)
	}
	e := newEnv(t)
	for _, sort := range []string{"name", "size"} {
		seen := make(map[string]bool)
		cursor, total := "", 0
		for {
			var p struct {
				Items []struct{ Name string }
				Next  string
				Total int
			}
			e.call("GET", "/sessions/demo/databases/wide/relations?limit=3000&sort="+sort+"&cursor="+cursor, nil, 200, &p)
			if cursor == "" {
				total = p.Total
			}
			for _, r := range p.Items {
				if seen[r.Name] {
					t.Fatalf("%s came twice", r.Name)
				}
				seen[r.Name] = true
			}
			if cursor = p.Next; cursor == "" {
				break
			}
		}
		if len(seen) != 10000 || total != 10000 {
			t.Errorf("by %s: %d tables, total %d", sort, len(seen), total)
		}
	}
	var p struct{ Items []struct{ Name string } }
	e.call("GET", "/sessions/demo/databases/wide/relations?q=table+777&kind=table&kind=view", nil, 200, &p)
	if len(p.Items) != 11 {
		t.Errorf("search: %d tables", len(p.Items))
	}
	e.call("GET", "/sessions/demo/databases/wide/completion?limit=100", nil, 200, nil)
}
