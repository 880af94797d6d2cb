package web_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/desk"
	"github.com/snapview/snapview/web/webtest"
)

type savedList struct{ Items []desk.Query }

type historyPage struct {
	Items []desk.Entry
	Next  string
}

func TestDesks_SavedStatements(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	var list savedList
	e.call("GET", "/queries", nil, 200, &list)
	if len(list.Items) != 0 {
		t.Fatalf("%+v", list)
	}
	e.call("POST", "/queries", map[string]any{"items": []map[string]any{
		{"name": "Orders by month", "description": "for the board", "tags": []string{"sales"}, "database": "shop", "sql": "select 1",
			"chart": map[string]any{"on": true, "kind": "line", "x": "month", "y": []string{"total"}}},
		{"name": "Other", "sql": "select 2"},
	}}, 201, &list)
	one := list.Items[0]
	e.call("PUT", "/queries/"+one.ID, map[string]any{"name": "Orders", "sql": "select 3"}, 200, nil)
	list = savedList{} // what is absent must not stay
	e.call("GET", "/queries", nil, 200, &list)
	if len(list.Items) != 2 || list.Items[0].Name != "Orders" || list.Items[0].SQL != "select 3" || list.Items[0].Chart != nil {
		t.Errorf("%+v", list.Items)
	}
	e.call("DELETE", "/queries/"+one.ID, nil, 204, nil)
	e.refused("DELETE", "/queries/"+one.ID, nil, 404, "not-found")
	e.refused("PUT", "/queries/"+one.ID, map[string]any{"name": "a", "sql": "b"}, 404, "not-found")
	e.refused("POST", "/queries", map[string]any{"items": []any{}}, 400, "bad-request")
	e.refused("POST", "/queries", map[string]any{"items": []any{map[string]any{"name": "", "sql": "x"}}}, 400, "bad-request")
	e.refused("POST", "/queries", map[string]any{"items": []any{map[string]any{"name": "x", "sql": "x", "owner": "ada"}}}, 400, "bad-request")
	full := make([]map[string]any, 1000)
	for i := range full {
		full[i] = map[string]any{"name": fmt.Sprint(i), "sql": "select 1"}
	}
	for range 4 {
		e.call("POST", "/queries", map[string]any{"items": full}, 201, nil)
	}
	e.refused("POST", "/queries", map[string]any{"items": full}, 409, "too-large")
}

func TestDesks_Tabs(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	var list struct{ Items []desk.Tab }
	e.call("PUT", "/sessions/demo/tabs/b", map[string]any{"sql": "select 1", "position": 2, "database": "shop"}, 200, nil)
	e.call("PUT", "/sessions/demo/tabs/a", map[string]any{"sql": "", "position": 1.5, "title": "first", "chart": map[string]any{"on": false}}, 200, nil)
	e.call("GET", "/sessions/demo/tabs", nil, 200, &list)
	if len(list.Items) != 2 || list.Items[0].ID != "a" || list.Items[1].SQL != "select 1" {
		t.Errorf("%+v", list.Items)
	}
	e.call("DELETE", "/sessions/demo/tabs/a", nil, 204, nil)
	e.refused("DELETE", "/sessions/demo/tabs/a", nil, 404, "not-found")
	e.refused("PUT", "/sessions/demo/tabs/a%2Fb", map[string]any{"sql": "", "position": 1}, 400, "bad-request")
	e.refused("PUT", "/sessions/none/tabs/a", map[string]any{"sql": "", "position": 1}, 404, "session-not-found")
	e.refused("PUT", "/sessions/demo/tabs/a", map[string]any{"sql": strings.Repeat("x", desk.MaxSQL+1), "position": 1}, 400, "bad-request")
}

func TestDesks_HistoryIsWhatWasRun(t *testing.T) {
	e := newEnv(t)
	e.query("select 41")
	e.query("select 41")
	e.query("select 1/0")
	e.query("select '" + strings.Repeat("long ", 1000) + "'")
	var page historyPage
	e.call("GET", "/history", nil, 200, &page)
	if len(page.Items) != 3 || page.Items[2].SQL != "select 41" || page.Items[2].Runs != 2 || page.Items[2].Rows != 1 || page.Items[2].Outcome != "ok" {
		t.Fatalf("%+v", page.Items)
	}
	failed, long := page.Items[1], page.Items[0]
	if failed.Outcome != "failed" || !strings.Contains(failed.Error, "division") || failed.Reference != "/backups/2026-11-20" || failed.Database != "shop" {
		t.Errorf("%+v", failed)
	}
	if !long.Cut || len(long.SQL) > 2010 {
		t.Errorf("a list of %d characters", len(long.SQL))
	}
	var entry desk.Entry
	e.call("GET", "/history/"+long.ID, nil, 200, &entry)
	if entry.Cut || len(entry.SQL) < 5000 {
		t.Errorf("an entry of %d characters, cut %v", len(entry.SQL), entry.Cut)
	}
	e.call("GET", "/history?limit=1&q="+url.QueryEscape("1/0")+"&database=shop&reference="+url.QueryEscape("/backups/2026-11-20"), nil, 200, &page)
	if len(page.Items) != 1 || page.Items[0].ID != failed.ID {
		t.Errorf("%+v", page.Items)
	}
	e.call("GET", "/history?limit=2", nil, 200, &page)
	next := page.Next
	page = historyPage{}
	e.call("GET", "/history?before="+next, nil, 200, &page)
	if len(page.Items) != 1 || page.Next != "" {
		t.Errorf("the second page: %+v", page)
	}
	e.refused("GET", "/history?limit=0", nil, 400, "bad-request")
	e.call("DELETE", "/history/"+failed.ID, nil, 204, nil)
	e.refused("GET", "/history/"+failed.ID, nil, 404, "not-found")
	e.call("DELETE", "/history", nil, 204, nil)
	page = historyPage{}
	e.call("GET", "/history", nil, 200, &page)
	if len(page.Items) != 0 {
		t.Errorf("forgotten: %+v", page.Items)
	}
}

func TestDesks_AreOnePersonsOwn(t *testing.T) {
	e := newTeamEnv(t, func(o *web.Options) { o.Desks = desk.New(t.TempDir(), "root") })
	client := stranger(t)
	save := e.raw(client, "POST", "/api/v1/queries", bearer("ada's token"), strings.NewReader(`{"items":[{"name":"a secret","sql":"select 1"}]}`))
	if save.status != 201 {
		t.Fatalf("%d %s", save.status, save.body)
	}
	for token, want := range map[string]bool{"ada's token": true, "bob's token": false} {
		a := e.raw(client, "GET", "/api/v1/queries", bearer(token), nil)
		if strings.Contains(string(a.body), "a secret") != want {
			t.Errorf("%s reads %s", token, a.body)
		}
	}
	if a := e.raw(client, "GET", "/api/v1/me", bearer("bob's token"), nil); !strings.Contains(string(a.body), `"user":"bob"`) || !strings.Contains(string(a.body), `"lasting":true`) {
		t.Errorf("%s", a.body)
	}
	var operator savedList
	e.call("GET", "/queries", nil, 200, &operator)
	if len(operator.Items) != 0 {
		t.Errorf("the operator reads %+v", operator)
	}
}

// desk goes once through everything that a desk answers; a statement was run.
func (e *env) desk() {
	e.t.Helper()
	var saved savedList
	e.call("POST", "/queries", map[string]any{"items": []any{map[string]any{"name": "one", "sql": "select 1"}}}, 201, &saved)
	e.call("GET", "/queries", nil, 200, nil)
	e.call("PUT", "/queries/"+saved.Items[0].ID, map[string]any{"name": "one", "sql": "select 2"}, 200, nil)
	e.call("DELETE", "/queries/"+saved.Items[0].ID, nil, 204, nil)
	e.call("PUT", "/sessions/demo/tabs/one", map[string]any{"sql": "select 1", "position": 1}, 200, nil)
	e.call("GET", "/sessions/demo/tabs", nil, 200, nil)
	e.call("DELETE", "/sessions/demo/tabs/one", nil, 204, nil)
	var page historyPage
	e.call("GET", "/history", nil, 200, &page)
	e.call("GET", "/history/"+page.Items[0].ID, nil, 200, nil)
	e.call("DELETE", "/history/"+page.Items[0].ID, nil, 204, nil)
	e.call("DELETE", "/history", nil, 204, nil)
}
