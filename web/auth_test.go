package web_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

// stranger is a client without a cookie that follows no redirect.
func stranger(t testing.TB) *http.Client {
	t.Helper()
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (e *env) raw(client *http.Client, method, path string, header map[string]string, body io.Reader) answer {
	e.t.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = e.base + path
	}
	req, err := http.NewRequest(method, target, body)
	if err != nil {
		e.t.Fatal(err)
	}
	for k, v := range header {
		if k == "Host" {
			req.Host = v
			continue
		}
		req.Header.Set(k, v)
	}
	res, err := client.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, res.Trailer, b}
}

func TestAuth_TokenWorksOnceAndLeavesTheAddress(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	client := stranger(t)
	login := e.loginLink()
	a := e.raw(client, "GET", login, nil, nil)
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/s/demo" {
		t.Fatalf("login: status %d, to %q", a.status, a.header.Get("Location"))
	}
	cookies := (&http.Response{Header: a.header}).Cookies()
	u, err := url.Parse(e.base)
	if err != nil {
		t.Fatal(err)
	}
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Name != "snapview_"+u.Port() || len(cookies[0].Value) < 40 {
		t.Fatalf("cookies: %+v", cookies)
	}
	if strings.Contains(login, cookies[0].Value) {
		t.Error("the cookie is the token")
	}
	// Replayed by somebody else: turned away, without a cookie.
	a = e.raw(client, "GET", login, nil, nil)
	if a.status != http.StatusUnauthorized || a.header.Get("Set-Cookie") != "" {
		t.Errorf("replayed token: status %d, cookie %q", a.status, a.header.Get("Set-Cookie"))
	}
	// Replayed by the browser that is in: goes on.
	with := map[string]string{"Cookie": cookies[0].Name + "=" + cookies[0].Value}
	if a = e.raw(client, "GET", login, with, nil); a.status != http.StatusSeeOther {
		t.Errorf("the same link again: status %d", a.status)
	}
	if a = e.raw(client, "GET", "/api/v1/sessions", with, nil); a.status != http.StatusOK {
		t.Errorf("with the cookie: status %d", a.status)
	}
	wrong := map[string]string{"Cookie": cookies[0].Name + "=" + cookies[0].Value[1:] + "x"}
	wantProblem(t, e.raw(client, "GET", "/api/v1/sessions", wrong, nil), 401, "unauthorized")
	wantProblem(t, e.raw(client, "GET", "/api/v1/sessions", nil, nil), 401, "unauthorized")
	// The page itself: a person is told what to do.
	if a = e.raw(client, "GET", "/s/demo", nil, nil); a.status != 401 || !strings.Contains(string(a.body), "Not logged in") {
		t.Errorf("page without a cookie: %d %s", a.status, a.body)
	}
	if a = e.raw(client, "GET", "/s/demo", with, nil); a.status != 200 {
		t.Errorf("page with the cookie: %d", a.status)
	}
	if a = e.raw(client, "GET", "/api/v1/healthz", nil, nil); a.status != 200 {
		t.Errorf("healthz needs no cookie: %d", a.status)
	}
}

func TestAuth_TokenOnAnyAddressAndEachIsItsOwn(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	client := stranger(t)
	first, second := e.server.NewLoginURL(""), e.server.NewLoginURL("//evil.example/")
	token := first[strings.Index(first, "token="):]
	a := e.raw(client, "GET", "/?"+token, nil, nil)
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/auth?"+token {
		t.Fatalf("token on the first page: %d to %q", a.status, a.header.Get("Location"))
	}
	if a = e.raw(client, "GET", first, nil, nil); a.status != 303 || a.header.Get("Location") != "/" {
		t.Errorf("first token: %d to %q", a.status, a.header.Get("Location"))
	}
	if a = e.raw(client, "GET", second, nil, nil); a.status != 303 || a.header.Get("Location") != "/" {
		t.Errorf("a path to another server: %d to %q", a.status, a.header.Get("Location"))
	}
	// HEAD, as a preview of the link makes it, does not use the token up.
	third := e.server.NewLoginURL("/")
	e.raw(client, "HEAD", third, nil, nil)
	// From a page of another site the strict cookie would not come with a redirect.
	if a = e.raw(client, "GET", third, map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, nil); a.status != 200 || a.header.Get("Set-Cookie") == "" || !strings.Contains(string(a.body), "refresh") {
		t.Errorf("login from another site: %d %s", a.status, a.body)
	}
}

func TestGuard_HostOriginAndHeader(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil), func(o *web.Options) { o.AllowedHosts = []string{"snap.example"} })
	u, err := url.Parse(e.base)
	if err != nil {
		t.Fatal(err)
	}
	get, del := "GET", "DELETE"
	for _, c := range []struct {
		name, method string
		header       map[string]string
		status       int
		code         string
	}{
		{"as it is", get, nil, 200, ""},
		{"localhost", get, map[string]string{"Host": "localhost:" + u.Port()}, 401, "unauthorized"}, // the cookie is the address's
		{"allowed name", get, map[string]string{"Host": "snap.example"}, 401, "unauthorized"},
		{"other name", get, map[string]string{"Host": "evil.example:" + u.Port()}, 421, "misdirected"},
		{"name that resolves here", get, map[string]string{"Host": "127.0.0.1.nip.io:" + u.Port()}, 421, "misdirected"},
		{"other address", get, map[string]string{"Host": "127.0.0.2:" + u.Port()}, 421, "misdirected"},
		{"other port", get, map[string]string{"Host": "127.0.0.1:1"}, 421, "misdirected"},
		{"no host", get, map[string]string{"Host": ":" + u.Port()}, 421, "misdirected"},
		{"own origin", get, map[string]string{"Origin": e.base, "Sec-Fetch-Site": "same-origin"}, 200, ""},
		{"other origin", get, map[string]string{"Origin": "http://evil.example"}, 403, "forbidden-origin"},
		{"null origin", get, map[string]string{"Origin": "null"}, 403, "forbidden-origin"},
		{"other port's origin", get, map[string]string{"Origin": "http://127.0.0.1:1"}, 403, "forbidden-origin"},
		{"cross-site", get, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, "forbidden-origin"},
		{"cross-site navigation to the API", get, map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403, "forbidden-origin"},
		{"same-site", get, map[string]string{"Sec-Fetch-Site": "same-site"}, 403, "forbidden-origin"},
		{"typed in", get, map[string]string{"Sec-Fetch-Site": "none"}, 200, ""},
		{"write without the header", del, nil, 403, "header-missing"},
		{"write with another header", del, map[string]string{"X-Snapview": "yes"}, 403, "header-missing"},
		{"write from another origin", del, map[string]string{"X-Snapview": "1", "Origin": "http://evil.example"}, 403, "forbidden-origin"},
		{"write typed in", del, map[string]string{"X-Snapview": "1", "Sec-Fetch-Site": "none"}, 403, "forbidden-origin"},
		{"write as a form", "POST", map[string]string{"X-Snapview": "1", "Content-Type": "application/x-www-form-urlencoded"}, 415, "not-json"},
		{"write as text", "POST", map[string]string{"X-Snapview": "1", "Content-Type": "text/plain"}, 415, "not-json"},
		{"right write to nothing", del, map[string]string{"X-Snapview": "1"}, 404, "query-not-found"},
	} {
		path, body := "/api/v1/sessions", io.Reader(nil)
		if c.method != get {
			path = "/api/v1/sessions/demo/queries/none"
		}
		if c.method == "POST" {
			path, body = "/api/v1/sessions/demo/databases/shop/query", strings.NewReader(`{"sql":"select 1"}`)
		}
		header := map[string]string{}
		for k, v := range c.header {
			header[k] = v
		}
		client := e.client
		if h, ok := header["Host"]; ok && !strings.HasPrefix(h, "127.0.0.1:"+u.Port()) {
			client = stranger(t)
		}
		a := e.raw(client, c.method, path, header, body)
		if c.code != "" {
			t.Run(c.name, func(t *testing.T) { wantProblem(t, a, c.status, c.code) })
		} else if a.status != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.name, a.status, c.status, a.body)
		}
	}
	if e.session.Info().State != web.StateReady {
		t.Error("one of these tore the session down")
	}
}

func TestGuard_Headers(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	a := e.raw(e.client, "GET", "/api/v1/sessions", nil, nil)
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("API: %s: %q", name, got)
		}
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("API: policy %q", csp)
	}
	if a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("the API allows other origins")
	}
	for _, path := range []string{"/api/v1/none", "/api/v2/sessions", "/api/"} {
		wantProblem(t, e.raw(e.client, "GET", path, nil, nil), 404, "not-found")
	}
	wantProblem(t, e.raw(e.client, "POST", "/api/v1/version", map[string]string{"X-Snapview": "1"}, nil), 405, "method-not-allowed")
}

// A window that another page opened is cut off from it; one that nobody opened
// does not pay for that.
func TestGuard_Opener(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	for site, want := range map[string]string{
		"cross-site": "same-origin", "same-site": "same-origin", "": "same-origin",
		"none": "", "same-origin": "",
	} {
		header := map[string]string{"Sec-Fetch-Mode": "navigate"}
		if site != "" {
			header["Sec-Fetch-Site"] = site
		}
		a := e.raw(e.client, "GET", "/", header, nil)
		if got := a.header.Get("Cross-Origin-Opener-Policy"); a.status != 200 || got != want {
			t.Errorf("Sec-Fetch-Site %q: status %d, policy %q, want %q", site, a.status, got, want)
		}
	}
}

// onControlSocket returns a client of the server's control socket.
func (e *env) onControlSocket() *http.Client {
	e.t.Helper()
	path := filepath.Join(e.t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		e.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.server.ServeControl(l) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	e.t.Cleanup(func() {
		transport.CloseIdleConnections()
		// The server is shut down by the environment, after this.
		_ = l.Close()
		<-served
	})
	return &http.Client{Transport: transport}
}

// loginLink takes a link to the session from the control socket, which the page
// does not get.
func (e *env) loginLink() string {
	e.t.Helper()
	client := e.onControlSocket()
	var made struct{ URL string }
	for _, path := range []string{"/login-link", "/sessions/demo/login-link"} {
		e.refused("POST", path, nil, 403, "control-only")
		req, err := http.NewRequest("POST", "http://snapview/api/v1"+path, nil)
		if err != nil {
			e.t.Fatal(err)
		}
		a := e.raw(client, "POST", req.URL.String(), map[string]string{"X-Snapview": "1"}, nil)
		checkContract(e.t, req, a)
		if err := json.Unmarshal(a.body, &made); err != nil || a.status != 201 {
			e.t.Fatalf("a login link: %d %s, %v", a.status, a.body, err)
		}
	}
	return made.URL
}

func TestControlSocket_ServesTheAPIWithoutACookie(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	client := e.onControlSocket()
	if a := e.raw(client, "GET", "http://snapview/api/v1/sessions", nil, nil); a.status != 200 {
		t.Errorf("sessions: %d %s", a.status, a.body)
	}
	wantProblem(t, e.raw(client, "GET", "http://snapview/", nil, nil), 404, "not-found")
	wantProblem(t, e.raw(client, "DELETE", "http://snapview/api/v1/sessions/demo", nil, nil), 403, "header-missing")
	if a := e.raw(client, "DELETE", "http://snapview/api/v1/sessions/demo", map[string]string{"X-Snapview": "1"}, nil); a.status != 202 {
		t.Errorf("close: %d %s", a.status, a.body)
	}
}

func TestAuth_ManyTokensAndLogins(t *testing.T) {
	e := newEnvOf(t, webtest.NewSession("demo", nil))
	first := e.server.NewLoginURL("/")
	for range 200 {
		e.server.NewLoginURL("/")
	}
	client := stranger(t)
	if a := e.raw(client, "GET", first, nil, nil); a.status != 401 {
		t.Errorf("a token that newer ones pushed out: status %d", a.status)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Jar = jar
	if a := e.raw(client, "GET", e.server.NewLoginURL("/"), nil, nil); a.status != 303 {
		t.Errorf("a new token: status %d", a.status)
	}
	if a := e.raw(client, "GET", "/api/v1/version", nil, nil); a.status != 200 {
		t.Errorf("after it: status %d", a.status)
	}
}
