package web

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"
)

// makeLoginLink makes a new one-time URL that leads to the session, for whoever
// lost the cookie of the one before. It is for the operator alone, on the control
// socket: a page that could make one would hand on its login, and on a shared
// server that of somebody else.
func (s *Server) makeLoginLink(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	if !isControl(c.Request().Context()) {
		return problem(http.StatusForbidden, "control-only", "links that let a browser in are made on the host alone").
			withHint("run snapview link where snapview runs")
	}
	info := session.Info()
	link := s.NewLoginURL("/s/" + url.PathEscape(info.ID))
	if link == "" {
		return problem(http.StatusNotImplemented, "not-supported", "the command that opened it shows no page")
	}
	s.auditAct(c, info, "link", "a link was made that lets a browser in, once, as the operator")
	return c.JSON(http.StatusCreated, map[string]string{"url": link})
}
