package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

// closed waits until a session's layers are gone.
func (e *env) closed(id string) {
	e.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		var info struct{ State string }
		e.call("GET", "/sessions/"+id, nil, 200, &info)
		if info.State == "closed" {
			return
		}
	}
	e.t.Fatalf("session %s does not close", id)
}

func layered(t *testing.T) *env {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	e.session.HasLayers = true
	for range 2 {
		e.call("POST", "/sessions/demo/checkpoints", map[string]any{}, 201, nil)
	}
	return e
}

func (e *env) layers() (ids []string) {
	var list struct{ Items []web.Layer }
	e.call("GET", "/sessions/demo/layers", nil, 200, &list)
	for _, l := range list.Items {
		ids = append(ids, l.ID)
	}
	return ids
}

func TestLayers_DiscardSaysWhoNeedsThem(t *testing.T) {
	e := layered(t)
	e.refused("DELETE", "/sessions/demo/layers/c1", nil, 409, "conflict")
	e.refused("DELETE", "/sessions/demo/layers/c1?branch=true", nil, 409, "conflict")
	e.refused("DELETE", "/sessions/demo/layers/c1?branch=perhaps", nil, 400, "bad-request")
	var fork struct{ ID, Parent string }
	e.call("POST", "/sessions/demo/forks", map[string]any{"checkpoint": "c1", "name": "back"}, 201, &fork)
	if fork.Parent != "demo" {
		t.Errorf("the fork's parent is %q", fork.Parent)
	}
	e.call("POST", "/sessions/"+fork.ID+"/checkpoints", map[string]any{}, 201, nil)
	e.call("POST", "/sessions/"+fork.ID+"/checkpoints", map[string]any{}, 201, nil)
	e.call("DELETE", "/sessions/"+fork.ID, nil, 202, nil)
	e.closed(fork.ID)
	e.refused("DELETE", "/sessions/demo/layers/c3", nil, 409, "conflict")
	e.call("DELETE", "/sessions/demo/layers/c3?branch=true", nil, 204, nil)
	if got := e.layers(); len(got) != 3 || slices.Contains(got, "c4") {
		t.Errorf("layers %v", got)
	}
}

// merge asks for a merge that tells how far it is.
func (e *env) merge(ctx context.Context, layer string) *http.Request {
	req := e.request("POST", "/sessions/demo/layers/"+layer+"/merge", nil).WithContext(ctx)
	req.Header.Set("Accept", "application/x-ndjson")
	return req
}

type mergeFrame struct {
	Progress *struct{ DoneBytes, TotalBytes int64 }
	End      *struct{ Error *web.Problem }
}

func TestMerge_TellsHowFarItIs(t *testing.T) {
	e := layered(t)
	e.refused("POST", "/sessions/demo/layers/c1/merge", nil, 409, "conflict")
	e.refused("POST", "/sessions/demo/layers/c9/merge", nil, 404, "not-found")
	// What is refused before it begins is refused as ever.
	wantProblem(t, e.do(e.merge(t.Context(), "c1")), 409, "conflict")

	e.session.MergeTime = 300 * time.Millisecond
	a := e.do(e.merge(t.Context(), "c2"))
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	var first, last, end mergeFrame
	for line, into := range map[string]*mergeFrame{lines[0]: &first, lines[max(len(lines)-2, 0)]: &last, lines[len(lines)-1]: &end} {
		if err := json.Unmarshal([]byte(line), into); err != nil {
			t.Fatalf("%v in %s", err, a.body)
		}
	}
	if a.status != 200 || len(lines) < 3 || first.Progress == nil || first.Progress.DoneBytes != 0 ||
		last.Progress == nil || last.Progress.DoneBytes != last.Progress.TotalBytes || end.End == nil || end.End.Error != nil {
		t.Errorf("status %d\n%s", a.status, a.body)
	}
	if got := e.layers(); len(got) != 2 || got[0] != "c2" {
		t.Errorf("layers %v", got)
	}
}

func TestMerge_HangingUpStopsIt(t *testing.T) {
	e := layered(t)
	e.session.MergeTime = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res, err := e.client.Do(e.merge(ctx, "c2"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || !strings.Contains(line, "progress") {
		t.Fatalf("%q, %v", line, err)
	}
	cancel()
	if got := e.layers(); len(got) != 3 {
		t.Errorf("layers %v", got)
	}
	// The server waits for its requests: this one would take an hour.
}

func TestGrowth_GoesFromOneCheckpointToAnother(t *testing.T) {
	e := layered(t)
	var g web.Growth
	e.call("GET", "/sessions/demo/growth?since=c1&until=c2", nil, 200, &g)
	if g.Since != "c1" || g.Until != "c2" || len(g.Notes) != 1 {
		t.Errorf("growth %+v", g)
	}
	e.refused("GET", "/sessions/demo/growth?since=c2&until=c1", nil, 400, "bad-request")
	e.refused("GET", "/sessions/demo/growth?until=c9", nil, 404, "not-found")
	e.refused("GET", "/sessions/demo/growth/steps?until=c9", nil, 404, "not-found")
	var steps struct{ Items []web.GrowthStep }
	e.call("GET", "/sessions/demo/growth/steps?since=c1", nil, 200, &steps)
	if n := len(steps.Items); n != 2 || steps.Items[0].Until != "c2" || steps.Items[1].Until != "" {
		t.Errorf("steps %+v", steps)
	}
}
