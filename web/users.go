package web

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

// Users are the people who share a server. Without any, everybody who has the
// one-time URL is the same, nameless person.
type Users struct {
	// Tokens gives each token's owner. A token is typed into the page, or sent
	// as "Authorization: Bearer TOKEN" by a program; it works until the server
	// ends.
	Tokens map[string]string

	// Header names the user in requests that come from TrustedProxies, which
	// has told him apart and takes the header away from everybody else's
	// requests. Empty: no header is believed.
	Header         string
	TrustedProxies []netip.Prefix
}

// userHashes is Users.Tokens by the hash of the token, so that a look-up's
// timing says nothing about it.
type userHashes map[secretHash]string

func (u Users) hashes() userHashes {
	h := userHashes{}
	for token, name := range u.Tokens {
		h[sha256.Sum256([]byte(token))] = name
	}
	return h
}

type userKey struct{}

// userOf is who makes a request; "" for the operator of the server (the one-time
// URL, the control socket).
func userOf(c echo.Context) string {
	name, _ := c.Request().Context().Value(userKey{}).(string)
	return name
}

// identify finds out who makes a request, by cookie, token or proxy.
func (s *Server) identify(r *http.Request) (name string, in bool) {
	if c, err := r.Cookie(cookieName(r)); err == nil {
		if name, in = s.auth.user(c.Value); in {
			return name, true
		}
		if name, in = s.users.ofCookie(c.Value); in {
			return name, true
		}
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		if name, in = s.users[sha256.Sum256([]byte(token))]; in {
			return name, true
		}
	}
	return s.proxied(r)
}

// proxied believes the header of a proxy that is trusted.
func (s *Server) proxied(r *http.Request) (name string, in bool) {
	if s.opts.Users.Header == "" {
		return "", false
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "", false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "", false
	}
	for _, p := range s.opts.Users.TrustedProxies {
		if p.Contains(addr.Unmap()) {
			names := r.Header.Values(s.opts.Users.Header)
			if len(names) != 1 {
				return "", false // one is the client's own, and who knows which
			}
			name = strings.TrimSpace(names[0])
			return name, name != ""
		}
	}
	return "", false
}

func withUser(c echo.Context, name string) {
	c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), userKey{}, name)))
}

// owned lets only the owner of a session do something that others would feel,
// and the operator.
func (s *Server) owned(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		session, err := s.session(c)
		if err != nil {
			return err
		}
		owner, user := session.Info().Owner, userOf(c)
		if owner != "" && user != "" && owner != user {
			return problem(http.StatusForbidden, "not-owner", "the session is "+owner+"'s").
				withHint("ask for it, or open the backup for yourself")
		}
		return next(c)
	}
}

// loginPage asks for a token.
const loginPage = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Log in to snapview</title>` +
	`<meta name="viewport" content="width=device-width"><h1>snapview</h1>` +
	`<form method="post" action="/login"><p><label>Your token <input type="password" name="token" autocomplete="current-password" autofocus required></label> ` +
	`<button>Log in</button></p></form></html>`

// maxLogin is what a form with a token may have, in bytes.
const maxLogin = 8 << 10

// logIn exchanges a user's token for a cookie.
func (s *Server) logIn(c echo.Context) error {
	r := c.Request()
	c.Response().Header().Set("Cache-Control", "no-store")
	// Nobody is known yet: what is read is short, and a plain form, since the
	// other kind of form would be kept on the disk.
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxLogin)
	if err := r.ParseForm(); err != nil {
		return badRequest("the form cannot be read: " + err.Error())
	}
	token := sha256.Sum256([]byte(r.PostForm.Get("token")))
	user, ok := s.users[token]
	if !ok {
		s.log.Warn("a login was refused", "remote", r.RemoteAddr)
		return s.turnAway(c, "This token is not known here.")
	}
	s.log.Info("login", "user", user, "remote", r.RemoteAddr)
	s.setCookie(c, newUserCookie(token))
	return c.Redirect(http.StatusSeeOther, "/")
}
