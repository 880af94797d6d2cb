package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

var problemCall = regexp.MustCompile(`problem\(http\.Status\w+, "([^"]+)"`)

type event struct {
	id, kind string
	data     web.Event
}

// readEvents reads a stream until enough says so, or it ends.
func readEvents(t testing.TB, e *env, path, lastID string, enough func([]event) bool) []event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req := e.request(http.MethodGet, path, nil).WithContext(ctx)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if ct := res.Header.Get("Content-Type"); res.StatusCode != 200 || ct != "text/event-stream" {
		t.Fatalf("events: status %d, type %s", res.StatusCode, ct)
	}
	var list []event
	var now event
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			now.id = value
		case "event":
			now.kind = value
		case "data":
			if err := json.Unmarshal([]byte(value), &now.data); err != nil {
				t.Fatal(err)
			}
		case "":
			if now.id != "" {
				list = append(list, now)
				now = event{}
				if enough != nil && enough(list) {
					return list
				}
			}
		}
	}
	if ctx.Err() != nil {
		t.Fatalf("the stream did not bring what was waited for; it brought %+v", list)
	}
	return list
}

func TestEvents_ReplayFromTheLastSeen(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	first := readEvents(t, e, "/sessions/demo/events", "", func(l []event) bool { return len(l) == 6 })
	for i, ev := range first {
		if ev.data.ID != int64(i+1) || ev.kind != string(ev.data.Type) {
			t.Errorf("event %d: id %d, event %s, type %s", i, ev.data.ID, ev.kind, ev.data.Type)
		}
	}
	e.session.Grow(4096, 0)
	next := readEvents(t, e, "/sessions/demo/events", first[3].id, func(l []event) bool { return len(l) == 3 })
	if next[0].id != "5" || next[2].data.Type != web.EventOverlay || next[2].data.Sample == nil {
		t.Errorf("after %s came %+v", first[3].id, next)
	}
	// The parameter does the same, for clients that cannot set the header.
	again := readEvents(t, e, "/sessions/demo/events?after=6", "", func(l []event) bool { return len(l) == 1 })
	if again[0].id != "7" {
		t.Errorf("after=6 brought %s", again[0].id)
	}
	e.refused("GET", "/sessions/demo/events?after=x", nil, 400, "bad-request")
}

func TestEvents_EndWhenTheSessionIsGone(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	ended := make(chan []event)
	go func() { ended <- readEvents(t, e, "/sessions/demo/events", "", nil) }()
	e.call("DELETE", "/sessions/demo", nil, 202, nil)
	list := <-ended
	if last := list[len(list)-1]; last.data.Type != web.EventClosed {
		t.Errorf("the last event is %s", last.data.Type)
	}
	// Again, and on a session that is closed: harmless.
	e.call("DELETE", "/sessions/demo", nil, 202, nil)
	e.refused("DELETE", "/sessions/other", nil, 404, "session-not-found")
}

func TestEvents_EndAtShutdown(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	open, ended := make(chan struct{}), make(chan struct{})
	go func() {
		readEvents(t, e, "/sessions/demo/events", "", func(l []event) bool {
			if len(l) == 6 {
				close(open)
			}
			return false
		})
		close(ended)
	}()
	<-open
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := e.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	<-ended
}

func TestOverlay_LimitAndGrowth(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	e.session.Grow(1<<20, 0)
	var g web.Growth
	e.call("GET", "/sessions/demo/growth", nil, 200, &g)
	sum := g.MetadataBytes + g.FreeBytes
	for _, f := range g.Files {
		sum += f.Bytes
	}
	if sum != g.TotalBytes || g.TotalBytes == 0 {
		t.Errorf("the parts are %d bytes, the whole %d", sum, g.TotalBytes)
	}
	var stats web.Stats
	e.call("PUT", "/sessions/demo/limit", map[string]any{"limitBytes": 4096}, 200, &stats)
	if stats.LimitBytes != 4096 || !stats.Holding {
		t.Errorf("after a limit below what is held: %+v", stats)
	}
	e.refused("PUT", "/sessions/demo/limit", map[string]any{"limitBytes": -1}, 400, "bad-request")
	e.refused("PUT", "/sessions/demo/limit", map[string]any{"limit": 1}, 400, "bad-request")
	e.refused("PUT", "/sessions/demo/limit", map[string]any{}, 400, "bad-request")
	e.refused("GET", "/sessions/demo/growth?since=c9", nil, 404, "not-found")
	e.refused("GET", "/sessions/demo/overlay?since=yesterday", nil, 400, "bad-request")
	e.refused("POST", "/sessions/demo/checkpoints", map[string]any{}, 501, "not-supported")
	e.refused("POST", "/sessions/demo/forks", map[string]any{}, 501, "not-supported")
	e.refused("GET", "/sessions/demo/databases", nil, 409, "not-ready")
	e.refused("POST", shop+"/query", map[string]any{"sql": "select 1"}, 409, "not-ready")
}

func TestDisk_RangesAndRefusals(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	e.session.HasLayers = true
	e.call("POST", "/sessions/demo/checkpoints", map[string]any{}, 201, nil)
	e.call("POST", "/sessions/demo/checkpoints", map[string]any{}, 201, nil)

	req := e.request("GET", "/sessions/demo/disk?checkpoint=c1", nil)
	req.Header.Set("Range", "bytes=0-4,524288-524293")
	a := e.do(req)
	if a.status != 206 || !strings.Contains(string(a.body), "\r\n\r\nbegin\r\n") || !strings.Contains(string(a.body), "\r\n\r\nmiddle\r\n") {
		t.Errorf("two ranges: status %d, %q", a.status, a.body)
	}
	e.refused("GET", "/sessions/demo/disk", nil, 400, "bad-request")
	e.refused("GET", "/sessions/demo/disk?checkpoint=c1&format=vmdk", nil, 400, "bad-request")
	e.refused("GET", "/sessions/demo/disk?checkpoint=c9", nil, 404, "not-found")
}

// One user's streams leave room for others'.
func TestEvents_AreBoundedPerUser(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil), twoUsers)
	client := stranger(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	open := func(token string) *http.Response {
		t.Helper()
		req := e.request(http.MethodGet, "/sessions/demo/events", nil).WithContext(ctx)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	const most = 64
	for n := range most {
		if res := open("ada's token"); res.StatusCode != 200 {
			t.Fatalf("stream %d: status %d", n+1, res.StatusCode)
		}
	}
	a := e.raw(client, "GET", "/api/v1/sessions/demo/events", bearer("ada's token"), nil)
	wantProblem(t, a, 429, "busy")
	if res := open("bob's token"); res.StatusCode != 200 {
		t.Errorf("somebody else's stream: status %d", res.StatusCode)
	}
	cancel()
	ctx = t.Context()
	eventually(t, "there is room again", func() bool { return open("ada's token").StatusCode == 200 })
}
