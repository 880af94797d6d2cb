package web_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/web/webtest"
)

var firstElement = regexp.MustCompile(`(?s)<script type="application/json" id="first-answers">(.*?)</script>`)

// firstAnswers returns what came with the page at path.
func (e *env) firstAnswers(path string) map[string]json.RawMessage {
	e.t.Helper()
	a := e.raw(e.client, "GET", path, map[string]string{"Accept": "text/html", "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, nil)
	m := firstElement.FindSubmatch(a.body)
	if a.status != http.StatusOK || m == nil || !strings.HasSuffix(strings.TrimSpace(string(a.body)), "</html>") {
		e.t.Fatalf("%s: status %d, %s", path, a.status, a.body)
	}
	got := make(map[string]json.RawMessage)
	if err := json.Unmarshal(m[1], &got); err != nil {
		e.t.Fatalf("%s: %v in %s", path, err, m[1])
	}
	return got
}

// TestFirstAnswers holds what comes with the page against what the API says.
func TestFirstAnswers(t *testing.T) {
	e := newEnv(t)
	const base = "/api/v1/sessions/demo"
	for path, want := range map[string][]string{
		"/s/demo":                          {base, base + "/databases?sizes=false", base + "/snapshot"},
		"/s/demo/sql":                      {base, base + "/databases?sizes=false"},
		"/s/demo/db/shop?schema=shop":      {base, base + "/databases?sizes=false", base + "/databases/shop/relations?schema=shop&sort=size&limit=100", base + "/databases/shop/schemas"},
		"/s/demo/db/shop/t/shop/customers": {base, base + "/databases?sizes=false", base + "/databases/shop/schemas/shop/relations/customers"},
		"/s/demo/db/shop?kind=role":        {base, base + "/databases?sizes=false"},
		"/s/nobody":                        nil,
		"/":                                nil,
	} {
		// A slow machine may leave some out: that is what the bound is for.
		var got map[string]json.RawMessage
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
			if got = e.firstAnswers(path); len(got) == len(want) {
				break
			}
		}
		if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s came with %q, wanted %q", path, keys, want)
			continue
		}
		for _, ask := range want {
			var a, b any
			answer := e.raw(e.client, "GET", ask, nil, nil)
			if json.Unmarshal(got[ask], &a) != nil || json.Unmarshal(answer.body, &b) != nil {
				t.Fatalf("%s: %s beside %s", ask, got[ask], answer.body)
			}
			if x, y := shape(a), shape(b); x != y {
				t.Errorf("%s: came with %s, is %s", ask, x, y)
			}
		}
	}
}

// shape is a value without the numbers and times in it, which go on.
func shape(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return regexp.MustCompile(`[0-9]+(\.[0-9]+)?`).ReplaceAllString(string(b), "0")
}

// TestFirstAnswers_GoOnWithoutThePage: on a slow catalogue the page comes without
// an answer, and its own request gets the one that is under way: one statement, on
// a connection that is kept. It ends with the session.
func TestFirstAnswers_GoOnWithoutThePage(t *testing.T) {
	e := newEnv(t)
	const ask = "/api/v1/sessions/demo/databases?sizes=false"
	slow, err := pgx.Connect(t.Context(), cluster(t).SuperDSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close(context.Background()) //nolint:errcheck // it ends with the test
	exec := func(sql string) {
		t.Helper()
		if _, err := slow.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	waiting := func() (pids []int32) {
		t.Helper()
		err := slow.QueryRow(t.Context(), `select coalesce(array_agg(pid), '{}') from pg_locks where not granted and relation = 'pg_shdescription'::regclass`).Scan(&pids)
		if err != nil {
			t.Fatal(err)
		}
		return pids
	}
	// A slow machine may not come as far as the question at once.
	untilItWaits := func() {
		t.Helper()
		exec("begin; lock table pg_shdescription in access exclusive mode")
		eventually(t, "the page's question waits", func() bool {
			if got := e.firstAnswers("/s/demo/sql"); got[ask] != nil {
				t.Fatalf("the catalogue was locked, and came: %s", got[ask])
			}
			return len(waiting()) == 1
		})
	}
	untilItWaits()
	before := waiting()
	// Who comes from elsewhere is refused, and not answered by what is under way.
	a := e.raw(e.client, "GET", ask, map[string]string{"Sec-Fetch-Site": "cross-site"}, nil)
	wantProblem(t, a, 403, "forbidden-origin")
	answered := make(chan answer, 1)
	go func() { answered <- e.raw(e.client, "GET", ask, nil, nil) }()
	time.Sleep(50 * time.Millisecond) // a second statement would have begun by then, on most machines
	if now := waiting(); !slices.Equal(now, before) {
		t.Errorf("%v wait, %v did", now, before)
	}
	exec("commit")
	if a := <-answered; a.status != 200 || !strings.Contains(string(a.body), `"name":"shop"`) || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("%d %s", a.status, a.body)
	}
	var kept bool
	if err := slow.QueryRow(t.Context(), "select exists (select from pg_stat_activity where pid = $1 and state = 'idle')", before[0]).Scan(&kept); err != nil || !kept {
		t.Errorf("the connection was not kept: %v", err)
	}
	untilItWaits()
	e.call("DELETE", "/sessions/demo", nil, 202, nil)
	eventually(t, "it has ended with the session", func() bool { return len(waiting()) == 0 })
	exec("commit")
}

func TestFirstAnswers_AreForWhoMayAsk(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	a := e.raw(stranger(t), "GET", "/s/demo", map[string]string{"Accept": "text/html"}, nil)
	if strings.Contains(string(a.body), "/api/v1/") {
		t.Errorf("a browser that is not let in got %s", a.body)
	}
	// What the server asks itself is no request.
	count := func() string {
		return regexp.MustCompile(`(?m)^snapview_http_requests_total.*$`).FindString(e.metrics())
	}
	// A request is counted when its client has the answer already, but before the
	// next one on its connection.
	counted := func(when, want string) {
		t.Helper()
		wantProblem(t, e.raw(e.client, "GET", "/api/v1/none", nil, nil), 404, "not-found")
		eventually(t, when, func() bool { return count() == `snapview_http_requests_total{code="200",method="GET"} `+want })
	}
	counted("one, after the login", "1")
	e.firstAnswers("/s/demo")
	counted("two, after a page with its answers", "2")
	// A navigation from elsewhere shows the page, but brings nothing along that
	// the API would have refused.
	a = e.raw(e.client, "GET", "/s/demo", map[string]string{"Accept": "text/html", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, nil)
	if m := firstElement.FindSubmatch(a.body); a.status != http.StatusOK || m == nil || string(m[1]) != "{}" {
		t.Errorf("from elsewhere: status %d, %s", a.status, a.body)
	}
}

func TestTheme_ComesWithThePage(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	for cookie, want := range map[string]string{"": "", "dark": "dark", "light": "light", `"><script>`: "", "system": ""} {
		a := e.raw(e.client, "GET", "/", map[string]string{"Accept": "text/html", "Cookie": e.cookie() + "; snapview_theme=" + cookie}, nil)
		if !strings.Contains(string(a.body), `<html lang="en" data-theme="`+want+`">`) {
			t.Errorf("theme %q: status %d, %.200s", cookie, a.status, a.body)
		}
	}
}

// cookie is the browser's own, as it sends it.
func (e *env) cookie() string {
	e.t.Helper()
	req, err := http.NewRequest("GET", e.base, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, c := range e.client.Jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	return req.Header.Get("Cookie")
}
