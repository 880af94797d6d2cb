package web

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"
)

// A Statement is one that was run for a client: what an audit log keeps.
type Statement struct {
	Time      time.Time `json:"time"`           // it began
	Via       Via       `json:"via"`            // how it came in
	User      string    `json:"user,omitempty"` // who was logged in; empty: the operator, or nobody knows (ViaPsql)
	Remote    string    `json:"remote"`         // the client's address; "socket" on a unix socket
	Session   string    `json:"session"`
	Owner     string    `json:"owner,omitempty"` // of the session; empty: the operator
	Reference string    `json:"reference"`       // the backup
	Database  string    `json:"database"`
	Kind      string    `json:"kind"` // query, rows, export, dump; function (ViaPsql); or as Detail says
	SQL       string    `json:"sql"`
	Detail    string    `json:"detail,omitempty"` // of what has no SQL: keep, limit, close (see Server.auditAct)
	Rows      int64     `json:"rows"`
	Bytes     int64     `json:"bytes"` // of the answer
	Millis    float64   `json:"ms"`
	Outcome   string    `json:"outcome"` // ok, cancelled, failed
	Error     string    `json:"error,omitempty"`

	// With ViaPsql only. What the client calls itself nobody checks.
	Role        string `json:"role,omitempty"`        // that it logged in as
	Application string `json:"application,omitempty"` // its application_name
	BytesIn     int64  `json:"bytesIn,omitempty"`     // that COPY FROM STDIN was given
	Commands    int    `json:"commands,omitempty"`    // in the text, or calls of the function; absent: one
}

// Via is the way by which a statement came in.
type Via string

// The ways.
const (
	ViaPage    Via = "page"    // the page's listener
	ViaCommand Via = "command" // a command of snapview, by a session's control socket
	ViaPsql    Via = "psql"    // psql or another client of PostgreSQL, by a session's endpoint
)

// auditedSQL is how much of a statement is kept, in characters.
const auditedSQL = 64 << 10

// statementOf is what is known of a statement from the request that asks for it.
func statementOf(c echo.Context, info Info) Statement {
	st := Statement{
		Via: ViaPage, User: userOf(c), Remote: c.Request().RemoteAddr,
		Session: info.ID, Owner: info.Owner, Reference: info.Reference,
	}
	if c.Request().Context().Value(controlKey{}) != nil {
		st.Via, st.Remote = ViaCommand, "socket"
	}
	return st
}

// begin registers a statement that a request runs; the caller calls the function
// that comes back with the statement's error when it has ended.
func (s *Server) begin(c echo.Context, session Session, id, kind, database, sql string, timeout time.Duration) (context.Context, *running, func(error), error) {
	info := session.Info()
	ctx, run, err := s.queries.begin(c.Request().Context(), userOf(c), info.ID, id, kind, database, sql, timeout)
	if err != nil {
		return nil, nil, nil, err
	}
	st := statementOf(c, info)
	end := func(failure error) {
		if failure != nil && ctx.Err() != nil {
			failure = context.Cause(ctx)
		}
		s.queries.end(run)
		st.Time, st.Database, st.Kind, st.SQL = run.started.UTC(), database, kind, firstRunes(sql, auditedSQL)
		st.Rows, st.Bytes = run.rows.Load(), c.Response().Size
		st.Millis, st.Outcome = millis(time.Since(run.started)), "ok"
		if failure != nil {
			st.Outcome, st.Error = "failed", failure.Error()
			if wasCancelled(failure) {
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
