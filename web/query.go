package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"
)

type queryRequest struct {
	SQL            string  `json:"sql"`
	ID             string  `json:"id"`
	MaxRows        *int64  `json:"maxRows"`
	MaxCellBytes   *int    `json:"maxCellBytes"`
	TimeoutSeconds float64 `json:"timeoutSeconds"`
}

// The bounds of the contract.
const (
	maxStatement    = 4 << 20
	defaultMaxRows  = 100_000
	limitMaxRows    = 10_000_000
	defaultCell     = 64 << 10
	limitCell       = 64 << 20
	leastCell       = 16
	ndjsonMediaType = "application/x-ndjson"
	maxNotices      = 1000 // of one statement
)

func (q *queryRequest) check() (maxRows int64, maxCell int, err error) {
	maxRows, maxCell = defaultMaxRows, defaultCell
	if q.MaxRows != nil {
		maxRows = *q.MaxRows
	}
	if q.MaxCellBytes != nil {
		maxCell = *q.MaxCellBytes
	}
	switch {
	case q.SQL == "":
		return 0, 0, badRequest("sql is empty")
	case len(q.SQL) > maxStatement:
		return 0, 0, problem(http.StatusRequestEntityTooLarge, "too-large", "the statement is longer than 4 MiB")
	case maxRows < 0 || maxRows > limitMaxRows:
		return 0, 0, badRequest("maxRows must be 0 to 10000000")
	case maxCell < leastCell || maxCell > limitCell:
		return 0, 0, badRequest("maxCellBytes must be 16 to 67108864")
	}
	return maxRows, maxCell, nil
}

type noticeFrame struct {
	Severity string `json:"severity"`
	Message  string `json:"message"`
	SQLState string `json:"sqlstate,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

type queryEnd struct {
	ID              string      `json:"id"`
	Rows            int64       `json:"rows"`
	Millis          float64     `json:"ms"`
	FirstRowMillis  float64     `json:"firstRowMs,omitempty"`
	Truncated       bool        `json:"truncated"`
	Tag             string      `json:"tag,omitempty"`
	BackupBytesRead int64       `json:"backupBytesRead,omitempty"`
	Error           *queryError `json:"error,omitempty"`
}

type queryError struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Detail   string `json:"detail,omitempty"`
	Hint     string `json:"hint,omitempty"`
	SQLState string `json:"sqlstate,omitempty"`
	Severity string `json:"severity,omitempty"`
	Position int    `json:"position,omitempty"`
	Context  string `json:"context,omitempty"`
}

func queryErrorOf(err error, sql string) *queryError {
	p := problemOf(err, sql)
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	return &queryError{
		Code: p.Code, Message: message, Detail: p.sqlDetail, Hint: p.Hint, SQLState: p.SQLState,
		Severity: p.severity, Position: p.Position, Context: p.context,
	}
}

// runQuery streams the rows of one statement. Once the request is found to be
// in order the answer is 200, and everything else is in the end frame.
func (s *Server) runQuery(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var body queryRequest
	if err := readBody(c, &body); err != nil {
		return err
	}
	maxRows, maxCell, err := body.check()
	if err != nil {
		return err
	}
	timeout, err := s.timeout(body.TimeoutSeconds)
	if err != nil {
		return err
	}
	database := param(c, "db")
	if _, err := session.DSN(database); err != nil {
		return err
	}
	before := session.Info()
	ctx, run, ended, err := s.begin(c, session, body.ID, "query", database, body.SQL, timeout)
	if err != nil {
		return err
	}
	var failure error
	defer func() { ended(failure) }()

	w := c.Response()
	w.Header().Set("Content-Type", ndjsonMediaType)
	w.Header().Set("X-Accel-Buffering", "no")
	w.Header().Set("X-Snapview-Query", run.key.id)
	w.WriteHeader(http.StatusOK)
	frames := newFrameWriter(newFlusher(ctx, w), maxCell)
	defer frames.close()

	end := queryEnd{ID: run.key.id}
	// The connection is closed after the end frame is on its way.
	release, err := s.stream(ctx, session, database, body.SQL, run, frames, maxRows, &end)
	defer release()
	failure = err
	if err != nil {
		end.Error = queryErrorOf(err, body.SQL)
		if end.Error.Code == "internal" {
			s.log.Error("query failed", "session", before.ID, "error", err)
		}
	}
	end.Rows = run.rows.Load()
	end.Millis = millis(time.Since(run.started))
	end.BackupBytesRead = readSince(session, before.Stats.BackupBytesRead)
	if err := frames.frame(map[string]any{"end": end}); err != nil {
		s.log.Debug("the client of a query is gone", "session", before.ID, "error", err)
	}
	s.remember(c, before, database, body.SQL, end)
	return nil
}

// errClientGone stops a statement whose answer cannot be delivered.
var errClientGone = errors.New("the client is gone")

// stream sends everything but the end frame. release closes the connection; it
// is never nil.
func (s *Server) stream(ctx context.Context, session Session, database, sql string, run *running, frames *frameWriter, maxRows int64, end *queryEnd) (release func(), err error) {
	release = func() {}
	notices := 0
	g, err := s.openGate(ctx, session, database, sql, nil, func(n *pgconn.Notice) {
		if notices++; notices > maxNotices {
			return // one for each row of a large table, say; the page could not show them either
		}
		_ = frames.frame(map[string]any{"notice": noticeFrame{n.SeverityUnlocalized, validText(n.Message), n.Code, validText(n.Hint)}})
	})
	defer func() {
		if notices > maxNotices {
			_ = frames.frame(map[string]any{"notice": noticeFrame{Severity: "NOTICE", Message: fmt.Sprintf("%d more messages of the server are left out", notices-maxNotices)}})
		}
	}()
	if err != nil {
		return release, err
	}
	release = g.close
	columns, err := g.columns(ctx)
	if err != nil {
		return release, err
	}
	if err := frames.frame(map[string]any{"cols": columns}); err != nil {
		return release, errClientGone
	}
	if maxRows == 0 {
		return release, nil
	}
	rr := g.run(ctx)
	for rr.NextRow() {
		n := run.rows.Load()
		if n == 0 {
			end.FirstRowMillis = millis(time.Since(run.started))
		}
		if n == maxRows {
			end.Truncated = true
			return release, nil
		}
		if err := frames.row(rr.Values()); err != nil {
			return release, errClientGone
		}
		run.rows.Add(1)
	}
	tag, err := g.finish(ctx, rr)
	end.Tag = tag.String()
	return release, err
}
