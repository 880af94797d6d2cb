package web_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/snapview/snapview/testneeds"
	"github.com/snapview/snapview/web"
)

// showsNoRows are the operations of the contract that show nothing of users'
// tables, and so leave no record of a statement: they answer from snapview itself
// or from the catalogue, which has names, definitions and sizes.
var showsNoRows = []string{
	"getHealth", "getVersion", "getMe", "listSavedQueries", "saveQueries", "replaceSavedQuery", "removeSavedQuery", "listHistory",
	"forgetHistory", "getHistoryEntry", "forgetHistoryEntry", "listTabs", "putTab", "removeTab", "listCatalogue", "refreshCatalogue",
	"getPreflight", "openSession", "makeLoginLink", "makeSessionLink", "listSessions", "getSession", "closeSession", "getSnapshot", "streamEvents", "getOverlay", "getGrowth",
	"getGrowthSteps", "setLimit", "keepSession", "listCheckpoints", "createCheckpoint", "createFork", "listLayers", "discardLayer", "mergeLayer",
	"getDiskExtents", "listDatabases", "listSchemas", "listRelations", "searchDatabase", "getCompletion", "getRelationByName", "getRelation",
	"listObjects", "listByteColumns", "getObject", "listQueries", "cancelQuery", "listDownloads", "cancelDownload",
	// These have PostgreSQL parse a statement; downloadExport runs it.
	"createExport", "createDump",
}

// TestAudit_HasEveryWayToRows walks over the whole contract: an operation is
// either in the list above, or runs here and must leave one record, with rows
// and the bytes of its answer.
func TestAudit_HasEveryWayToRows(t *testing.T) {
	if _, err := exec.LookPath("pg_dump"); err != nil {
		testneeds.Missing(t, "pg_dump")
	}
	var mu sync.Mutex
	var log []web.Statement
	e := newEnv(t, func(o *web.Options) {
		o.Audit = func(s web.Statement) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, s)
		}
	})
	e.session.HasLayers = true
	large, err := cluster(t).QueryText(t.Context(), "shop", "select lo_from_bytea(0, 'content')")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unlinkLargeObject(t, large) })
	if err := cluster(t).Exec(t.Context(), "shop", "grant select on large object "+large+" to public"); err != nil {
		t.Fatal(err)
	}
	oid := e.oid("shop", "orders")
	orders := fmt.Sprintf("%s/relations/%d", shop, oid)
	cell := fmt.Sprintf("%s/relations/%d/cell?column=2&key=", shop, e.oid("shop", "customers")) + url.QueryEscape(`["7"]`)
	get := func(path string) func() answer {
		return func() answer { return e.call("GET", path, nil, 200, nil) }
	}
	post := func(path string, body map[string]any) func() answer {
		return func() answer { return e.call("POST", shop+path, body, 200, nil) }
	}
	download := func(path string, body map[string]any) func() answer {
		return func() answer { return e.download(path, body) }
	}
	export := map[string]any{"sql": "select * from shop.products", "format": "csv"}
	const some = -1
	ways := []struct {
		operation string
		run       func() answer
		kind      string
		sql       string // part of the statement, or of the detail
		rows      int64  // or some: more than none
	}{
		{"runQuery", post("/query", map[string]any{"sql": "select * from shop.products limit 4"}), "query", "shop.products limit 4", 4},
		{"listRows", get(orders + "/rows?limit=3"), "rows", `"shop"."orders"`, 3},
		{"countRows", get(orders + "/count"), "rows", "count(*)", 1},
		{"listFacets", get(orders + "/facets?column=3"), "rows", "pg_stats", some},
		{"listFacets", get(orders + "/facets?column=3&exact=true"), "rows", `"shop"."orders"`, some},
		{"getCell", get(cell), "rows", `"shop"."customers"`, 1},
		{"getCell", get(cell + "&as=text&download=true"), "rows", `"shop"."customers"`, 1},
		{"listLargeObjects", get(shop + "/large-objects"), "rows", "pg_largeobject_metadata", some},
		{"getLargeObject", get(shop + "/large-objects/" + large), "rows", "lo_get(" + large, 1},
		{"getLargeObject", get(shop + "/large-objects/" + large + "?as=binary&offset=1&length=3"), "rows", "lo_get(" + large, 1},
		{"runExport", post("/export", export), "export", "shop.products", 300},
		{"runExport", post("/export", map[string]any{"relation": oid, "filter": []string{"1.le.4"}, "parents": true, "format": "put-back"}), "export", `"shop"."customers"`, some},
		{"downloadExport", download("/exports", export), "export", "shop.products", 300},
		{"downloadExport", download("/dumps", map[string]any{"relations": []uint32{oid}}), "dump", `-t "shop"."orders"`, 0},
		{"previewExport", post("/exports/preview", export), "preview", "shop.products", some},
		{"getDisk", get("/sessions/demo/disk?checkpoint=base"), "disk", "the disk of base", 0},
		{"getDisk", get("/sessions/demo/disk?checkpoint=base&format=qcow2"), "disk", "the disk of base", 0},
	}
	known := slices.Clone(showsNoRows)
	for _, way := range ways {
		known = append(known, way.operation)
		name := way.operation + " " + way.sql
		a := way.run()
		eventually(t, name+" is in the log", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(log) > 0
		})
		mu.Lock()
		st := log[0]
		if len(log) > 1 {
			t.Errorf("%s: %d records: %+v", name, len(log), log)
		}
		log = nil
		mu.Unlock()
		if st.Via != web.ViaPage || st.Session != "demo" || st.Remote == "" || st.Reference == "" || st.Outcome != "ok" || st.Time.IsZero() ||
			st.Kind != way.kind || !strings.Contains(st.SQL+st.Detail, way.sql) || (st.Database != "shop") != (way.kind == "disk") {
			t.Errorf("%s: %+v", name, st)
		}
		if st.Rows != way.rows && (way.rows != some || st.Rows == 0) {
			t.Errorf("%s: %d rows, want %d", name, st.Rows, way.rows)
		}
		if st.Bytes != int64(len(a.body)) || st.Bytes == 0 {
			t.Errorf("%s: %d bytes, the answer has %d", name, st.Bytes, len(a.body))
		}
	}
	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !slices.Contains(known, op.OperationID) {
				t.Errorf("%s %s (%s): does it show rows of users' tables? Then it belongs into the audit log and into this test", method, path, op.OperationID)
			}
		}
	}
}

// What fails is in the log with the reason, and what a command of snapview asks
// for by a session's socket with the way that it came.
func TestAudit_SaysWhyAndWhence(t *testing.T) {
	var mu sync.Mutex
	var log []web.Statement
	e := newEnv(t, func(o *web.Options) {
		o.Audit = func(s web.Statement) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, s)
		}
	})
	orders := fmt.Sprintf("%s/relations/%d", shop, e.oid("shop", "orders"))
	e.refused("GET", orders+"/rows?filter="+url.QueryEscape("1.eq.x"), nil, 422, "sql-error")
	logged := func(n int) {
		eventually(t, fmt.Sprint(n, " records are in the log"), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(log) == n
		})
	}
	logged(1)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go e.server.ServeControl(l) //nolint:errcheck // it ends with the server
	command := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	res, err := command.Get("http://localhost/api/v1" + orders + "/count")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	logged(2)
	if st := log[0]; st.Outcome != "failed" || !strings.Contains(st.Error, "invalid input syntax") || st.Bytes == 0 || st.Via != web.ViaPage {
		t.Errorf("%+v", st)
	}
	if st := log[1]; st.Outcome != "ok" || st.Rows != 1 || st.Via != web.ViaCommand || st.Remote != "socket" {
		t.Errorf("%+v", st)
	}
}
