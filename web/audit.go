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
	Kind      string    `json:"kind"` // query, rows, export, preview, dump; function (ViaPsql); disk, or an act (auditAct)
	SQL       string    `json:"sql"`
	Detail    string    `json:"detail,omitempty"` // of what has no SQL
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
	end := func(failure error) {
		if failure != nil && ctx.Err() != nil {
			failure = context.Cause(ctx)
		}
		s.queries.end(run)
		s.record(c, info, Statement{Time: run.started, Database: database, Kind: kind, SQL: sql, Rows: run.rows.Load()}, failure)
	}
	return ctx, run, end, nil
}

// record tells the metrics and the audit log of a statement that has ended. Of it
// the caller knows when it began, the database, the kind, the text and the rows.
func (s *Server) record(c echo.Context, info Info, ran Statement, failure error) {
	st := statementOf(c, info)
	st.Time, st.Database, st.Kind, st.Rows = ran.Time.UTC(), ran.Database, ran.Kind, ran.Rows
	st.SQL, st.Detail = firstRunes(ran.SQL, auditedSQL), ran.Detail
	st.Millis, st.Outcome = millis(time.Since(ran.Time)), "ok"
	if failure != nil {
		st.Outcome, st.Error = "failed", failure.Error()
		if wasCancelled(failure) {
			st.Outcome = "cancelled"
		}
	}
	if st.SQL != "" {
		s.metrics.statement(st)
	}
	if s.opts.Audit == nil {
		return
	}
	// What was streamed is on its way. Other answers are made of what the
	// statement returned, and their size is known at the end of the request.
	if c.Response().Committed {
		st.Bytes = c.Response().Size
		s.opts.Audit(st)
		return
	}
	waiting, _ := c.Get(waitingRecords).([]Statement)
	c.Set(waitingRecords, append(waiting, st))
}

// waitingRecords is the key of a request's records that wait for its end.
const waitingRecords = "snapview audit"

// settle gives the records of a request that has ended to the audit log.
func (s *Server) settle(c echo.Context) {
	waiting, _ := c.Get(waitingRecords).([]Statement)
	for i, st := range waiting {
		if i == len(waiting)-1 {
			st.Bytes = c.Response().Size
		}
		s.opts.Audit(st)
	}
}
