package web

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// NewLoginURL returns a URL that logs a browser in, once, and then shows the
// page at path ("/" or "" for the first). Each call makes a new token; those
// not used stay valid until newer ones push them out. Where it leads says
// pageAddress; without Options.Listener it is empty.
func (s *Server) NewLoginURL(path string) string {
	if s.opts.Listener == nil {
		return ""
	}
	return s.pageAddress() + "/auth?" + s.auth.newToken(path)
}

// pageAddress is the address of the page for a browser: the name that the server
// answers by, where a network reaches it and one was given; else the address that
// it listens on, or loopback where that is any. A server on loopback has its names
// from a proxy, whose port and scheme nobody told us, and is named by its address.
// Of several the first is taken that the certificate is for.
func (s *Server) pageAddress() string {
	scheme, usual := "http", "80"
	if s.opts.TLS != nil {
		scheme, usual = "https", "443"
	}
	tcp, ok := s.opts.Listener.Addr().(*net.TCPAddr)
	if !ok {
		return scheme + "://" + s.opts.Listener.Addr().String()
	}
	names := s.opts.AllowedHosts
	if tcp.IP.IsLoopback() || len(names) == 0 {
		names = addressNames(tcp.IP)
	}
	host, port := s.firstCertified(names), strconv.Itoa(tcp.Port)
	return scheme + "://" + strings.TrimSuffix(net.JoinHostPort(host, port), ":"+usual)
}

// addressNames are the hosts by which a browser on this machine may ask a server
// that listens on ip.
func addressNames(ip net.IP) []string {
	if len(ip) == 0 || ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1)
	}
	if ip.IsLoopback() {
		return []string{ip.String(), "localhost"}
	}
	return []string{ip.String()}
}

// firstCertified returns the first of names that the server's certificate is for,
// or just the first.
func (s *Server) firstCertified(names []string) string {
	var leaf *x509.Certificate
	if c := s.opts.TLS; c != nil && len(c.Certificates) > 0 {
		leaf = c.Certificates[0].Leaf
	}
	for _, name := range names {
		if leaf != nil && leaf.VerifyHostname(name) == nil {
			return name
		}
	}
	return names[0]
}

// makeLoginLink makes a new one-time URL that leads to the first page, for whoever
// lost the cookie of the one before. It is for the operator alone, on a control
// socket: a page that could make one would hand on its login, and on a shared
// server that of somebody else.
func (s *Server) makeLoginLink(c echo.Context) error {
	return s.answerLink(c, "/", Info{})
}

// makeSessionLink makes one that leads to a session.
func (s *Server) makeSessionLink(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	info := session.Info()
	return s.answerLink(c, "/s/"+url.PathEscape(info.ID), info)
}

func (s *Server) answerLink(c echo.Context, path string, info Info) error {
	if !isControl(c.Request().Context()) {
		return problem(http.StatusForbidden, "control-only", "links that let a browser in are made on the host alone").
			withHint("run snapview link where snapview runs")
	}
	link := s.NewLoginURL(path)
	if link == "" {
		return problem(http.StatusNotImplemented, "not-supported", "the command that opened it shows no page")
	}
	s.auditAct(c, info, "link", "a link was made that lets a browser in, once, as the operator")
	return c.JSON(http.StatusCreated, map[string]string{"url": link})
}
