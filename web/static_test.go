package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labstack/echo/v4"
)

func zipped(t *testing.T, text string) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes()}
}

// pageServer serves a made-up page, past the guard.
func pageServer(t *testing.T) (*Server, func(path string, header map[string]string) *httptest.ResponseRecorder) {
	t.Helper()
	assets, err := loadAssets(fstest.MapFS{
		"index.html.gz":    zipped(t, `<html><meta name="nonce" content="CSP_NONCE"><script src="/assets/app.js"></script></html>`),
		"assets/app.js.gz": zipped(t, "console.log(1)"),
		"assets/app.js.br": {Data: []byte("brotli")},
		"icon.svg.gz":      zipped(t, "<svg/>"),
		"README":           {Data: []byte("not served")},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{assets: assets, auth: newAuthenticator()}
	e := echo.New()
	e.GET("/*", s.serveAsset)
	cookie, _, _ := s.auth.exchange(strings.TrimPrefix(s.auth.newToken("/"), "token="))
	return s, func(path string, header map[string]string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.AddCookie(&http.Cookie{Name: cookieName(r), Value: cookie})
		for k, v := range header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w
	}
}

func TestStatic_FormsOfAnAsset(t *testing.T) {
	_, get := pageServer(t)
	for accept, want := range map[string]struct{ encoding, body string }{
		"gzip, deflate, br": {"br", "brotli"}, "gzip": {"gzip", ""}, "": {"", "console.log(1)"}, "br;q=0, gzip;q=0": {"", "console.log(1)"},
	} {
		w := get("/assets/app.js", map[string]string{"Accept-Encoding": accept})
		if w.Code != 200 || w.Header().Get("Content-Encoding") != want.encoding || (want.body != "" && w.Body.String() != want.body) {
			t.Errorf("Accept-Encoding %q: %d %v %q", accept, w.Code, w.Header(), w.Body)
		}
		if ct := w.Header().Get("Content-Type"); ct != "text/javascript; charset=utf-8" {
			t.Errorf("Content-Type %q", ct)
		}
	}
	w := get("/assets/app.js", nil)
	etag := w.Header().Get("ETag")
	if etag == "" || w.Header().Get("Cache-Control") != "no-cache" || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("headers: %v", w.Header())
	}
	for match, status := range map[string]int{etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, `"x"`: 200, "*": 304} {
		if w = get("/assets/app.js", map[string]string{"If-None-Match": match}); w.Code != status {
			t.Errorf("If-None-Match %s: %d", match, w.Code)
		}
	}
	if w = get("/assets/app.js?v=1", nil); !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("with a version: %v", w.Header())
	}
	for _, path := range []string{"/assets/none.js", "/assets/../../go.mod", "/none.css", "/README"} {
		if w = get(path, nil); w.Code == 200 && strings.Contains(w.Body.String(), "not served") || w.Code == 200 && strings.HasPrefix(path, "/assets") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestStatic_IndexIsForEveryViewAndHasANonce(t *testing.T) {
	_, get := pageServer(t)
	nonce := regexp.MustCompile(`'nonce-([A-Za-z0-9_-]{22})'`)
	var last string
	for _, path := range []string{"/", "/s/demo/db/shop/t/shop/orders", "/index.html", "/s/demo/db/a.b/t/c/d.e"} {
		w := get(path, map[string]string{"Accept": "text/html"})
		csp := w.Header().Get("Content-Security-Policy")
		m := nonce.FindStringSubmatch(csp)
		if w.Code != 200 || m == nil || !strings.Contains(w.Body.String(), `content="`+m[1]+`"`) || strings.Contains(w.Body.String(), nonceMark) {
			t.Fatalf("%s: %d %q %s", path, w.Code, csp, w.Body)
		}
		if m[1] == last {
			t.Error("the nonce of two answers is the same")
		}
		last = m[1]
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "require-trusted-types-for 'script'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("policy without %q: %s", part, csp)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("policy: %s", csp)
		}
	}
}

func TestStatic_EmbeddedPageLoads(t *testing.T) {
	a, err := loadAssets(embedded())
	if err != nil {
		t.Fatal(err)
	}
	if a.index != nil && !bytes.Contains(a.index, []byte(nonceMark)) {
		t.Errorf("index.html has no place for the nonce (%s): the editor's styles would be refused", nonceMark)
	}
}
