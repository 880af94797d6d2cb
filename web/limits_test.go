package web_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

// auditLog collects what web.Options.Audit is told.
type auditLog struct {
	mu    sync.Mutex
	lines []web.Statement
}

func (l *auditLog) tell(s web.Statement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, s)
}

func (l *auditLog) all() []web.Statement {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]web.Statement(nil), l.lines...)
}

func (e *env) metrics() string {
	return e.scrape("127.0.0.1", 9187, "127.0.0.1:9187", false).Body.String()
}

// scrape asks for the metrics at an address, by a name.
func (e *env) scrape(ip string, port int, host string, encrypted bool) *httptest.ResponseRecorder {
	scrape := httptest.NewRecorder()
	local := &net.TCPAddr{IP: net.ParseIP(ip), Port: port}
	r := httptest.NewRequestWithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, local), http.MethodGet, "/metrics", nil)
	r.Host = host
	if encrypted {
		r.TLS = &tls.ConnectionState{}
	}
	e.server.Metrics().ServeHTTP(scrape, r)
	return scrape
}

func wantMetrics(t *testing.T, have string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains(have, "\n"+line+"\n") {
			t.Errorf("no %q in the metrics", line)
		}
	}
}

func TestKeep_ChangesTheEndAndIsAudited(t *testing.T) {
	log := &auditLog{}
	e := newEnvOf(t, webtest.NewSession("demo", nil), func(o *web.Options) { o.Audit = log.tell })
	before := *e.session.Info().ExpiresAt
	asked := time.Now()
	var kept web.Info
	e.call("PUT", "/sessions/demo/time-to-live", map[string]any{"ttlSeconds": 7 * 3600}, 200, &kept)
	if kept.ExpiresAt == nil || kept.ExpiresAt.Before(asked.Add(7*time.Hour)) || kept.ExpiresAt.After(time.Now().Add(7*time.Hour)) {
		t.Errorf("kept until %v, asked at %v", kept.ExpiresAt, asked)
	}
	for _, body := range []map[string]any{{}, {"ttlSeconds": -1}, {"ttlSeconds": 1 << 40}, {"ttlSeconds": 25 * 3600}, {"ttlSeconds": 0}, {"ttl": 5}} {
		e.refused("PUT", "/sessions/demo/time-to-live", body, 400, "bad-request")
	}
	if end := e.session.Info().ExpiresAt; !end.Equal(*kept.ExpiresAt) {
		t.Errorf("what was refused moved the end to %v", end)
	}
	lines := log.all()
	want := "its time to live ends " + kept.ExpiresAt.UTC().Format(time.RFC3339) + ", was " + before.UTC().Format(time.RFC3339)
	if len(lines) != 1 || lines[0].Kind != "keep" || lines[0].Session != "demo" || lines[0].Remote == "" || lines[0].Detail != want {
		t.Errorf("the audit log has %+v, not %s", lines, want)
	}
	// So is what else is done to a session.
	e.session.HasLayers = true
	var made web.Checkpoint
	e.call("POST", "/sessions/demo/checkpoints", map[string]any{"name": "mine"}, 201, &made)
	var fork web.Info
	e.call("POST", "/sessions/demo/forks", map[string]any{"checkpoint": made.ID, "writable": true}, 201, &fork)
	e.call("DELETE", "/sessions/demo", nil, 202, nil)
	var acts []string
	for _, st := range log.all()[1:] {
		acts = append(acts, st.Session+" "+st.Kind+" "+st.Detail)
	}
	if want := []string{"demo checkpoint " + made.ID + " mine", fork.ID + " fork writable, of session demo at " + made.ID, "demo close "}; !slices.Equal(acts, want) {
		t.Errorf("the audit log has %q, not %q", acts, want)
	}
	e.closed("demo")
	e.refused("PUT", "/sessions/demo/time-to-live", map[string]any{"ttlSeconds": 60}, 409, "not-ready")
}

// TestPools_AreBounded: a pool has a goroutine, and any name asks for one.
func TestPools_AreBounded(t *testing.T) {
	e := newEnv(t)
	before := runtime.NumGoroutine()
	for i := range 200 {
		e.refused("GET", fmt.Sprintf("/sessions/demo/databases/invented%d/schemas", i), nil, 404, "database-not-found")
	}
	eventually(t, "pools of databases that are not there are gone", func() bool { return runtime.NumGoroutine() < before+100 })
	e.call("GET", shop+"/schemas", nil, 200, nil)
}

func TestTotals_AreListedAndMeasured(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil), func(o *web.Options) {
		o.Sessions.(*webtest.Sessions).Limits = &web.Totals{Sessions: web.Total{Limit: 8}, OverlayBytes: web.Total{Limit: 20 << 30}}
	})
	var list struct{ Totals *web.Totals }
	e.call("GET", "/sessions", nil, 200, &list)
	held := e.session.Info().Stats.OverlayBytes
	want := web.Totals{
		Sessions: web.Total{Used: 1, Limit: 8}, OverlayBytes: web.Total{Used: held, Limit: 20 << 30}, MemoryBytes: web.Total{Used: 2 << 30},
	}
	if list.Totals == nil || *list.Totals != want {
		t.Errorf("%+v, want %+v", list.Totals, want)
	}
	text := e.metrics()
	wantMetrics(t, text, "snapview_sessions_open 1", "snapview_sessions_open_limit 8", "snapview_overlays_bytes 294912",
		"snapview_overlays_limit_bytes 2.147483648e+10", "snapview_memory_promised_bytes 2.147483648e+09")
	if strings.Contains(text, "snapview_memory_promised_limit_bytes") || !strings.Contains(text, `snapview_session_expires_timestamp_seconds{session="demo"} `) {
		t.Error("a limit that there is not has a sample, or the end has none")
	}
	alone := newEnvOf(t, webtest.NewSession("demo", nil))
	list.Totals = nil
	alone.call("GET", "/sessions", nil, 200, &list)
	if list.Totals != nil {
		t.Errorf("nobody shares anything: %+v", list.Totals)
	}
}

// One person's statements count over all sessions, and nobody else's do.
func TestStatements_OfOnePersonAreLimited(t *testing.T) {
	other := webtest.NewSession("other", cluster(t).DSN)
	e := newEnv(t, twoUsers, func(o *web.Options) {
		o.MaxStatementsPerUser = 2
		o.Sessions.(*webtest.Sessions).Add(other)
	})
	t.Cleanup(other.Wait)
	client := stranger(t)
	ask := func(token, session, sql string) answer {
		return e.raw(client, "POST", "/api/v1/sessions/"+session+"/databases/shop/query", bearer(token), strings.NewReader(`{"sql":"`+sql+`"}`))
	}
	var running sync.WaitGroup
	for _, session := range []string{"demo", "other"} {
		running.Go(func() { ask("ada's token", session, "select pg_sleep(600)") })
	}
	waitListed(t, e, 1)
	eventually(t, "the other runs too", func() bool { return strings.Contains(e.metrics(), "snapview_statements_running 2") })
	a := ask("ada's token", "demo", "select 1")
	wantProblem(t, a, 429, "busy")
	if text := string(a.body); !strings.Contains(text, "ada runs 2 statements") || !strings.Contains(text, "select pg_sleep(600)") || !strings.Contains(text, `"hint"`) {
		t.Errorf("the refusal says %s", text)
	}
	for _, token := range []string{"bob's token"} {
		if a := ask(token, "demo", "select 1"); a.status != 200 {
			t.Errorf("another person: %d %s", a.status, a.body)
		}
	}
	for range 3 {
		e.query("select 1") // the operator
	}
	wantMetrics(t, e.metrics(), `snapview_statements_refused_total{limit="user"} 1`, `snapview_statements_refused_total{limit="session"} 0`)
	for _, session := range []string{"demo", "other"} {
		var list struct{ Items []struct{ ID string } }
		e.call("GET", "/sessions/"+session+"/queries", nil, 200, &list)
		for _, q := range list.Items {
			e.call("DELETE", "/sessions/"+session+"/queries/"+q.ID, nil, 204, nil)
		}
	}
	running.Wait()
	if a := ask("ada's token", "demo", "select 1"); a.status != 200 {
		t.Errorf("when hers have ended: %d %s", a.status, a.body)
	}
}

// A foreign page whose name leads here (DNS rebinding) reads no figures either,
// where every browser of the host gets to. On a network address Prometheus may ask
// by any name.
func TestMetrics_AreForTheHostThatIsOurs(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil), func(o *web.Options) { o.AllowedHosts = []string{"backups.example.org"} })
	for _, c := range []struct {
		ip        string
		port      int
		host      string
		encrypted bool
		want      int
	}{
		{"127.0.0.1", 9187, "127.0.0.1:9187", false, 200},
		{"127.0.0.1", 9187, "localhost:9187", false, 200},
		{"::1", 9187, "[::1]:9187", false, 200},
		{"127.0.0.1", 9187, "backups.example.org:9187", false, 200},
		{"127.0.0.1", 9187, "evil.example.net:9187", false, 421},
		{"127.0.0.1", 9187, "127.0.0.1:1", false, 421},
		{"127.0.0.1", 443, "localhost", true, 200}, // browsers leave out the usual port
		{"127.0.0.1", 443, "localhost", false, 421},
		{"127.0.0.1", 80, "localhost", false, 200},
		{"10.1.2.3", 9187, "db7.example.net:9187", false, 200},
	} {
		a := e.scrape(c.ip, c.port, c.host, c.encrypted)
		if a.Code != c.want || strings.Contains(a.Body.String(), "snapview_sessions") != (c.want == 200) {
			t.Errorf("%+v: status %d", c, a.Code)
		}
		if c.want == 421 && !strings.Contains(a.Body.String(), "scrape "+net.JoinHostPort(c.ip, strconv.Itoa(c.port))+", or start snapview serve with --allowed-host") {
			t.Errorf("%+v: the refusal does not say what to do: %s", c, a.Body)
		}
	}
}

// An audit log that cannot be written is seen by who watches the server.
func TestHealth_TellsOfAnAuditLogThatFails(t *testing.T) {
	var lost int64
	var why error
	e := newEnvOf(t, webtest.NewSession("demo", nil), func(o *web.Options) {
		o.AuditState = func() (int64, error) { return lost, why }
	})
	var health struct{ Status, Detail string }
	e.call("GET", "/healthz", nil, 200, &health)
	if health.Status != "ok" || health.Detail != "" {
		t.Errorf("%+v", health)
	}
	wantMetrics(t, e.metrics(), "snapview_audit_records_lost_total 0", "snapview_audit_failing 0")
	lost, why = 7, errors.New("no space left on /a/secret/place")
	e.call("GET", "/healthz", nil, 200, &health)
	if health.Status != "degraded" || !strings.Contains(health.Detail, "audit log cannot be written") || strings.Contains(health.Detail, "secret") {
		t.Errorf("%+v", health)
	}
	wantMetrics(t, e.metrics(), "snapview_audit_records_lost_total 7", "snapview_audit_failing 1")
}
