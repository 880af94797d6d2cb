package web

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// scanParams make scans come in the order of the file.
var scanParams = map[string]string{"synchronize_seqscans": "off", "max_parallel_workers_per_gather": "0"}

// timeoutParam reads timeoutSeconds of the query string.
func (s *Server) timeoutParam(c echo.Context) (time.Duration, error) {
	v := c.QueryParam("timeoutSeconds")
	if v == "" {
		return s.opts.StatementTimeout, nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || f <= 0 {
		return 0, badRequest("timeoutSeconds is not a number above 0")
	}
	return s.timeout(f)
}

// through runs a statement of ours that reads a relation through the gate,
// like a user's: a view may call any function of the backup.
func (s *Server) through(c echo.Context, session Session, sql string, row func(g *gate, values [][]byte) (more bool, err error), formats ...int16) error {
	return s.throughWith(c, session, scanParams, sql, row, formats...)
}

// throughWith does it with these settings of the connection.
func (s *Server) throughWith(c echo.Context, session Session, params map[string]string, sql string, row func(g *gate, values [][]byte) (more bool, err error), formats ...int16) (err error) {
	timeout, err := s.timeoutParam(c)
	if err != nil {
		return err
	}
	ctx, run, ended, err := s.begin(c, session, "", "rows", param(c, "db"), sql, timeout)
	if err != nil {
		return err
	}
	defer func() { ended(err) }()
	return s.gateRows(ctx, session, param(c, "db"), params, sql, run, row, formats...)
}

// errLastRow is of a row that was used, and after which no other is wanted.
var errLastRow = errors.New("the last row")

// lastRow is what the function of a row returns that it has used as the last.
func lastRow(err error) (more bool, _ error) {
	if err == nil {
		err = errLastRow
	}
	return false, err
}

func (s *Server) gateRows(ctx context.Context, session Session, database string, params map[string]string, sql string, run *running, row func(g *gate, values [][]byte) (bool, error), formats ...int16) error {
	g, err := s.openGate(ctx, session, database, sql, params, nil)
	if err != nil {
		return err
	}
	defer g.close()
	rr := g.run(ctx, formats...)
	for rr.NextRow() {
		more, err := row(g, rr.Values())
		if errors.Is(err, errLastRow) {
			run.rows.Add(1)
			return nil
		}
		if err != nil || !more {
			return err
		}
		run.rows.Add(1)
	}
	_, err = g.finish(ctx, rr)
	return err
}
