package main

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/snapview/snapview/web"
)

func TestTokensAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "people")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("# who may look\nada 0123456789abcdef\n\n bob   fedcba9876543210 \n", 0o600)
	tokens, err := readTokens(file)
	if err != nil || len(tokens) != 2 || tokens["0123456789abcdef"] != "ada" || tokens["fedcba9876543210"] != "bob" {
		t.Errorf("%v, %v", tokens, err)
	}
	for text, why := range map[string]string{
		"ada\n": "not NAME TOKEN", "ada short\n": "fewer than 16", "": "no line",
		"ada 0123456789abcdef\nbob 0123456789abcdef\n": "ada and bob have the same token",
	} {
		write(text, 0o600)
		if _, err := readTokens(file); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", text, err)
		}
	}
	write("ada 0123456789abcdef\n", 0o644)
	if _, err := readTokens(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that all may read: %v", err)
	}
}

func TestServeForATeam(t *testing.T) {
	needsPostgres(t, "15")
	store := filepath.Dir(plainBackup(t))
	state := stateDir(t)
	people, audit := filepath.Join(t.TempDir(), "people"), filepath.Join(t.TempDir(), "audit")
	if err := os.WriteFile(people, []byte("ada 0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	metrics := freePort(t)
	r := start(t, state, "serve", "--store", store, "--runner", "local", "--auth-token-file", people, "--audit-log", audit, "--allow-writable", "--metrics-listen", metrics)
	link := r.until("serving", func(e map[string]any) bool { return e["event"] == "serving" })["url"].(string)
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	serverLinkWorks(t, state, u.Port())
	b := &browser{t: t, http: &http.Client{Timeout: patience}, api: "http://" + u.Host + "/api/v1", token: "0123456789abcdef"}
	b.call("POST", "/catalogue/refresh", nil, 200, nil)
	var opened web.Info
	b.call("POST", "/sessions", map[string]any{"reference": plainBackup(t), "database": "postgres", "writable": true}, 201, &opened)
	if opened.Owner != "ada" {
		t.Errorf("the owner is %q", opened.Owner)
	}
	opened = b.untilState(opened.ID, web.StateReady)
	b.call("POST", "/sessions/"+opened.ID+"/databases/postgres/query", map[string]any{"sql": "select count(*) from acct"}, 200, nil)

	byClients := runClients(t, state, opened)

	scraped, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(scraped.Body)
	scraped.Body.Close()
	if err != nil || !strings.Contains(string(text), `snapview_sessions{state="ready"} 1`) {
		t.Errorf("metrics: %v\n%.2000s", err, text)
	}
	r.signal(syscall.SIGTERM)
	if code := r.exit(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	log := readAudit(t, audit)
	for range 2 { // links that serverLinkWorks made
		if log[0].Kind != "link" || log[0].Session != "" || log[0].Via != web.ViaCommand {
			t.Errorf("audit: %+v", log[0])
		}
		log = log[1:]
	}
	auditOf(t, log, opened, byClients)
	if act := log[0]; act.Kind != "open" || act.User != "ada" || act.Session != opened.ID || act.Detail != "writable" {
		t.Errorf("audit: %+v", act)
	}
	line := log[1]
	if line.Via != web.ViaPage || line.User != "ada" || line.Owner != "ada" || line.SQL != "select count(*) from acct" || line.Rows != 1 || line.Outcome != "ok" || line.Session != opened.ID || line.Reference != plainBackup(t) {
		t.Errorf("audit: %+v", line)
	}
}

// serverLinkWorks takes new links to the page of the only server, which has no
// session open, and follows one.
func serverLinkWorks(t *testing.T, state, port string) {
	t.Helper()
	socket, err := os.Stat(filepath.Join(state, "servers", port+".sock"))
	if err != nil || socket.Mode().Perm() != 0o600 || socket.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		t.Errorf("who may open the control socket: %v, %v", socket, err)
	}
	b := login(t, strings.TrimSpace(must(t, state, "link")))
	var me struct{ User string }
	b.call("GET", "/me", nil, http.StatusOK, &me)
	if me.User != "" {
		t.Errorf("the link lets %q in, not the operator", me.User)
	}
	login(t, strings.TrimSpace(must(t, state, "link", port)))
	if _, errs, code := snapview(t, state, "link", "nothere"); code != exitNoSession || !strings.Contains(errs, "nothere") {
		t.Errorf("a link to no server: exit code %d, %s", code, errs)
	}
}

// Sockets of servers that were killed are nobody's, and go; a port may be taken
// by two servers on different addresses.
func TestServerSockets(t *testing.T) {
	a := &app{stateDir: t.TempDir()}
	listen := func() net.Listener {
		l, err := a.listenAsServer("8080")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	wantServers := func(want ...string) {
		t.Helper()
		if have, err := a.servers(); err != nil || !slices.Equal(have, want) {
			t.Errorf("servers %q, %v, want %q", have, err, want)
		}
		if have, err := a.serverNames(); err != nil || !slices.Equal(have, want) {
			t.Errorf("sockets %q, %v, want %q", have, err, want)
		}
	}
	if err := a.reclaimServers(); err != nil {
		t.Errorf("where there was no server ever: %v", err)
	}
	killed := listen()
	killed.(*net.UnixListener).SetUnlinkOnClose(false)
	second := listen()
	wantServers("8080", "8080-2")
	if _, err := a.dialLinker(""); err == nil || !strings.Contains(err.Error(), "8080, 8080-2") {
		t.Errorf("which of two: %v", err)
	}
	killed.Close()
	if api, err := a.dialLinker(""); err != nil || api.id != "8080-2" {
		t.Errorf("the one that lives: %v, %v", api, err)
	}
	first := listen()
	wantServers("8080", "8080-2")
	second.(*net.UnixListener).SetUnlinkOnClose(false)
	second.Close()
	if err := a.reclaimServers(); err != nil {
		t.Error(err)
	}
	wantServers("8080")
	first.Close()
	wantServers()
}

// On a shared server nobody reads the hash of a role's password, which the
// reader's membership in pg_read_all_data would let him.
func TestServeHidesPasswords(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "serve", "--store", filepath.Dir(plainBackup(t)), "--runner", "local", "--allow-writable")
	b := login(t, r.until("serving", func(e map[string]any) bool { return e["event"] == "serving" })["url"].(string))
	b.call("POST", "/catalogue/refresh", nil, 200, nil)
	var scratch, fork web.Info
	b.call("POST", "/sessions", map[string]any{"reference": plainBackup(t), "database": "postgres", "writable": true}, 201, &scratch)
	b.untilState(scratch.ID, web.StateReady)
	must(t, state, "psql", scratch.ID, "--", "-d", "postgres", "-c", "create role app login password 'a secret'")
	const readable = "select 1/(1 - count(*)::int) from pg_authid where rolname = 'app' and rolpassword ~ '[$]'" // 22012 where one is
	if got := b.refusal(scratch.ID, readable); got != "22012" {
		t.Errorf("the new password's hash is not there to be hidden: %q", got)
	}
	b.call("POST", "/sessions/"+scratch.ID+"/forks", map[string]any{}, 201, &fork)
	b.untilState(fork.ID, web.StateReady)
	if got := b.refusal(fork.ID, readable); got != "" {
		t.Errorf("the hash can be read: %q", got)
	}
	r.signal(syscall.SIGTERM)
	r.exit()
}
