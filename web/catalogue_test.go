package web_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

// withCatalogue lets a server open sessions, at most two.
func withCatalogue(t *testing.T) func(*web.Options) {
	return func(o *web.Options) {
		catalogue := &webtest.Catalogue{Sessions: o.Sessions.(*webtest.Sessions), OpenTime: 20 * time.Millisecond, Max: 2}
		o.Catalogue = catalogue
		t.Cleanup(catalogue.Wait)
	}
}

func newCatalogueEnv(t *testing.T) *env {
	t.Helper()
	return newEnvOf(t, webtest.NewSession("demo", nil), withCatalogue(t))
}

// reaches waits until a session is in a state.
func (e *env) reaches(id string, state web.State) (info web.Info) {
	e.t.Helper()
	eventually(e.t, id+" is "+string(state), func() bool {
		e.call("GET", "/sessions/"+id, nil, 200, &info)
		return info.State == state
	})
	return info
}

func TestCatalogue(t *testing.T) {
	e := newCatalogueEnv(t)
	var list web.CatalogueList
	e.call("GET", "/catalogue", nil, 200, &list)
	if len(list.Items) != 13 || len(list.Stores) != 3 || list.Limits.Sessions != 2 {
		t.Fatalf("%+v", list)
	}
	before := *list.Stores[0].CheckedAt
	e.call("POST", "/catalogue/refresh", nil, 200, &list)
	if !list.Stores[0].CheckedAt.After(before) {
		t.Errorf("looked at %v again, %v before", list.Stores[0].CheckedAt, before)
	}
	var snapshot web.Snapshot
	e.call("GET", "/catalogue/preflight?reference="+webtest.BrokenSnapshot, nil, 200, &snapshot)
	if len(snapshot.Warnings) == 0 || snapshot.Warnings[0].Severity != web.SeverityDanger {
		t.Errorf("%+v", snapshot.Warnings)
	}
	e.call("GET", "/catalogue/preflight?reference=/etc", nil, 404, nil)
	e.call("GET", "/catalogue/preflight", nil, 400, nil)
}

func TestCatalogue_Open(t *testing.T) {
	e := newCatalogueEnv(t)
	for body, status := range map[string]int{
		`{}`: 400, `{"reference":"/etc"}`: 404, `{"reference":"/backups/2026-11-20","ttlSeconds":-1}`: 400,
		`{"reference":"/backups/2026-11-20","owner":"somebody else"}`: 400,
	} {
		e.call("POST", "/sessions", json.RawMessage(body), status, nil)
	}
	var opened web.Info
	e.call("POST", "/sessions", map[string]any{"reference": "/backups/2026-11-20", "name": "before the deploy"}, 201, &opened)
	if opened.State != web.StateOpening || opened.Name != "before the deploy" {
		t.Errorf("%+v", opened)
	}
	e.reaches(opened.ID, web.StateReady)
	var failed web.Info
	e.call("POST", "/sessions", map[string]any{"reference": webtest.BrokenSnapshot}, 201, &failed)
	if info := e.reaches(failed.ID, web.StateFailed); info.Failure == nil || info.Failure.Message == "" {
		t.Errorf("%+v", info)
	}
	e.call("POST", "/sessions", map[string]any{"reference": "/backups/2026-11-20"}, 409, nil)
}

func TestCatalogue_OpensAChainThatLiesApart(t *testing.T) {
	e := newCatalogueEnv(t)
	preflight := "/catalogue/preflight?reference=" + webtest.ScatteredSnapshot
	e.refused("GET", preflight, nil, 409, "conflict")
	e.refused("GET", preflight+"&chain=/etc", nil, 404, "not-found")
	e.call("GET", preflight+"&chain="+webtest.ScatteredParent, nil, 200, nil)
	body := map[string]any{"reference": webtest.ScatteredSnapshot}
	e.refused("POST", "/sessions", body, 409, "conflict")
	body["chain"] = []string{webtest.ScatteredParent, "/etc"}
	e.refused("POST", "/sessions", body, 404, "not-found")
	body["chain"] = make([]string, 1001)
	e.refused("POST", "/sessions", body, 400, "bad-request")
	body["chain"] = []string{webtest.ScatteredParent}
	var opened web.Info
	e.call("POST", "/sessions", body, 201, &opened)
	e.reaches(opened.ID, web.StateReady)
}

func TestCatalogue_IsNotThereWithoutStores(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	e.call("GET", "/catalogue", nil, 501, nil)
	e.call("POST", "/sessions", map[string]any{"reference": "/backups/2026-11-20"}, 501, nil)
}
