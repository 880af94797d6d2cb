package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"
)

//go:embed all:dist
var dist embed.FS

func embedded() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // "dist" is a valid path, and embedded above
	}
	return sub
}

// nonceMark stands in index.html where the nonce of the answer belongs: the
// editor makes style elements and must be told what the policy lets pass.
const nonceMark = "CSP_NONCE"

// themeMark stands in index.html where the theme belongs that was chosen in
// this browser, so that a page is never drawn in the other one first.
const (
	themeMark   = "PAGE_THEME"
	themeCookie = "snapview_theme"
)

func theme(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

// An asset is one file of the page in its forms.
type asset struct {
	contentType string
	etag        string
	gz, br      []byte // br is nil when there is none
}

// assets is the page. Files are kept compressed, as they are embedded; only
// index.html is unpacked, because the nonce goes into it.
type assets struct {
	files map[string]asset // by path, without a leading slash
	index []byte           // nil when the page is not built in
}

func loadAssets(fsys fs.FS) (*assets, error) {
	a := &assets{files: make(map[string]asset)}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".gz" {
			return err
		}
		gz, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		plain := strings.TrimSuffix(name, ".gz")
		if plain == "index.html" {
			if a.index, err = gunzip(gz); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}
		br, err := fs.ReadFile(fsys, plain+".br")
		if err != nil {
			br = nil
		}
		sum := sha256.Sum256(gz)
		a.files[plain] = asset{contentType: contentType(plain), etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, gz: gz, br: br}
		return nil
	})
	return a, err
}

func gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// contentType does not ask the host's tables, which differ.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json", ".webmanifest":
		return "application/json"
	case ".woff2":
		return "font/woff2"
	case ".wasm":
		return "application/wasm"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// serveAsset serves a file of the page, or index.html for every address that
// is none: the page makes its views from the address itself.
func (s *Server) serveAsset(c echo.Context) error {
	r := c.Request()
	if r.URL.Query().Get("token") != "" {
		return loginRedirect(c)
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		return problem(http.StatusNotFound, "not-found", "no such resource")
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if a, ok := s.assets.files[name]; ok {
		return a.serve(c)
	}
	if strings.HasPrefix(name, "assets/") || (path.Ext(name) != "" && !acceptsHTML(r)) {
		return problem(http.StatusNotFound, "not-found", "no such file")
	}
	user, in := s.identify(r)
	if !in {
		c.Response().Header().Set("Cache-Control", "no-store")
		return s.turnAway(c, "This browser has not been let in yet.")
	}
	withUser(c, user)
	return s.serveIndex(c)
}

func acceptsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

func (s *Server) serveIndex(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	if s.assets.index == nil {
		return c.HTML(http.StatusOK, `<!doctype html><html lang="en"><meta charset="utf-8"><title>snapview</title><h1>snapview</h1>`+
			`<p>This program was built without its page. The API is at <a href="/api/v1/sessions">/api/v1</a>.</p></html>`)
	}
	nonce := newSecret()[:22]
	h.Set("Content-Security-Policy", pagePolicy(nonce))
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	page := bytes.ReplaceAll(s.assets.index, []byte(nonceMark), []byte(nonce))
	page = bytes.ReplaceAll(page, []byte(themeMark), []byte(theme(c.Request())))
	head, tail, found := bytes.Cut(page, []byte(answersMark))
	if !found || c.Request().Method == http.MethodHead {
		return c.HTMLBlob(http.StatusOK, page)
	}
	// The browser asks for the files that the head names while the answers are made.
	if err := c.HTMLBlob(http.StatusOK, head); err != nil {
		return err
	}
	c.Response().Flush()
	if err := s.writeFirstAnswers(c); err != nil {
		return err
	}
	_, err := c.Response().Write(tail)
	return err
}

// pagePolicy lets the page load nothing but its own files and talk to nobody
// but us, and lets no text become script or markup except through the
// framework's own templates.
func pagePolicy(nonce string) string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self' 'nonce-" + nonce + "'",
		"img-src 'self' data: blob:",
		"font-src 'self'",
		"connect-src 'self'",
		"manifest-src 'self'",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types svelte-trusted-html",
	}, "; ")
}

func (a asset) serve(c echo.Context) error {
	r, h := c.Request(), c.Response().Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", a.etag)
	// File names are stable; an address with a version never changes.
	if r.URL.Query().Has("v") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if etagMatches(r.Header.Get("If-None-Match"), a.etag) {
		return c.NoContent(http.StatusNotModified)
	}
	body := a.gz
	switch enc := r.Header.Get("Accept-Encoding"); {
	case a.br != nil && accepts(enc, "br"):
		h.Set("Content-Encoding", "br")
		body = a.br
	case accepts(enc, "gzip"):
		h.Set("Content-Encoding", "gzip")
	default:
		plain, err := gunzip(a.gz)
		if err != nil {
			return fmt.Errorf("embedded file: %w", err)
		}
		body = plain
	}
	return c.Blob(http.StatusOK, a.contentType, body)
}

func etagMatches(header, etag string) bool {
	for _, t := range strings.Split(header, ",") {
		if t = strings.TrimPrefix(strings.TrimSpace(t), "W/"); t == etag || t == "*" {
			return true
		}
	}
	return false
}

// accepts reads Accept-Encoding: a coding that is named and not given q=0.
func accepts(header, coding string) bool {
	for _, part := range strings.Split(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.000")
		}
	}
	return false
}
