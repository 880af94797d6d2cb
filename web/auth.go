package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

// How many tokens and logins are kept; the oldest go first.
const (
	maxTokens = 64
	maxLogins = 256
)

// An authenticator exchanges one-time tokens for cookies. Only hashes of
// either are kept, so a look-up's timing says nothing about them.
type authenticator struct {
	mu     sync.Mutex
	tokens ring[string] // hash of token -> path to go to
	logins ring[string] // hash of cookie -> user
}

func newAuthenticator() *authenticator {
	return &authenticator{tokens: newRing[string](maxTokens), logins: newRing[string](maxLogins)}
}

type secretHash = [sha256.Size]byte

// newToken returns a query string "token=..." that works once.
func (a *authenticator) newToken(path string) string {
	secret := newSecret()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens.put(sha256.Sum256([]byte(secret)), cleanLocalPath(path))
	return "token=" + secret
}

// exchange takes a token out and returns a new cookie's value and the path to
// go to. ok is false when the token is not known, or was used.
func (a *authenticator) exchange(token string) (cookie, path string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	path, ok = a.tokens.take(sha256.Sum256([]byte(token)))
	if !ok {
		return "", "", false
	}
	return a.newLoginLocked(""), path, true
}

func (a *authenticator) newLoginLocked(user string) (cookie string) {
	cookie = newSecret()
	a.logins.put(sha256.Sum256([]byte(cookie)), user)
	return cookie
}

// user returns whose cookie it is.
func (a *authenticator) user(cookie string) (name string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name, ok = a.logins.m[sha256.Sum256([]byte(cookie))]
	return name, ok
}

// newSecret returns 256 random bits as text.
func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// cleanLocalPath returns path if it leads to this server and "/" otherwise, so
// that a login cannot be made to redirect elsewhere.
func cleanLocalPath(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n") {
		return "/"
	}
	return path
}

// cookieName has the port in it, because cookies ignore ports: two servers on
// one host would log each other out.
func cookieName(r *http.Request) string {
	port := "0"
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if tcp, ok := addr.(*net.TCPAddr); ok {
			port = strconv.Itoa(tcp.Port)
		}
	}
	return "snapview_" + port
}

func (s *Server) loggedIn(r *http.Request) bool {
	_, in := s.identify(r)
	return in
}

// login exchanges the token of the URL for a cookie and goes to the page, with
// the token gone from the address.
func (s *Server) login(c echo.Context) error {
	r := c.Request()
	c.Response().Header().Set("Cache-Control", "no-store")
	cookie, path, ok := s.auth.exchange(r.URL.Query().Get("token"))
	if !ok {
		if s.loggedIn(r) {
			// The same link again, in a browser that is in: no harm.
			return c.Redirect(http.StatusSeeOther, "/")
		}
		return s.turnAway(c, "This link was used before, or is not from this server. Each link logs in one browser.")
	}
	s.setCookie(c, cookie)
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		// Followed from another site (a chat, a mail): a redirect would count
		// as that site's and go without the strict cookie. A page's own
		// refresh counts as ours.
		return c.HTML(http.StatusOK, `<!doctype html><meta charset="utf-8"><title>snapview</title><meta http-equiv="refresh" content="0;url=`+
			htmlEscape(path)+`"><p><a href="`+htmlEscape(path)+`">Go on to snapview</a>`)
	}
	return c.Redirect(http.StatusSeeOther, path)
}

func (s *Server) setCookie(c echo.Context, value string) {
	r := c.Request()
	c.SetCookie(&http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil,
	})
}

// turnAway answers a person who is not logged in.
func (s *Server) turnAway(c echo.Context, why string) error {
	if len(s.users) > 0 {
		// Under no-referrer a browser sends the form with "Origin: null", which
		// the guard refuses as it does every other page's.
		c.Response().Header().Set("Referrer-Policy", "same-origin")
		return c.HTML(http.StatusUnauthorized, strings.Replace(loginPage, "<form", "<p>"+htmlEscape(why)+"</p><form", 1))
	}
	return c.HTML(http.StatusUnauthorized, `<!doctype html><html lang="en"><meta charset="utf-8"><title>snapview</title>`+
		`<meta name="viewport" content="width=device-width"><h1>Not logged in</h1><p>`+htmlEscape(why)+
		`</p><p>Open the URL that snapview printed where it runs; <code>snapview link</code> prints a new one there.</p></html>`)
}

// loginRedirect sends "/path?token=..." to the login, so that the token may
// stand on any address of the page.
func loginRedirect(c echo.Context) error {
	q := url.Values{"token": {c.QueryParam("token")}}
	return c.Redirect(http.StatusSeeOther, "/auth?"+q.Encode())
}

var htmlEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;").Replace

// A ring is a map that forgets the oldest entry when it is full.
type ring[V any] struct {
	max   int
	m     map[secretHash]V
	order []secretHash
}

func newRing[V any](max int) ring[V] {
	return ring[V]{max: max, m: make(map[secretHash]V)}
}

func (r *ring[V]) put(k secretHash, v V) {
	if len(r.order) == r.max {
		delete(r.m, r.order[0])
		r.order = append(r.order[:0], r.order[1:]...)
	}
	r.m[k] = v
	r.order = append(r.order, k)
}

func (r *ring[V]) take(k secretHash) (V, bool) {
	v, ok := r.m[k]
	if !ok {
		return v, false
	}
	delete(r.m, k)
	for i, o := range r.order {
		if o == k {
			r.order = append(r.order[:i], r.order[i+1:]...)
			break
		}
	}
	return v, true
}
