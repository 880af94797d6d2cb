package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// logRequests writes one line per request: never its query string, which may
// hold a token or values of rows.
func (s *Server) logRequests(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		defer func() { // of answers that break off, too
			s.settle(c)
			s.log.LogAttrs(c.Request().Context(), slog.LevelDebug, "request",
				slog.String("method", c.Request().Method), slog.String("path", c.Request().URL.Path),
				slog.Int("status", c.Response().Status), slog.Int64("bytes", c.Response().Size),
				slog.Duration("took", time.Since(start)), slog.String("user", userOf(c)))
			if !isFirstAsk(c.Request().Context()) {
				s.metrics.request(c.Request().Method, c.Response().Status)
			}
		}()
		if err := next(c); err != nil {
			c.Error(err)
		}
		return nil
	}
}

// recoverPanics answers with a problem where a handler panicked. One that had begun
// to answer breaks off, so that nobody takes a part for the whole; what the server
// asks itself (firstanswers.go) has no connection to break.
func (s *Server) recoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if r := recover(); r != nil {
				if r == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
					panic(r)
				}
				s.log.Error("panic in a request", "path", c.Request().URL.Path, "panic", fmt.Sprint(r))
				if c.Response().Committed && !isFirstAsk(c.Request().Context()) {
					panic(http.ErrAbortHandler)
				}
				err = problem(http.StatusInternalServerError, "internal", "snapview made a mistake; its log has the details")
			}
		}()
		return next(c)
	}
}

// logWriter sends echo's own messages to the log.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Warn("echo", "message", string(p))
	return len(p), nil
}
