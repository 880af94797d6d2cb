package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/labstack/echo/v4"
)

// A Problem is an answer that says no, in the form of RFC 9457. Its codes are
// listed in openapi.yaml and never change their meaning.
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Code     string `json:"code"`
	Hint     string `json:"hint,omitempty"`
	SQLState string `json:"sqlstate,omitempty"`
	Position int    `json:"position,omitempty"` // in characters, from 1

	Damage *Damage `json:"damage,omitempty"` // of the backup, that rows could not be read for

	severity, context, sqlDetail string // of PostgreSQL's error, for QueryError
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

func problem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

func (p *Problem) withHint(hint string) *Problem {
	p.Hint = hint
	return p
}

func badRequest(detail string) *Problem {
	return problem(http.StatusBadRequest, "bad-request", detail)
}

// problemOf maps an error of this package, of a Session or of PostgreSQL to a
// Problem. It is the only place that does. sql is the statement that was run,
// for the position of an error in it.
func problemOf(err error, sql string) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var pgErr *pgconn.PgError
	var tooLong *pgproto3.ExceededMaxBodyLenErr
	var he *echo.HTTPError
	switch {
	case errors.As(err, &pgErr):
		return problemOfPostgres(pgErr, sql)
	case errors.As(err, &tooLong):
		return problem(http.StatusUnprocessableEntity, "value-too-large", "a value is longer than snapview reads into memory").
			withHint("select a part of it with left() or substring(), or leave the column out")
	case errors.Is(err, ErrNotReady):
		return problem(http.StatusConflict, "not-ready", err.Error())
	case errors.Is(err, ErrNotFound):
		return problem(http.StatusNotFound, "not-found", err.Error())
	case errors.Is(err, ErrNotSupported):
		return problem(http.StatusNotImplemented, "not-supported", err.Error())
	case errors.Is(err, ErrConflict):
		return problem(http.StatusConflict, "conflict", said(err, ErrConflict))
	case errors.Is(err, ErrInvalid):
		return badRequest(said(err, ErrInvalid))
	case errors.Is(err, errCancelled), errors.Is(err, errShutdown):
		return problem(http.StatusConflict, "cancelled", err.Error())
	case errors.Is(err, errDeadline), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusGatewayTimeout, "timeout", "the statement took longer than it may").
			withHint("ask for less of it, or run it by psql, where no such time is set")
	case errors.Is(err, context.Canceled):
		return problem(http.StatusConflict, "cancelled", "the request was cancelled")
	case errors.As(err, &he):
		return problemOfEcho(he)
	case isConnectionLost(err):
		return problem(http.StatusBadGateway, "connection-lost", "the connection to PostgreSQL broke: "+err.Error()).withHint(hintLost)
	}
	return problem(http.StatusInternalServerError, "internal", err.Error())
}

// said is what err says beside its class, which the code tells already.
func said(err, class error) string {
	return strings.TrimPrefix(err.Error(), class.Error()+": ")
}

func isConnectionLost(err error) bool {
	var ce *pgconn.ConnectError
	return errors.As(err, &ce) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err) ||
		strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "connection reset") || strings.Contains(err.Error(), "broken pipe")
}

// hintLost is of servers that went away under a statement.
const hintLost = "The session is being torn down, or its server has crashed: the session's page says which. Run it again where the session is open."

// hints are what to do about errors of which PostgreSQL says only what they are,
// and which mean something of their own in a backup.
var hints = map[string]string{
	"XX001": "The backup holds a damaged page. What lies before it is shown; sort the other way round, or filter, to see what lies after it. snapview verify finds every page that is damaged.",
	"XX002": "An index in the backup is damaged. Sort or filter by another column to do without it; snapview verify tells which ones are.",
	"58P01": "The backup lacks a file that PostgreSQL looks for: a library that is not installed here, or data that was not backed up.",
	"42501": "The role that the page reads by has no right to see this.",
	"08001": "Rows of a foreign table are on another server, and a session reaches none: it runs without a network.",
}

func problemOfPostgres(e *pgconn.PgError, sql string) *Problem {
	p := problem(http.StatusUnprocessableEntity, "sql-error", e.Message)
	switch e.Code {
	case "3D000": // invalid_catalog_name
		p = problem(http.StatusNotFound, "database-not-found", e.Message)
	case "53300": // too_many_connections
		p = problem(http.StatusServiceUnavailable, "busy", e.Message)
		e.Hint = cmp.Or(e.Hint, "All connections of the session's server are taken: wait for statements to end, or cancel some.")
	case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		p = problem(http.StatusBadGateway, "connection-lost", e.Message)
		e.Hint = cmp.Or(e.Hint, hintLost)
	}
	if e.Hint == "" {
		e.Hint = hints[e.Code]
	}
	p.Hint, p.SQLState, p.severity, p.context, p.sqlDetail = e.Hint, e.Code, e.SeverityUnlocalized, e.Where, e.Detail
	if sql != "" && e.Position > 0 {
		p.Position = int(e.Position)
	}
	return p
}

func problemOfEcho(he *echo.HTTPError) *Problem {
	code := "bad-request"
	switch he.Code {
	case http.StatusNotFound:
		code = "not-found"
	case http.StatusMethodNotAllowed:
		code = "method-not-allowed"
	case http.StatusRequestEntityTooLarge:
		code = "too-large"
	}
	detail := ""
	if m, ok := he.Message.(string); ok {
		detail = m
	}
	return problem(he.Code, code, detail)
}

// handleError answers with a Problem, unless the answer has begun.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := problemOf(err, "")
	if p.Status >= http.StatusInternalServerError && p.Code == "internal" {
		s.log.Error("request failed", "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
	}
	writeProblem(c.Response(), c.Request().Method, p)
}

func writeProblem(w http.ResponseWriter, method string, p *Problem) {
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal"}`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	if method != http.MethodHead {
		_, _ = w.Write(body)
	}
}
