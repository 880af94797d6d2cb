package web

import (
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// writeHeader is the header that every writing request carries. A page of
// another origin cannot send it without being asked for permission first
// (CORS), which is never given.
const writeHeader = "X-Snapview"

// guard decides who may call what, before any handler runs:
//
//   - the Host must be ours (421), against DNS rebinding
//   - a request that a browser says comes from elsewhere is refused (403)
//   - a writing request carries the header, and a body only as JSON (403, 415)
//   - the API, and the page, need the cookie (401); assets of the page do not,
//     they are the same for everyone
//
// On the control socket only the third holds, so that the API is one.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if mayHaveOpener(r) {
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
		}
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")

		api := strings.HasPrefix(r.URL.Path, "/api/")
		if api {
			h.Set("Cache-Control", "no-store")
		}
		control := isControl(r.Context())
		if control && !api {
			return problem(http.StatusNotFound, "not-found", "the control socket serves /api/v1 only")
		}
		if !control {
			if !s.hostAllowed(r) {
				return problem(http.StatusMisdirectedRequest, "misdirected", "this server does not answer for the host "+strconv.Quote(r.Host)).
					withHint("open the address that snapview printed")
			}
			if err := checkOrigin(r, api); err != nil {
				return err
			}
		}
		if !safeMethod(r.Method) && r.URL.Path != "/login" { // a plain form; its origin was checked
			if err := checkWrite(r); err != nil {
				return err
			}
		}
		if !control && api && r.URL.Path != "/api/v1/healthz" {
			user, in := s.identify(r)
			if !in {
				return s.unauthorized()
			}
			withUser(c, user)
		}
		return next(c)
	}
}

func (s *Server) unauthorized() *Problem {
	hint := "open the URL with the token that snapview printed; snapview link prints a new one where it runs"
	if len(s.users) > 0 {
		hint = "log in on the page, or send your token as Authorization: Bearer TOKEN"
	}
	return problem(http.StatusUnauthorized, "unauthorized", "there is no valid cookie with this request").withHint(hint)
}

func safeMethod(m string) bool { return m == http.MethodGet || m == http.MethodHead }

// hostAllowed accepts the address that the connection came in on, localhost
// when that is a loopback address, and the names of Options.AllowedHosts. The
// port must be ours, but for those names, which a proxy may serve on another.
func (s *Server) hostAllowed(r *http.Request) bool {
	host, port := r.Host, ""
	if h, p, err := net.SplitHostPort(r.Host); err == nil {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	for _, a := range s.opts.AllowedHosts {
		if strings.EqualFold(a, host) {
			return true
		}
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	if port == "" {
		port = "80"
		if r.TLS != nil {
			port = "443"
		}
	}
	if port != strconv.Itoa(local.Port) {
		return false
	}
	if host == "localhost" {
		return local.IP.IsLoopback()
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.Equal(local.IP)
}

// checkOrigin believes what browsers say of a request's origin. Programs that
// are not browsers say nothing, and need the cookie all the same.
func checkOrigin(r *http.Request, api bool) error {
	if origin := r.Header.Get("Origin"); origin != "" {
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		if !strings.EqualFold(origin, scheme+r.Host) && !strings.EqualFold(origin, "https://"+r.Host) {
			return problem(http.StatusForbidden, "forbidden-origin", "the request comes from a page of "+origin)
		}
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case site == "" || site == "same-origin":
	case site == "none" && safeMethod(r.Method):
	case !api && safeMethod(r.Method) && r.Header.Get("Sec-Fetch-Mode") == "navigate":
		// A link to the page from elsewhere. The strict cookie does not come
		// with it, so nothing is shown but the way to log in.
	default:
		return problem(http.StatusForbidden, "forbidden-origin", "the browser says that the request is "+site)
	}
	return nil
}

// mayHaveOpener reports whether the page may be opened by one of another site,
// which must not be left with a hold on its window. Not so where the browser
// says that a person asked for it, or the page itself: there the header would
// only cost a new process of the browser, a sixth of the first view's time.
func mayHaveOpener(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "none" && site != "same-origin"
}

func checkWrite(r *http.Request) error {
	if r.Header.Get(writeHeader) != "1" {
		return problem(http.StatusForbidden, "header-missing", "requests that are not GET carry the header "+writeHeader+": 1")
	}
	if r.ContentLength == 0 && r.Header.Get("Content-Type") == "" {
		return nil
	}
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return problem(http.StatusUnsupportedMediaType, "not-json", "the body must be application/json")
	}
	return nil
}
