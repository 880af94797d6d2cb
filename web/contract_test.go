package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

var contract = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(openapi3.NewLoader().Context)
})

// covered are the operations and codes that the tests of this run have seen.
var covered sync.Map

// checkContract holds an answer of the API against openapi.yaml. Every answer
// of every test goes through it.
func checkContract(t testing.TB, req *http.Request, a answer) {
	t.Helper()
	if !strings.HasPrefix(req.URL.Path, "/api/v1/") || req.URL.Path == "/api/v1/openapi.yaml" {
		return
	}
	if err := contractError(req, a); err != nil {
		t.Errorf("%s %s breaks the contract: %v", req.Method, req.URL.Path, err)
	}
}

func contractError(req *http.Request, a answer) error {
	doc, err := contract()
	if err != nil {
		return err
	}
	item := findPath(doc, req.URL)
	if item == nil {
		if a.status == http.StatusNotFound {
			return nil
		}
		return fmt.Errorf("no such path in it")
	}
	op := item.GetOperation(req.Method)
	if op == nil {
		if a.status == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("no such method in it")
	}
	res := op.Responses.Status(a.status)
	if res == nil {
		if a.status < 400 {
			return fmt.Errorf("no status %d in it", a.status)
		}
		res = op.Responses.Default()
	}
	if res == nil {
		return fmt.Errorf("no status %d in it", a.status)
	}
	covered.Store(fmt.Sprintf("%s %d", op.OperationID, a.status), true)
	if a.status == http.StatusNoContent {
		return nil
	}
	mt, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("Content-Type: %w", err)
	}
	media := res.Value.Content[mt]
	if media == nil {
		return fmt.Errorf("status %d with type %s is not in it", a.status, mt)
	}
	switch mt {
	case "application/json", "application/problem+json":
		if a.trailer.Get("X-Snapview-Error") != "" {
			return nil // an export that broke off
		}
		return checkJSON(media.Schema, a.body)
	case "application/x-ndjson":
		if op.OperationID != "runQuery" && op.OperationID != "mergeLayer" {
			return nil
		}
		for i, line := range bytes.Split(bytes.TrimSuffix(a.body, []byte("\n")), []byte("\n")) {
			if i > 20 && !bytes.HasPrefix(line, []byte(`{"end"`)) {
				continue // more of the same; checking is slow
			}
			if err := checkJSON(media.Schema, line); err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
		}
	}
	return nil
}

func checkJSON(schema *openapi3.SchemaRef, body []byte) error {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("%w in %.200s", err, body)
	}
	if schema == nil || schema.Value == nil {
		return nil
	}
	if m, ok := v.(map[string]any); ok {
		if rows, ok := m["rows"].([]any); ok && len(rows) > 20 {
			m["rows"] = rows[:20]
		}
	}
	if err := schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
		return fmt.Errorf("%w in %.300s", err, body)
	}
	return nil
}

// findPath matches the escaped path, so that a slash within a name stays one
// name.
func findPath(doc *openapi3.T, u *url.URL) *openapi3.PathItem {
	have := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/api/v1"), "/")
	for template, item := range doc.Paths.Map() {
		want := strings.Split(template, "/")
		if len(want) != len(have) {
			continue
		}
		ok := true
		for i := range want {
			ok = ok && (want[i] == have[i] || strings.HasPrefix(want[i], "{"))
		}
		if ok {
			return item
		}
	}
	return nil
}

func TestContract_IsAValidDocument(t *testing.T) {
	if _, err := contract(); err != nil {
		t.Fatal(err)
	}
}

func TestContract_OracleFails(t *testing.T) {
	get := func(path string) *http.Request {
		req, err := http.NewRequest(http.MethodGet, "http://x/api/v1"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	isJSON := http.Header{"Content-Type": {"application/json"}}
	for name, c := range map[string]struct {
		path string
		a    answer
	}{
		"missing property": {"/version", answer{200, isJSON, nil, []byte(`{"version":"1"}`)}},
		"unknown property": {"/healthz", answer{200, isJSON, nil, []byte(`{"status":"ok","more":1}`)}},
		"wrong type":       {"/sessions", answer{200, isJSON, nil, []byte(`{"items":null}`)}},
		"unknown code": {"/sessions", answer{404, http.Header{"Content-Type": {"application/problem+json"}}, nil,
			[]byte(`{"type":"about:blank","title":"x","status":404,"code":"made-up"}`)}},
		"unknown status": {"/sessions", answer{202, isJSON, nil, []byte(`{"items":[]}`)}},
		"wrong media":    {"/sessions", answer{200, http.Header{"Content-Type": {"text/html"}}, nil, []byte(`hi`)}},
		"unknown path":   {"/nothing", answer{200, isJSON, nil, []byte(`{}`)}},
	} {
		if contractError(get(c.path), c.a) == nil {
			t.Errorf("%s: the contract test lets it pass", name)
		}
	}
	if err := contractError(get("/healthz"), answer{200, isJSON, nil, []byte(`{"status":"ok"}`)}); err != nil {
		t.Errorf("a right answer: %v", err)
	}
}

// TestContract_EveryOperationAnswers walks through the whole contract: an
// operation that no handler serves, or whose answer is not what it says, fails
// here.
func TestContract_EveryOperationAnswers(t *testing.T) {
	e := newEnv(t, withCatalogue(t))
	e.session.HasLayers = true
	var rel struct{ OID uint32 }
	e.call("GET", shop+"/schemas/shop/relations/customers", nil, 200, &rel)
	oid := fmt.Sprintf("%s/relations/%d", shop, rel.OID)
	var sessions struct{ Items []struct{ ID string } }
	e.call("GET", "/sessions", nil, 200, &sessions)
	if len(sessions.Items) != 1 || sessions.Items[0].ID != "demo" {
		t.Fatalf("sessions: %+v", sessions)
	}
	for _, path := range []string{
		"/healthz", "/version", "/sessions/demo", "/sessions/demo/snapshot", "/sessions/demo/overlay",
		"/sessions/demo/overlay?since=2026-01-01T00:00:00Z", "/sessions/demo/growth", "/sessions/demo/checkpoints",
		"/sessions/demo/databases", "/sessions/demo/databases?sizes=true", "/sessions/demo/queries",
		shop + "/schemas", shop + "/relations", shop + "/relations?system=true&limit=10&sort=size", shop + "/completion", shop + "/search?q=order", oid, oid + "/count",
		oid + "/facets?column=1", shop + "/objects?kind=function", shop + "/large-objects", shop + "/byte-columns", oid + "/rows?limit=3", oid + "/cell?key=" + url.QueryEscape(`["7"]`) + "&column=2",
	} {
		e.call("GET", path, nil, 200, nil)
	}
	var named struct {
		Relations []struct {
			Name, Kind     string
			Columns, Types []string
		}
	}
	e.call("GET", shop+"/completion?q=pg_class&limit=1", nil, 200, &named)
	if r := named.Relations[0]; r.Name != "pg_class" || r.Kind != "table" || len(r.Types) != len(r.Columns) || r.Types[0] != "oid" {
		t.Errorf("completion of pg_class: %+v", r)
	}
	var functions objectList
	e.call("GET", shop+"/objects?kind=function&q=vat", nil, 200, &functions)
	e.call("GET", fmt.Sprintf("%s/objects/function/%d", shop, functions.Items[0].OID), nil, 200, nil)
	large, err := cluster(t).QueryText(t.Context(), "shop", "select lo_from_bytea(0, 'content')")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unlinkLargeObject(t, large) })
	if err := cluster(t).Exec(t.Context(), "shop", "grant select on large object "+large+" to public"); err != nil {
		t.Fatal(err)
	}
	e.call("GET", shop+"/large-objects/"+large, nil, 200, nil)
	e.call("GET", oid+"/cell?key="+url.QueryEscape(`["9"]`)+"&column=3", nil, 204, nil)
	e.call("GET", "/me", nil, 200, nil)
	e.call("GET", "/catalogue", nil, 200, nil)
	e.call("POST", "/catalogue/refresh", nil, 200, nil)
	e.call("GET", "/catalogue/preflight?reference=/backups/2026-11-20", nil, 200, nil)
	e.call("POST", "/sessions", map[string]any{"reference": "/backups/2026-11-20", "ttlSeconds": 60}, 201, nil)
	e.call("PUT", "/sessions/demo/limit", map[string]any{"limitBytes": 1 << 30}, 200, nil)
	e.call("PUT", "/sessions/demo/time-to-live", map[string]any{"ttlSeconds": 3600}, 200, nil)
	e.loginLink()
	e.call("POST", "/sessions/demo/checkpoints", map[string]any{"name": "before"}, 201, nil)
	e.call("GET", "/sessions/demo/checkpoints", nil, 200, nil)
	e.call("GET", "/sessions/demo/growth?since=c1", nil, 200, nil)
	e.call("GET", "/sessions/demo/growth/steps", nil, 200, nil)
	e.call("POST", "/sessions/demo/forks", map[string]any{"checkpoint": "c1"}, 201, nil)
	e.call("POST", "/sessions/demo/checkpoints", map[string]any{"name": "after"}, 201, nil)
	e.call("POST", "/sessions/demo/checkpoints", map[string]any{}, 201, nil)
	for _, path := range []string{"/layers", "/disk?checkpoint=c1&format=qcow2", "/disk?checkpoint=base", "/disk/extents?checkpoint=c1"} {
		e.call("GET", "/sessions/demo"+path, nil, 200, nil)
	}
	e.call("POST", "/sessions/demo/layers/c3/merge", nil, 204, nil)
	var fork struct{ ID string }
	e.call("POST", "/sessions/demo/forks", map[string]any{"checkpoint": "c3"}, 201, &fork)
	e.call("POST", "/sessions/"+fork.ID+"/checkpoints", map[string]any{}, 201, nil)
	e.call("DELETE", "/sessions/"+fork.ID, nil, 202, nil)
	e.closed(fork.ID)
	e.call("DELETE", "/sessions/demo/layers/c4", nil, 204, nil)
	e.query("select 1")
	e.desk()
	e.call("POST", shop+"/export", map[string]any{"sql": "select 1", "format": "json"}, 200, nil)
	var export struct{ URL string }
	e.call("POST", shop+"/exports", map[string]any{"sql": "select 1", "format": "csv"}, 201, &export)
	e.call("POST", shop+"/exports/preview", map[string]any{"sql": "select 1", "format": "csv"}, 200, nil)
	e.call("GET", "/sessions/demo/exports", nil, 200, nil)
	e.call("GET", strings.TrimPrefix(export.URL, "/api/v1"), nil, 200, nil)
	e.call("DELETE", strings.TrimPrefix(export.URL, "/api/v1"), nil, 204, nil)
	e.call("POST", shop+"/dumps", map[string]any{"schemaOnly": true}, 201, nil)
	cancelOne(t, e)
	readEvents(t, e, "/sessions/demo/events", "", func(events []event) bool { return len(events) >= 3 })
	e.call("DELETE", "/sessions/demo", nil, 202, nil)

	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			seen := false
			for status := range op.Responses.Map() {
				_, ok := covered.Load(op.OperationID + " " + status)
				seen = seen || ok
			}
			if !seen && op.OperationID != "streamEvents" {
				t.Errorf("%s %s (%s) was never answered well", method, path, op.OperationID)
			}
		}
	}
}

// TestContract_CodesOfTheSource keeps the list of codes complete: every code
// that the source uses is in the contract.
func TestContract_CodesOfTheSource(t *testing.T) {
	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for _, v := range doc.Components.Schemas["ErrorCode"].Value.Enum {
		listed[v.(string)] = true
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		source, err := os.ReadFile(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range problemCall.FindAllSubmatch(source, -1) {
			found++
			if !listed[string(m[1])] {
				t.Errorf("%s: the code %q is not in openapi.yaml", entry.Name(), m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d codes found in the source: the test looks for the wrong thing", found)
	}
}
