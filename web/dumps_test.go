package web_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/snapview/snapview/testneeds"
)

// download fetches what was prepared.
func (e *env) download(path string, body map[string]any) answer {
	e.t.Helper()
	var ready struct{ URL string }
	e.call("POST", shop+path, body, 201, &ready)
	return e.do(e.request("GET", strings.TrimPrefix(ready.URL, "/api/v1"), nil))
}

func TestDump_OfATableRestoresIt(t *testing.T) {
	if _, err := exec.LookPath("pg_dump"); err != nil {
		testneeds.Missing(t, "pg_dump")
	}
	l := loseRows(t, "lost_table", "drop table shop.employees")
	e := newEnv(t)
	a := e.download("/dumps", map[string]any{"relations": []uint32{e.oid("shop", "employees")}})
	if a.status != 200 || !strings.Contains(a.header.Get("Content-Disposition"), "shop_shop_employees_2026-11-20_dump.sql") || a.header.Get("Content-Type") != "application/sql" {
		t.Fatalf("status %d, %v", a.status, a.header)
	}
	l.run(a.body)
	l.same("select string_agg(e::text, '|' order by id) from shop.employees e")
}

func TestDump_Refuses(t *testing.T) {
	e := newEnv(t)
	e.refused("POST", shop+"/dumps", map[string]any{"schemaOnly": true, "dataOnly": true}, 400, "bad-request")
	e.refused("POST", shop+"/dumps", map[string]any{"relations": []uint32{1}}, 404, "relation-not-found")
	e.refused("POST", "/sessions/demo/databases/nowhere/dumps", map[string]any{"relations": []uint32{e.oid("shop", "employees")}}, 404, "database-not-found")
	// A whole database that is not there is found out when it is dumped.
	a := e.do(e.request("POST", "/sessions/demo/databases/nowhere/dumps", map[string]any{}))
	if a.status == 201 {
		var ready struct{ URL string }
		e.call("POST", "/sessions/demo/databases/nowhere/dumps", map[string]any{}, 201, &ready)
		e.refused("GET", strings.TrimPrefix(ready.URL, "/api/v1"), nil, 422, "dump-failed")
	}
}
