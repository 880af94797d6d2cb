package web_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

// newTeamEnv is a server for a team.
func newTeamEnv(t *testing.T, change ...func(*web.Options)) *env {
	t.Helper()
	return newEnvOf(t, webtest.NewSession("demo", nil), append([]func(*web.Options){withCatalogue(t), func(o *web.Options) {
		o.Users = web.Users{
			Tokens: map[string]string{"ada's token": "ada", "bob's token": "bob"},
			Header: "X-Forwarded-User", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		}
	}}, change...)...)
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token, "X-Snapview": "1", "Content-Type": "application/json"}
}

func TestUsers_LogInWithTheirTokens(t *testing.T) {
	e := newTeamEnv(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	if a := e.raw(browser, "GET", "/auth", nil, nil); a.status != 401 || !strings.Contains(string(a.body), `type="password"`) {
		t.Fatalf("no form: %d %s", a.status, a.body)
	} else if policy := a.header.Get("Referrer-Policy"); policy != "same-origin" {
		t.Errorf("under the policy %q a browser sends the form with Origin: null", policy)
	}
	form := func(token string) answer {
		return e.raw(browser, "POST", "/login", map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			strings.NewReader(url.Values{"token": {token}}.Encode()))
	}
	if a := form("guessed"); a.status != 401 {
		t.Errorf("a guessed token: status %d", a.status)
	}
	if a := e.raw(browser, "GET", "/api/v1/sessions", nil, nil); a.status != 401 {
		t.Errorf("without a login: status %d", a.status)
	}
	if a := form("ada's token"); a.status != 200 {
		t.Errorf("login: status %d", a.status)
	}
	if a := e.raw(browser, "GET", "/api/v1/sessions", nil, nil); a.status != 200 {
		t.Errorf("with a login: status %d", a.status)
	}
	a := e.raw(browser, "POST", "/login", map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://evil.example"},
		strings.NewReader("token=ada's+token"))
	if a.status != 403 {
		t.Errorf("a form of another site: status %d", a.status)
	}
	// Before anybody is known nothing is kept, in memory or on the disk: no long
	// form, and none with files.
	long := "token=ada's+token&x=" + strings.Repeat("x", 1<<20)
	if a := e.raw(stranger(t), "POST", "/login", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, strings.NewReader(long)); a.status != 400 {
		t.Errorf("a long form: status %d", a.status)
	}
	parts := "--X\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nada's token\r\n--X--\r\n"
	if a := e.raw(stranger(t), "POST", "/login", map[string]string{"Content-Type": "multipart/form-data; boundary=X"}, strings.NewReader(parts)); a.status != 401 {
		t.Errorf("a form with parts: status %d", a.status)
	}
	if a := e.raw(stranger(t), "POST", "/login?token=ada's+token", nil, nil); a.status != 401 {
		t.Errorf("a token in the address: status %d", a.status)
	}
}

// A server that is started anew knows those whose tokens it still has, and no
// one-time login.
func TestUsers_StayLoggedInWhenTheServerIsStartedAnew(t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	first := newTeamEnv(t)
	form := strings.NewReader(url.Values{"token": {"ada's token"}}.Encode())
	if a := first.raw(browser, "POST", "/login", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, form); a.status != 200 {
		t.Fatalf("login: %d", a.status)
	}
	at, err := url.Parse(first.base)
	if err != nil {
		t.Fatal(err)
	}
	cookie := jar.Cookies(at)[0]
	ask := func(e *env, value string) int {
		_, port, _ := strings.Cut(strings.TrimPrefix(e.base, "http://"), ":")
		return e.raw(stranger(t), "GET", "/api/v1/sessions", map[string]string{"Cookie": "snapview_" + port + "=" + value}, nil).status
	}
	again := newTeamEnv(t)
	if got := ask(again, cookie.Value); got != 200 {
		t.Errorf("the same tokens: %d", got)
	}
	for what, value := range map[string]string{
		"another random part": "A" + cookie.Value[1:], "another MAC": cookie.Value[:len(cookie.Value)-2] + "AA", "no MAC": cookie.Value[:22], "an empty MAC": cookie.Value[:23], "a dot": ".",
	} {
		if value == cookie.Value {
			continue
		}
		if got := ask(again, value); got != 401 {
			t.Errorf("%s: %d", what, got)
		}
	}
	fewer := newTeamEnv(t, func(o *web.Options) { o.Users.Tokens = map[string]string{"bob's token": "bob"} })
	if got := ask(fewer, cookie.Value); got != 401 {
		t.Errorf("a token that was taken back: %d", got)
	}
}

func TestUsers_OwnWhatTheyOpen(t *testing.T) {
	e := newTeamEnv(t)
	client := stranger(t)
	open := e.raw(client, "POST", "/api/v1/sessions", bearer("ada's token"), strings.NewReader(`{"reference":"/backups/2026-11-20"}`))
	if open.status != 201 || !strings.Contains(string(open.body), `"owner":"ada"`) {
		t.Fatalf("%d %s", open.status, open.body)
	}
	e.reaches("opened-1", web.StateReady)
	for _, write := range [][2]string{{"DELETE", ""}, {"PUT", "/limit"}, {"PUT", "/time-to-live"}, {"POST", "/checkpoints"}, {"POST", "/forks"}, {"DELETE", "/layers/x"}, {"POST", "/layers/x/merge"}} {
		a := e.raw(client, write[0], "/api/v1/sessions/opened-1"+write[1], bearer("bob's token"), strings.NewReader(`{}`))
		wantProblem(t, a, 403, "not-owner")
	}
	if a := e.raw(client, "GET", "/api/v1/sessions/opened-1", bearer("bob's token"), nil); a.status != 200 {
		t.Errorf("looking at another's session: %d", a.status)
	}
	if a := e.raw(client, "DELETE", "/api/v1/sessions/opened-1", bearer("ada's token"), nil); a.status != 202 {
		t.Errorf("closing one's own: %d", a.status)
	}
	if a := e.raw(client, "GET", "/api/v1/sessions", bearer("nobody's"), nil); a.status != 401 {
		t.Errorf("a token that nobody has: %d", a.status)
	}
}

// A fork seals a layer of the session: it is the owner's to make, and the
// operator's.
func TestUsers_ForkTheirOwnSessions(t *testing.T) {
	session := webtest.NewSession("demo", nil)
	session.HasLayers = true
	e := newEnvOf(t, session, func(o *web.Options) {
		o.Users = web.Users{Tokens: map[string]string{"dba's token": "dba", "ada's token": "ada"}}
	})
	fork := func(token string) answer {
		return e.raw(stranger(t), "POST", "/api/v1/sessions/demo/forks", bearer(token), strings.NewReader(`{}`))
	}
	before := len(e.checkpoints())
	wantProblem(t, fork("ada's token"), 403, "not-owner")
	if after := len(e.checkpoints()); after != before {
		t.Errorf("a fork that was refused made a checkpoint: %d, %d before", after, before)
	}
	if a := fork("dba's token"); a.status != 201 || !strings.Contains(string(a.body), `"owner":"dba"`) {
		t.Errorf("the owner's: %d %s", a.status, a.body)
	}
	e.call("POST", "/sessions/demo/forks", map[string]any{}, 201, nil) // the operator's
}

func (e *env) checkpoints() []web.Checkpoint {
	e.t.Helper()
	var list struct{ Items []web.Checkpoint }
	e.call("GET", "/sessions/demo/checkpoints", nil, 200, &list)
	return list.Items
}

// Two people ask something of a session that is a third one's.
func TestUsers_CancelTheirOwnStatementsOnly(t *testing.T) {
	e := newEnv(t, twoUsers)
	done := make(chan answer, 1)
	run := e.request("POST", shop+"/query", map[string]any{"sql": "select pg_sleep(600)", "id": "bobs"})
	run.Header.Set("Authorization", "Bearer bob's token")
	client := stranger(t)
	go func() {
		res, err := client.Do(run)
		if err != nil {
			done <- answer{}
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		done <- answer{status: res.StatusCode, body: body}
	}()
	waitListed(t, e, 1)
	path := "/api/v1/sessions/demo/queries/bobs"
	wantProblem(t, e.raw(client, "DELETE", path, bearer("ada's token"), nil), 403, "not-owner")
	if a := e.raw(client, "DELETE", path, bearer("bob's token"), nil); a.status != 204 {
		t.Errorf("cancelling one's own: %d %s", a.status, a.body)
	}
	a := <-done
	if r := parseResult(t, a.body); r.End.Error == nil || r.End.Error.Code != "cancelled" {
		t.Errorf("the end is %+v", r.End)
	}

	// So it is with downloads, which others do not even see; the operator does.
	made := e.raw(client, "POST", "/api/v1"+shop+"/exports", bearer("bob's token"), strings.NewReader(`{"sql": "select 1", "format": "csv"}`))
	var ready struct{ ID string }
	if err := json.Unmarshal(made.body, &ready); err != nil || made.status != 201 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	for token, sees := range map[string]bool{"ada's token": false, "bob's token": true} {
		if a := e.raw(client, "GET", "/api/v1/sessions/demo/exports", bearer(token), nil); a.status != 200 || strings.Contains(string(a.body), ready.ID) != sees {
			t.Errorf("with %s: %d %s", token, a.status, a.body)
		}
	}
	if d := e.downloadState(ready.ID); d.State != "waiting" {
		t.Errorf("to the operator it is %+v", d)
	}
	path = "/api/v1/sessions/demo/exports/" + ready.ID
	wantProblem(t, e.raw(client, "DELETE", path, bearer("ada's token"), nil), 403, "not-owner")
	wantProblem(t, e.raw(client, "GET", path, bearer("ada's token"), nil), 404, "export-not-found")
	if a := e.raw(client, "DELETE", path, bearer("bob's token"), nil); a.status != 204 {
		t.Errorf("withdrawing one's own: %d %s", a.status, a.body)
	}
}

func twoUsers(o *web.Options) {
	o.Users = web.Users{Tokens: map[string]string{"ada's token": "ada", "bob's token": "bob"}}
}

func TestUsers_ByAProxy(t *testing.T) {
	e := newTeamEnv(t)
	header := map[string]string{"X-Forwarded-User": "carol", "X-Snapview": "1", "Content-Type": "application/json"}
	a := e.raw(stranger(t), "POST", "/api/v1/sessions", header, strings.NewReader(`{"reference":"/backups/2026-11-20"}`))
	if a.status != 201 || !strings.Contains(string(a.body), `"owner":"carol"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := e.raw(stranger(t), "GET", "/api/v1/sessions", map[string]string{"X-Forwarded-User": " "}, nil); a.status != 401 {
		t.Errorf("no name: %d", a.status)
	}
	twice, err := http.NewRequest("GET", e.base+"/api/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	twice.Header["X-Forwarded-User"] = []string{"mallory", "carol"}
	res, err := stranger(t).Do(twice)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 401 {
		t.Errorf("a client's header before the proxy's: %d", res.StatusCode)
	}
	elsewhere := newTeamEnv(t, func(o *web.Options) { o.Users.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	if a := elsewhere.raw(stranger(t), "GET", "/api/v1/sessions", header, nil); a.status != 401 {
		t.Errorf("a header from somebody who is no proxy: %d", a.status)
	}
}

func TestAudit_HasEveryStatement(t *testing.T) {
	var mu sync.Mutex
	var log []web.Statement
	e := newEnv(t, func(o *web.Options) {
		o.Audit = func(s web.Statement) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, s)
		}
	})
	e.query("select * from generate_series(1, 12)")
	e.query("select 1/0")
	oid := e.oid("shop", "customers")
	e.call("GET", shop+"/relations/"+itoa(oid)+"/rows?limit=3", nil, 200, nil)
	e.call("POST", shop+"/export", map[string]any{"sql": "select * from shop.products", "format": "csv"}, 200, nil)
	eventually(t, "four statements are in the log", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(log) == 4
	})
	mu.Lock()
	defer mu.Unlock()
	var lines []string
	for _, s := range log {
		lines = append(lines, strings.Join([]string{s.Kind, itoa(uint32(s.Rows)), s.Outcome}, " "))
		if s.Time.IsZero() || s.Remote == "" || s.Session != "demo" || s.Reference == "" || s.Database != "shop" || s.SQL == "" {
			t.Errorf("%+v", s)
		}
	}
	if got := strings.Join(lines, "; "); got != "query 12 ok; query 0 failed; rows 3 ok; export 300 ok" {
		t.Errorf("the log: %s", got)
	}
	if !strings.Contains(log[1].Error, "division by zero") || log[3].Bytes == 0 {
		t.Errorf("%+v, %+v", log[1], log[3])
	}
	metrics := e.metrics()
	for _, want := range []string{
		`snapview_statements_total{kind="query",outcome="ok"} 1`, `snapview_statements_total{kind="query",outcome="failed"} 1`,
		"snapview_rows_total 315", `snapview_sessions{state="ready"} 1`, `snapview_overlay_bytes{session="demo"}`, "go_goroutines",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%.3000s", want, metrics)
		}
	}
}

func TestTLS_ByACertificate(t *testing.T) {
	self := httptest.NewUnstartedServer(nil)
	self.StartTLS()
	certificate := self.TLS.Certificates[0]
	self.Close()
	server := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	link := server.NewLoginURL("/")
	if !strings.HasPrefix(link, "https://") {
		t.Fatalf("the link is %s", link)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, CheckRedirect: stranger(t).CheckRedirect}
	res, err := client.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if cookies := res.Cookies(); res.StatusCode != http.StatusSeeOther || len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("%s, %v", res.Status, cookies)
	}
	if res, err := client.Get(strings.Replace(link, "https:", "http:", 1)); err == nil {
		res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("without TLS: %s", res.Status)
		}
	}
}
func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func newTLSServer(t *testing.T, config *tls.Config) *web.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := web.New(web.Options{Sessions: &webtest.Sessions{}, Listener: l, TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(context.WithoutCancel(t.Context())), <-served); err != nil {
			t.Error(err)
		}
	})
	return server
}
