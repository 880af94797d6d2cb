package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/web"
)

// A browser is a client that is logged in to a page.
type browser struct {
	t     *testing.T
	http  *http.Client
	api   string
	token string // sent with each request, if there is one
}

func login(t *testing.T, link string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, http: &http.Client{Jar: jar, Timeout: patience}}
	res, err := b.http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("login: %s", res.Status)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	b.api = "http://" + u.Host + "/api/v1"
	return b
}

// call wants a status and decodes the answer.
func (b *browser) call(method, path string, body any, status int, into any) {
	b.t.Helper()
	payload, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.api+path, bytes.NewReader(payload))
	if err != nil {
		b.t.Fatal(err)
	}
	if b.token != "" {
		req.Header.Set("Authorization", "Bearer "+b.token)
	}
	if method != http.MethodGet {
		req.Header.Set("X-Snapview", "1")
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if res.StatusCode != status {
		b.t.Fatalf("%s %s: %s, want %d: %s", method, path, res.Status, status, answer)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			b.t.Fatalf("%v in %s", err, answer)
		}
	}
}

// freePort is a loopback address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// untilState waits until a session is in a state.
func (b *browser) untilState(id string, want web.State) (info web.Info) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		b.call("GET", "/sessions/"+id, nil, 200, &info)
		if info.State == want {
			return info
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("session %s is %s, not %s: %+v", id, info.State, want, info.Failure)
		}
	}
}

// TestServeOpensWhatItsStoresHold drives the page's API against real backups.
func TestServeOpensWhatItsStoresHold(t *testing.T) {
	needsPostgres(t, "15")
	store := filepath.Dir(plainBackup(t))
	snapshottest.Untouched(t, store)
	state := stateDir(t)
	empty := t.TempDir()
	gone := filepath.Join(empty, "gone", "backups")
	r := start(t, state, "serve", "--store", store, "--store", empty, "--store", gone, "--runner", "local", "--max-sessions", "1", "--max-overlay", "1GiB", "--max-ttl", "9h")
	b := login(t, r.until("serving", func(e map[string]any) bool { return e["event"] == "serving" })["url"].(string))

	var list web.CatalogueList
	b.call("POST", "/catalogue/refresh", nil, 200, &list)
	if len(list.Items) != 1 || list.Items[0].Reference != plainBackup(t) || list.Items[0].Major != 15 {
		t.Fatalf("the catalogue: %+v", list.Items)
	}
	if len(list.Stores) != 3 || !strings.HasPrefix(list.Stores[2].Problem, "it is not there: this host has no "+filepath.Dir(gone)+".") || list.Stores[0].CheckedAt == nil || list.Stores[1].Problem == "" || list.Limits.Sessions != 1 {
		t.Errorf("the stores: %+v, %+v", list.Stores, list.Limits)
	}
	reference := list.Items[0].Reference
	var preflight web.Snapshot
	b.call("GET", "/catalogue/preflight?reference="+url.QueryEscape(reference), nil, 200, &preflight)
	facts, becomes := map[string]string{}, map[string]string{}
	for _, f := range preflight.Facts {
		facts[f.Name] = f.Value
	}
	for _, s := range preflight.Settings {
		if s.Becomes != nil {
			becomes[s.Name] = *s.Becomes
		}
	}
	if preflight.Major != 15 || facts["checksums"] == "" || !strings.HasPrefix(facts["server"], "PostgreSQL 15") || becomes["max_wal_size"] != "4GB" {
		t.Errorf("preflight: %+v", preflight)
	}

	for _, refused := range []struct {
		body   map[string]any
		status int
	}{
		{map[string]any{"reference": os.TempDir()}, 404},
		{map[string]any{"reference": reference, "writable": true}, 400},
		{map[string]any{"reference": reference, "maxOverlayBytes": 2 << 30}, 400},
		{map[string]any{"reference": reference, "ttlSeconds": 10 * 3600}, 400},
	} {
		b.call("POST", "/sessions", refused.body, refused.status, nil)
	}
	var opened web.Info
	b.call("POST", "/sessions", map[string]any{"reference": reference, "name": "look", "database": "postgres"}, 201, &opened)
	b.call("POST", "/sessions", map[string]any{"reference": reference}, 409, nil)
	info := b.untilState(opened.ID, web.StateReady)
	if info.Name != "look" || info.Stats.LimitBytes != 1<<30 || info.ExpiresAt == nil {
		t.Errorf("%+v", info)
	}
	// The limits hold for forks as well.
	b.call("POST", "/sessions/"+opened.ID+"/forks", map[string]any{"writable": true}, 400, nil)
	b.call("POST", "/sessions/"+opened.ID+"/forks", map[string]any{}, 409, nil)
	var databases struct{ Items []struct{ Name string } }
	b.call("GET", "/sessions/"+opened.ID+"/databases", nil, 200, &databases)
	if len(databases.Items) == 0 {
		t.Error("no databases")
	}
	if out := must(t, state, "sessions"); !strings.Contains(out, opened.ID) {
		t.Errorf("snapview sessions does not list it:\n%s", out)
	}
	b.call("DELETE", "/sessions/"+opened.ID, nil, 202, nil)
	b.untilState(opened.ID, web.StateClosed)
	b.call("POST", "/sessions", map[string]any{"reference": reference}, 201, &opened)
	b.untilState(opened.ID, web.StateReady)

	// One is open still when everything ends.
	r.signal(syscall.SIGTERM)
	if code := r.exit(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}
