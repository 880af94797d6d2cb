package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapview/snapview/web"
)

// as is the same server for one of its users.
func (b *browser) as(token string) *browser {
	return &browser{t: b.t, http: b.http, api: b.api, token: token}
}

// refusedOpen wants a session to be refused with a conflict, and these words.
func (b *browser) refusedOpen(body map[string]any, words ...string) {
	b.t.Helper()
	var p struct{ Code, Detail string }
	b.call("POST", "/sessions", body, 409, &p)
	for _, word := range words {
		if p.Code != "conflict" || !strings.Contains(p.Detail, word) {
			b.t.Errorf("the refusal is %q (%s), without %q", p.Detail, p.Code, word)
		}
	}
}

// TestServeLimitsWhatAllHold has two people share what a server may hold in all:
// one uses it up, the other's writes are held with hers, and go on when she ends
// her session.
func TestServeLimitsWhatAllHold(t *testing.T) {
	needsPostgres(t, "15")
	state, dir := stateDir(t), t.TempDir()
	people, audit, metrics := filepath.Join(dir, "people"), filepath.Join(dir, "audit"), freePort(t)
	if err := os.WriteFile(people, []byte("ada 0123456789abcdef\nben fedcba9876543210\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, state, "serve", "--store", filepath.Dir(plainBackup(t)), "--runner", "local", "--allow-writable",
		"--auth-token-file", people, "--audit-log", audit, "--metrics-listen", metrics, "--max-ttl", "3h", "--ttl", "1h",
		"--max-overlay-total", "64MiB", "--memory", "1GiB", "--memory-total", "2GiB")
	link := r.until("serving", func(e map[string]any) bool { return e["event"] == "serving" })["url"].(string)
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	ada := (&browser{t: t, http: &http.Client{Timeout: patience}, api: "http://" + u.Host + "/api/v1"}).as("0123456789abcdef")
	ben := ada.as("fedcba9876543210")
	ada.call("POST", "/catalogue/refresh", nil, 200, nil)
	scratch := map[string]any{"reference": plainBackup(t), "database": "postgres", "writable": true}
	var hers, his web.Info
	ada.call("POST", "/sessions", scratch, 201, &hers)
	ada.untilState(hers.ID, web.StateReady)
	ben.call("POST", "/sessions", scratch, 201, &his)
	ben.untilState(his.ID, web.StateReady)
	ben.refusedOpen(scratch, "1.0 GiB of memory", "2.0 GiB already", "of 2.0 GiB in all", "ada: 1", "ben: 1")
	ben.call("POST", "/sessions/"+his.ID+"/forks", map[string]any{}, 409, nil)

	write := func(id, table string, rows string) <-chan error {
		done := make(chan error, 1)
		go func() {
			err := command(state, "psql", id, "--", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-qc",
				"create table "+table+" as select g, repeat(md5(g::text), 20) as t from generate_series(1, "+rows+") g", "-c", "checkpoint").Run()
			exec.Command("sync", "-f", filepath.Join(state, "sessions", id, "disk", "mnt")).Run() //nolint:errcheck // it may be gone
			done <- err
		}()
		return done
	}
	held := func(b *browser, id string) {
		t.Helper()
		var info web.Info
		waitFor(t, "the writes of "+id+" to be held", func() bool {
			b.call("GET", "/sessions/"+id, nil, 200, &info)
			return info.Stats.Holding
		})
		if info.Stats.HoldingReason != "total-quota" || info.Stats.LimitBytes != 0 || !strings.Contains(info.Stats.HoldingWhy, "all sessions") {
			t.Errorf("writes are held because of %+v", info.Stats)
		}
	}
	first := write(hers.ID, "grown", "120000")
	held(ada, hers.ID)
	second := write(his.ID, "kept", "2000")
	held(ben, his.ID)
	var list struct{ Totals web.Totals }
	ada.call("GET", "/sessions", nil, 200, &list)
	total := list.Totals
	if total.OverlayBytes.Limit != 64<<20 || total.OverlayBytes.Used > 64<<20 || total.OverlayBytes.Used < 62<<20 ||
		total.Sessions != (web.Total{Used: 2, Limit: 8}) || total.MemoryBytes != (web.Total{Used: 2 << 30, Limit: 2 << 30}) {
		t.Errorf("in all: %+v", total)
	}
	scraped, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(scraped.Body)
	scraped.Body.Close()
	if err != nil || !strings.Contains(string(text), "\nsnapview_overlays_limit_bytes 6.7108864e+07\n") {
		t.Errorf("metrics: %v\n%.2000s", err, text)
	}
	// Her own limit is not the cause, and taking it away helps nothing.
	ada.call("PUT", "/sessions/"+hers.ID+"/limit", map[string]any{"limitBytes": 0}, 200, nil)
	if _, errs, code := snapview(t, state, "checkpoint", his.ID); code == exitOK || !strings.Contains(errs, "all sessions") {
		t.Errorf("a checkpoint while writes are held: %d %s", code, errs)
	}
	ben.call("DELETE", "/sessions/"+hers.ID, nil, 403, nil)
	ada.call("DELETE", "/sessions/"+hers.ID, nil, 202, nil)
	// Until she is gone there is no room, by whichever limit.
	ada.untilState(hers.ID, web.StateClosed)
	<-first
	if err := <-second; err != nil {
		t.Errorf("what was held failed: %v", err)
	}
	waitFor(t, "his writes to go on", func() bool {
		ben.call("GET", "/sessions/"+his.ID, nil, 200, &his)
		return !his.Stats.Holding
	})
	ada.call("GET", "/sessions", nil, 200, &list)
	if used := list.Totals.OverlayBytes.Used; used > 40<<20 || used < 1<<20 {
		t.Errorf("%d bytes in all after the large session is gone", used)
	}
	if got := strings.TrimSpace(must(t, state, "psql", his.ID, "--", "-d", "postgres", "-Atc", "select count(*) from kept")); got != "2000" {
		t.Errorf("%s rows were written", got)
	}

	// What is left is too little for one more, though there is memory for it.
	write(his.ID, "more", "60000")
	waitFor(t, "the room to be used", func() bool {
		ada.call("GET", "/sessions", nil, 200, &list)
		return list.Totals.OverlayBytes.Used > 40<<20
	})
	ada.refusedOpen(scratch, "of the 64 MiB that they may together", his.ID+" of ben: ")
	var preflight web.Snapshot
	ada.call("GET", "/catalogue/preflight?reference="+url.QueryEscape(plainBackup(t)), nil, 200, &preflight)
	if w := preflight.Warnings; len(w) == 0 || w[len(w)-1].Code != "no-room" || !strings.Contains(w[len(w)-1].Detail, "ben") {
		t.Errorf("preflight warns of %+v", w)
	}

	// He keeps it longer, within what is allowed; nobody else does.
	ada.call("PUT", "/sessions/"+his.ID+"/time-to-live", map[string]any{"ttlSeconds": 60}, 403, nil)
	ben.call("PUT", "/sessions/"+his.ID+"/time-to-live", map[string]any{"ttlSeconds": 4 * 3600}, 400, nil)
	ben.call("PUT", "/sessions/"+his.ID+"/time-to-live", map[string]any{"ttlSeconds": 0}, 400, nil)
	var kept web.Info
	ben.call("PUT", "/sessions/"+his.ID+"/time-to-live", map[string]any{"ttlSeconds": 3 * 3600}, 200, &kept)
	if kept.ExpiresAt == nil || time.Until(*kept.ExpiresAt) < 2*time.Hour {
		t.Errorf("kept until %v", kept.ExpiresAt)
	}
	r.signal(syscall.SIGTERM)
	if code := r.exit(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	log, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	acts := map[string]int{}
	for line := range strings.Lines(string(log)) {
		var st web.Statement
		if err := json.Unmarshal([]byte(line), &st); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if st.Detail != "" || st.Kind == "close" {
			acts[st.User+" "+st.Kind]++
		}
	}
	if len(acts) != 5 || acts["ada open"] != 1 || acts["ben open"] != 1 || acts["ada limit"] != 1 || acts["ada close"] != 1 || acts["ben keep"] != 1 {
		t.Errorf("the audit log has %v\n%s", acts, log)
	}
}

func TestServeRefusesLimitsThatNothingFitsInto(t *testing.T) {
	for _, args := range [][]string{{"--memory-total", "1GiB", "--memory", "2GiB"}, {"--max-overlay-total", "1MiB"}} {
		_, errs, code := snapview(t, stateDir(t), append([]string{"serve", "--store", t.TempDir()}, args...)...)
		if code != exitUsage || !strings.Contains(errs, args[0]) {
			t.Errorf("%v: exit code %d, %s", args, code, errs)
		}
	}
}
