package web

import (
	"bufio"
	"context"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"
)

// An exportPlan is an export whose statements are known.
type exportPlan interface {
	download
	file() *exportFile

	// open goes through the gate with what the file begins with, so that what
	// is wrong with it can still be a problem.
	open(ctx context.Context, s *Server, session Session) (openExport, error)
}

// An openExport is an export that the gate has let through. It holds a
// connection until it is closed.
type openExport interface {
	write(ctx context.Context, run *running, out *bufio.Writer) error
	close()
}

// An exportFile is what every export has.
type exportFile struct {
	exportRequest
	database  string
	name      string
	statement string    // what the list of running statements shows
	target    string    // of INSERTs, quoted
	rel       *relation // when it is known
}

func (p *exportFile) file() *exportFile { return p }

// requestedExport reads and plans the export that a request's body asks for.
func (s *Server) requestedExport(c echo.Context) (Session, exportPlan, error) {
	session, err := s.session(c)
	if err != nil {
		return nil, nil, err
	}
	var body exportRequest
	if err := readBody(c, &body); err != nil {
		return nil, nil, err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	plan, err := s.planExport(ctx, session, param(c, "db"), body)
	return session, plan, err
}

// planExport turns a request into statements.
func (s *Server) planExport(ctx context.Context, session Session, database string, req exportRequest) (plan exportPlan, err error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	f := exportFile{exportRequest: req, database: database, statement: req.SQL}
	if req.Target != "" {
		f.target = quoteTarget(req.Target)
	}
	if req.Relation != 0 {
		pool, err := s.pools.get(session, database)
		if err != nil {
			return nil, err
		}
		if f.rel, err = loadRelation(ctx, pool, req.Relation); err != nil {
			return nil, err
		}
	}
	if req.Format == putBackFormat {
		plan, err = s.planPutBack(ctx, session, f)
	} else {
		plan, err = planRows(f)
	}
	if err != nil {
		return nil, err
	}
	plan.file().setName(session.Info())
	return plan, nil
}

// setName gives the file a name that says what it holds and of when, with the
// endings of its format.
func (p *exportFile) setName(info Info) {
	packing, base := packings[p.Compression], p.FileName
	if base == "" {
		parts := []string{p.database, "query"}
		if p.rel != nil && p.Relation != 0 {
			parts = []string{p.database, p.rel.Schema, p.rel.Name}
		}
		base = fileNameOf(info, parts...)
		if p.Format == putBackFormat {
			base += "_put-back"
		}
	}
	base = strings.TrimSuffix(base, packing.ext)
	if ext := exportFormats[p.Format].ext; !strings.HasSuffix(base, ext) {
		base += ext
	}
	p.name = base + packing.ext
}

// fileNameOf joins names to "database_schema_table_2026-11-21". The date is that
// of the backup's moment, or of its name; there is none if neither has one.
func fileNameOf(info Info, parts ...string) string {
	for _, text := range []string{info.Moment, info.Reference} {
		if day := isoDay.FindString(text); day != "" {
			parts = append(parts, day)
			break
		}
	}
	return strings.Join(parts, "_")
}

var isoDay = regexp.MustCompile(`\b[12][0-9]{3}-[01][0-9]-[0-3][0-9]`)

// findTarget finds the table that a query's columns come from, for INSERTs and
// for put-back.
func (s *Server) findTarget(ctx context.Context, session Session, p *exportFile, columns []resultColumn) error {
	if p.Format != "sql" && p.Format != putBackFormat {
		return nil
	}
	if p.rel == nil && p.target == "" {
		oid := columns[0].Relation
		for _, c := range columns {
			if c.Relation != oid || c.Relation == 0 {
				oid = 0
			}
		}
		if oid == 0 {
			return badRequest("the columns do not all come from one table, so there is no telling where to insert them").
				withHint("name the table in target")
		}
		pool, err := s.pools.get(session, p.database)
		if err != nil {
			return err
		}
		if p.rel, err = loadRelation(ctx, pool, oid); err != nil {
			return err
		}
	}
	if p.target == "" {
		p.target = p.rel.from()
	}
	return nil
}

// quoteTarget quotes "schema.table" or "table". A dot parts the two; a name
// that holds one itself cannot be a target.
func quoteTarget(target string) string {
	return quoteName(strings.SplitN(target, ".", 2)...)
}
