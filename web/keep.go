package web

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// maxKeep bounds what a client may ask for, in seconds: a hundred years are no
// overflow, and for ever has a name of its own.
const maxKeep = 100 * 365 * 24 * 3600

// keepSession changes when a session's time to live is over. It counts from now,
// so that nobody needs to know how much is left.
func (s *Server) keepSession(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var body struct {
		TTLSeconds *int64 `json:"ttlSeconds"`
	}
	if err := readBody(c, &body); err != nil {
		return err
	}
	if body.TTLSeconds == nil || *body.TTLSeconds < 0 || *body.TTLSeconds > maxKeep {
		return badRequest("ttlSeconds must be 0, for until it is closed, or more")
	}
	before := session.Info().ExpiresAt
	end, err := session.Keep(c.Request().Context(), time.Duration(*body.TTLSeconds)*time.Second)
	if err != nil {
		return err
	}
	after := session.Info()
	s.auditAct(c, after, "keep", "its time to live ends "+endInWords(end)+", was "+endInWords(orZero(before)))
	return c.JSON(http.StatusOK, info(session))
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// endInWords is an end of a time to live for a log.
func endInWords(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
