package web_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

type objectList struct {
	Items []struct {
		OID                        uint32
		Schema, Name, Kind, Detail string
		Owner, Comment, Definition string
		Attributes                 []string
	}
	Truncated bool
}

func TestObjects(t *testing.T) {
	e := newEnv(t)
	find := func(kind, name string) (oid uint32, line string) {
		t.Helper()
		var list objectList
		e.call("GET", shop+"/objects?kind="+kind, nil, 200, &list)
		for _, o := range list.Items {
			if o.Name == name {
				return o.OID, strings.Join(append([]string{o.Schema, o.Kind, o.Detail}, o.Attributes...), "; ")
			}
		}
		t.Fatalf("no %s %s in %+v", kind, name, list)
		return 0, ""
	}
	var one struct{ Definition string }
	oid, line := find("function", "vat")
	if line != "shop; function; (amount numeric) returns numeric; sql; immutable" {
		t.Errorf("vat: %s", line)
	}
	e.call("GET", fmt.Sprintf("%s/objects/function/%d", shop, oid), nil, 200, &one)
	if !strings.HasPrefix(one.Definition, "CREATE OR REPLACE FUNCTION shop.vat(amount numeric)") {
		t.Errorf("definition: %s", one.Definition)
	}
	oid, line = find("type", "order_state")
	if !strings.HasPrefix(line, "shop; enum; ") {
		t.Errorf("order_state: %s", line)
	}
	e.call("GET", fmt.Sprintf("%s/objects/type/%d", shop, oid), nil, 200, &one)
	if !strings.HasPrefix(one.Definition, "CREATE TYPE shop.order_state AS ENUM ('") {
		t.Errorf("definition: %s", one.Definition)
	}
	if _, line = find("extension", "plpgsql"); line != "pg_catalog; extension; version 1.0; installed here" {
		t.Errorf("plpgsql: %s", line)
	}
	var roles objectList
	e.call("GET", shop+"/objects?kind=role&system=true", nil, 200, &roles)
	if len(roles.Items) < 5 {
		t.Errorf("%d roles with the system's", len(roles.Items))
	}
	var role struct{ OID uint32 }
	for _, r := range roles.Items {
		if r.Name == "postgres" {
			role.OID = r.OID
		}
	}
	var made struct{ Definition string }
	e.call("GET", fmt.Sprintf("%s/objects/role/%d", shop, role.OID), nil, 200, &made)
	if !strings.HasPrefix(made.Definition, "CREATE ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;") {
		t.Errorf("a role is made by %q", made.Definition)
	}
	e.call("GET", shop+"/objects?kind=tablespace&system=true&q=pg_", nil, 200, &roles)
	if len(roles.Items) != 2 {
		t.Errorf("tablespaces: %+v", roles.Items)
	}
	e.call("GET", shop+"/objects?kind=function&system=true&q=pg_sleep", nil, 200, &roles)
	if len(roles.Items) != 3 {
		t.Errorf("pg_sleep: %+v", roles.Items)
	}
	e.call("GET", shop+"/objects?kind=nonsense", nil, 400, nil)
	e.call("GET", shop+"/objects/function/1", nil, 404, nil)
}

func TestSearch_FindsEveryKindByItsName(t *testing.T) {
	e := newEnv(t)
	search := func(q string) (lines []string) {
		var out struct {
			Items []struct{ Kind, Schema, Relation, Name string }
		}
		e.call("GET", shop+"/search?q="+url.QueryEscape(q), nil, 200, &out)
		for _, f := range out.Items {
			lines = append(lines, strings.Trim(f.Kind+" "+f.Schema+"."+f.Relation+"."+f.Name, " "))
		}
		return lines
	}
	for q, want := range map[string]string{
		"ORDERS": "table shop..orders", "shop.order": "table shop..orders", "orders_plac": "index shop.orders.orders_placed", "order_state": "type shop..order_state",
		"vat": "function shop..vat", "shop": "schema shop..shop", "plpgsql": "extension pg_catalog..plpgsql", "snapview_": "role ..snapview_reader",
		"customer_id": "column shop.orders.customer_id", "invoice": "sequence shop..invoice_number", "events_2026_01": "partition shop..events_2026_01",
		"sales_by": "materialized-view shop..sales_by_city", "<script>": "table weird \"names\" & co..<script>alert('t')</script>", "שם": "column weird \"names\" & co.<script>alert('t')</script>.שם",
	} {
		if got := search(q); !slices.Contains(got, want) {
			t.Errorf("%s: %q is not among %q", q, want, got)
		}
	}
	if got := search("order"); got[0] != "table shop..orders" && got[0] != "table shop..order_lines" {
		t.Errorf("order: %q comes first", got[0])
	}
	if got := search("pg_class"); len(got) != 0 {
		t.Errorf("the system's own are found: %q", got)
	}
	e.refused("GET", shop+"/search?q=+", nil, 400, "bad-request")
	e.refused("GET", shop+"/search?q=x&limit=1000", nil, 400, "bad-request")
}

func TestFacets(t *testing.T) {
	e := newEnv(t)
	type answer struct {
		Source string
		Items  []struct {
			Value          *string
			Rows, Fraction float64
		}
		Distinct  *float64
		Truncated bool
	}
	orders := fmt.Sprintf("%s/relations/%d", shop, e.oid("shop", "orders"))
	var known, counted, filtered, nulls, many answer
	e.call("GET", orders+"/facets?column=3", nil, 200, &known)
	if known.Source != "statistics" || len(known.Items) != 4 || known.Distinct == nil || *known.Distinct != 4 || known.Truncated {
		t.Errorf("%+v", known)
	}
	e.call("GET", orders+"/facets?column=3&exact=true", nil, 200, &counted)
	if counted.Source != "exact" || len(counted.Items) != 4 || counted.Items[0].Rows != 2500 || counted.Items[0].Fraction != 0.25 {
		t.Errorf("%+v", counted)
	}
	e.call("GET", orders+"/facets?column=3&filter=1.le.4&limit=3", nil, 200, &filtered)
	if filtered.Source != "exact" || len(filtered.Items) != 3 || filtered.Items[0].Rows != 1 || !filtered.Truncated {
		t.Errorf("%+v", filtered)
	}
	e.call("GET", orders+"/facets?column=5&exact=true&limit=1", nil, 200, &nulls)
	if len(nulls.Items) != 1 || nulls.Items[0].Value != nil || nulls.Items[0].Rows != 250 {
		t.Errorf("%+v", nulls)
	}
	e.call("GET", orders+"/facets?column=1", nil, 200, &many)
	if many.Distinct == nil || *many.Distinct != 10000 || !many.Truncated {
		t.Errorf("a unique column: %+v", many)
	}
	e.call("GET", fmt.Sprintf("%s/relations/%d/facets?column=2&exact=true", shop, e.oid("shop", "events")), nil, 200, &counted)
	e.call("GET", fmt.Sprintf("%s/relations/%d/facets?column=3&exact=true&limit=5", shop, e.oid("shop", "order_totals")), nil, 200, &counted)
	e.call("GET", orders+"/facets?column=99", nil, 400, nil)
}

func unlinkLargeObject(t *testing.T, oid string) {
	if err := cluster(t).Exec(context.WithoutCancel(t.Context()), "shop", "select lo_unlink("+oid+")"); err != nil {
		t.Error(err)
	}
}

func TestLargeObjects(t *testing.T) {
	e := newEnv(t)
	c := cluster(t)
	content := bytes.Repeat([]byte("snapview "), 70_000)
	var made []uint32
	for i, sql := range []string{
		"select lo_from_bytea(0, convert_to(repeat('snapview ', 70000), 'UTF8'))", "select lo_from_bytea(0, '\\x89504e470d0a1a0a')", "select lo_create(0)",
	} {
		text, err := c.QueryText(t.Context(), "shop", sql)
		if err != nil {
			t.Fatal(i, err)
		}
		oid, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, uint32(oid))
		t.Cleanup(func() { unlinkLargeObject(t, text) })
		if err := c.Exec(t.Context(), "shop", "grant select on large object "+text+" to public"); err != nil {
			t.Fatal(err)
		}
	}
	var page struct {
		Items []struct {
			OID   uint32
			Bytes int64
		}
		Next uint32
	}
	e.call("GET", shop+"/large-objects?limit=2", nil, 200, &page)
	if len(page.Items) != 2 || page.Next == 0 || page.Items[0].Bytes != int64(len(content)) || page.Items[1].Bytes != 8 {
		t.Errorf("%+v", page)
	}
	e.call("GET", fmt.Sprintf("%s/large-objects?after=%d", shop, page.Next), nil, 200, &page)
	if len(page.Items) != 1 || page.Items[0].Bytes != 0 {
		t.Errorf("%+v", page)
	}
	whole := e.call("GET", fmt.Sprintf("%s/large-objects/%d", shop, made[0]), nil, 200, nil)
	if !bytes.Equal(whole.body, content) {
		t.Errorf("%d bytes of %d", len(whole.body), len(content))
	}
	picture := e.call("GET", fmt.Sprintf("%s/large-objects/%d", shop, made[1]), nil, 200, nil)
	if picture.header.Get("X-Snapview-Media-Type") != "image/png" || !strings.Contains(picture.header.Get("Content-Disposition"), ".png") ||
		picture.header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("headers %v", picture.header)
	}
	if empty := e.call("GET", fmt.Sprintf("%s/large-objects/%d", shop, made[2]), nil, 200, nil); len(empty.body) != 0 {
		t.Errorf("%d bytes of an empty one", len(empty.body))
	}
	e.call("GET", shop+"/large-objects/1", nil, 422, nil)
}
