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
		parts := []string{plan.Database}
		if len(plan.Tables) == 1 {
			parts = append(parts, plan.Tables[0].Schema, plan.Tables[0].Name)
		}
		plan.fileName = fileNameOf(session.Info(), parts...) + "_dump"
	}
	if !strings.HasSuffix(plan.fileName, ".sql") {
		plan.fileName += ".sql"
	}
	return s.offer(c, session, plan, offered{kind: "dump", fileName: plan.fileName, database: plan.Database})
}

// send streams pg_dump's output. Until it has printed something its complaint is
// the answer; later the connection breaks off, so that nobody takes a part for
// the whole.
func (p *plannedDump) send(s *Server, c echo.Context, session Session, offer *offered) (err error) {
	what := "pg_dump " + p.Database
	for _, option := range []struct {
		given bool
		flag  string
	}{{p.SchemaOnly, "--schema-only"}, {p.DataOnly, "--data-only"}, {p.Inserts, "--inserts"}} {
		if option.given {
			what += " " + option.flag
		}
	}
	for _, t := range p.Tables {
		what += " -t " + quoteName(t.Schema, t.Name)
	}
	ctx, run, ended, err := s.begin(c, session, "", "dump", p.Database, what, s.opts.StatementTimeout)
	if err != nil {
		return err
	}
	offer.runs(run)
	defer func() { ended(err) }()
	w := &dumpWriter{c: c, name: p.fileName, out: countingWriter{newFlusher(ctx, c.Response()), run}}
	err = session.Dump(ctx, p.DumpOptions, w)
	switch cause := context.Cause(ctx); {
	case cause != nil:
		err = cause
	case w.failed != nil:
		err = errClientGone // of which pg_dump only says that it was stopped
	}
	switch {
	case err == nil && !w.begun:
		err = errors.New("pg_dump printed nothing")
	case err == nil:
		return nil
	}
	s.log.Warn("dump failed", "session", session.Info().ID, "error", err)
	if w.begun {
		offer.failed(dumpFailure(err))
		panic(http.ErrAbortHandler)
	}
	return dumpFailure(err)
}

// dumpFailure keeps an error that says what it is, and takes every other one
// for pg_dump's words.
func dumpFailure(err error) error {
	var p *Problem
	for _, known := range []error{ErrNotReady, ErrNotSupported, errCancelled, errShutdown, errDeadline, errClientGone, context.Canceled} {
		if errors.Is(err, known) {
			return err
		}
	}
	if errors.As(err, &p) {
		return err
	}
	return problem(http.StatusUnprocessableEntity, "dump-failed", err.Error())
}

// A dumpWriter begins the answer with the first byte.
type dumpWriter struct {
	c      echo.Context
	name   string
	out    countingWriter
	begun  bool
	failed error // of the client; final
}

var _ io.Writer = (*dumpWriter)(nil)

func (w *dumpWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		h := w.c.Response().Header()
		h.Set("Content-Type", "application/sql")
		h.Set("Content-Disposition", attachment(w.name))
		h.Set("X-Snapview-Query", w.out.run.key.id)
		w.c.Response().WriteHeader(http.StatusOK)
	}
	n, err := w.out.Write(p)
	w.failed = err
	return n, err
}
