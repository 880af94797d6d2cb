package web

import (
	"context"
	"errors"
	"time"

	"github.com/labstack/echo/v4"
)

// A Statement is one that was run for a client: what an audit log keeps.
type Statement struct {
	Time      time.Time `json:"time"`           // it began
	User      string    `json:"user,omitempty"` // empty: the operator
	Remote    string    `json:"remote"`         // the client's address
	Session   string    `json:"session"`
	Reference string    `json:"reference"` // the backup
	Database  string    `json:"database"`
	Kind      string    `json:"kind"` // query, rows, export, dump
	SQL       string    `json:"sql"`
	Rows      int64     `json:"rows"`
	Bytes     int64     `json:"bytes"` // of the answer
	Millis    float64   `json:"ms"`
	Outcome   string    `json:"outcome"` // ok, cancelled, failed
	Error     string    `json:"error,omitempty"`
}

// auditedSQL is how much of a statement is kept, in characters.
const auditedSQL = 64 << 10

// begin registers a statement that a request runs; the caller calls the function
// that comes back with the statement's error when it has ended.
func (s *Server) begin(c echo.Context, session Session, id, kind, database, sql string, timeout time.Duration) (context.Context, *running, func(error), error) {
	info := session.Info()
	ctx, run, err := s.queries.begin(c.Request().Context(), userOf(c), info.ID, id, kind, database, sql, timeout)
	if err != nil {
		return nil, nil, nil, err
	}
	user, remote := userOf(c), c.Request().RemoteAddr
	end := func(failure error) {
		if failure != nil && ctx.Err() != nil {
			failure = context.Cause(ctx)
		}
		s.queries.end(run)
		st := Statement{
			Time: run.started.UTC(), User: user, Remote: remote, Session: info.ID, Reference: info.Reference, Database: database,
			Kind: kind, SQL: firstRunes(sql, auditedSQL), Rows: run.rows.Load(), Bytes: c.Response().Size,
			Millis: millis(time.Since(run.started)), Outcome: "ok",
		}
		if failure != nil {
			st.Outcome, st.Error = "failed", failure.Error()
			if errors.Is(failure, errCancelled) || errors.Is(failure, errShutdown) || errors.Is(failure, errClientGone) || errors.Is(failure, context.Canceled) {
				st.Outcome = "cancelled"
			}
		}
		s.metrics.statement(st)
		if s.opts.Audit != nil {
			s.opts.Audit(st)
		}
	}
	return ctx, run, end, nil
}
