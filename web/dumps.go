package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// DumpOptions say what a dump holds.
type DumpOptions struct {
	Database   string
	Tables     []DumpTable // none: the whole database
	SchemaOnly bool
	DataOnly   bool
	Inserts    bool // INSERTs with column names in place of COPY
}

// A DumpTable is a table, view or sequence with its schema.
type DumpTable struct{ Schema, Name string }

type dumpRequest struct {
	Relations  []uint32 `json:"relations"`
	SchemaOnly bool     `json:"schemaOnly"`
	DataOnly   bool     `json:"dataOnly"`
	Inserts    bool     `json:"inserts"`
	FileName   string   `json:"fileName"`
}

// maxDumpTables bounds pg_dump's command line.
const maxDumpTables = 500

// A plannedDump waits for the browser to download it.
type plannedDump struct {
	DumpOptions
	fileName string
}

// createDump prepares a dump by pg_dump; the URL that comes back streams it.
func (s *Server) createDump(c echo.Context) error {
	session, pool, err := s.database(c)
	if err != nil {
		return err
	}
	var body dumpRequest
	if err := readBody(c, &body); err != nil {
		return err
	}
	switch {
	case body.SchemaOnly && body.DataOnly:
		return badRequest("schemaOnly and dataOnly leave nothing to dump")
	case len(body.Relations) > maxDumpTables:
		return badRequest("more than 500 relations: dump the whole database")
	case len(body.FileName) > 200:
		return badRequest("fileName is longer than 200 bytes")
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	plan := &plannedDump{DumpOptions: DumpOptions{
		Database: param(c, "db"), SchemaOnly: body.SchemaOnly, DataOnly: body.DataOnly, Inserts: body.Inserts,
	}, fileName: body.FileName}
	for _, oid := range body.Relations {
		rel, err := loadRelation(ctx, pool, oid)
		if err != nil {
			return err
		}
		plan.Tables = append(plan.Tables, DumpTable{rel.Schema, rel.Name})
	}
	if plan.fileName == "" {
		plan.fileName = plan.Database
		if len(plan.Tables) == 1 {
			plan.fileName = plan.Tables[0].Schema + "." + plan.Tables[0].Name
		}
		plan.fileName += "-dump"
	}
	if !strings.HasSuffix(plan.fileName, ".sql") {
		plan.fileName += ".sql"
	}
	return s.offer(c, session, plan)
}

// send streams pg_dump's output. Until it has printed something its complaint is
// the answer; later the connection breaks off, so that nobody takes a part for
// the whole.
func (p *plannedDump) send(s *Server, c echo.Context, session Session) (err error) {
	what := "pg_dump " + p.Database
	for _, t := range p.Tables {
		what += " -t " + quoteName(t.Schema, t.Name)
	}
	ctx, run, ended, err := s.begin(c, session, "", "dump", p.Database, what, s.opts.StatementTimeout)
	if err != nil {
		return err
	}
	defer func() { ended(err) }()
	w := &dumpWriter{c: c, name: p.fileName, query: run.key.id}
	err = session.Dump(ctx, p.DumpOptions, w)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	switch {
	case err == nil && !w.begun:
		err = errors.New("pg_dump printed nothing")
	case err == nil:
		return nil
	}
	s.log.Warn("dump failed", "session", session.Info().ID, "error", err)
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	var p2 *Problem
	if errors.As(err, &p2) || errors.Is(err, ErrNotReady) || errors.Is(err, ErrNotSupported) || errors.Is(err, errCancelled) {
		return err
	}
	return problem(http.StatusUnprocessableEntity, "dump-failed", err.Error())
}

// A dumpWriter begins the answer with the first byte.
type dumpWriter struct {
	c     echo.Context
	name  string
	query string
	begun bool
}

var _ io.Writer = (*dumpWriter)(nil)

func (w *dumpWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		h := w.c.Response().Header()
		h.Set("Content-Type", "application/sql")
		h.Set("Content-Disposition", attachment(w.name))
		h.Set("X-Snapview-Query", w.query)
		w.c.Response().WriteHeader(http.StatusOK)
	}
	return w.c.Response().Write(p)
}
