package web

import (
	"time"

	"github.com/labstack/echo/v4"
)

// auditAct tells of what was done to a session itself: that it was opened or
// forked, has a checkpoint more or a layer less, is kept longer, may hold more, is
// closed. In an audit log it stands among the statements, with what was done as
// its kind.
func (s *Server) auditAct(c echo.Context, info Info, kind, detail string) {
	s.log.Info("session", "act", kind, "session", info.ID, "user", userOf(c), "detail", detail)
	if s.opts.Audit != nil {
		st := statementOf(c, info)
		st.Time, st.Kind, st.Detail, st.Outcome = time.Now().UTC(), kind, detail, "ok"
		s.opts.Audit(st)
	}
}
