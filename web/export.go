package web

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

type exportRequest struct {
	SQL            string   `json:"sql"`
	Relation       uint32   `json:"relation"`
	Filter         []string `json:"filter"`
	Order          []string `json:"order"`
	Format         string   `json:"format"`
	ID             string   `json:"id"`
	FileName       string   `json:"fileName"`
	Header         *bool    `json:"header"`
	Delimiter      string   `json:"delimiter"`
	Null           string   `json:"null"`
	BOM            bool     `json:"bom"`
	EscapeFormulas bool     `json:"escapeFormulas"`
	Target         string   `json:"target"`
	OnConflict     string   `json:"onConflict"`
	Keys           []string `json:"keys"`
	Parents        bool     `json:"parents"`
	Children       bool     `json:"children"`
	TimeoutSeconds float64  `json:"timeoutSeconds"`
}

var exportFormats = map[string]struct{ mediaType, ext, comment string }{
	"csv":         {"text/csv; charset=utf-8", ".csv", "# "},
	"json":        {"application/json", ".json", "# "},
	"ndjson":      {ndjsonMediaType, ".ndjson", "# "},
	"sql":         {"application/sql", ".sql", "-- "},
	putBackFormat: {"application/sql", ".sql", "-- "},
	// Without a comment: a file that breaks off has no footer and is refused.
	"parquet": {"application/vnd.apache.parquet", ".parquet", ""},
}

func (r *exportRequest) check() error {
	switch _, known := exportFormats[r.Format]; {
	case !known:
		return badRequest("format must be csv, json, ndjson, sql, parquet or put-back")
	case (r.SQL == "") == (r.Relation == 0):
		return badRequest("either sql or relation must be given")
	case len(r.SQL) > maxStatement:
		return problem(http.StatusRequestEntityTooLarge, "too-large", "the statement is longer than 4 MiB")
	case r.SQL != "" && (len(r.Filter) > 0 || len(r.Order) > 0):
		return badRequest("filter and order are for a relation")
	case r.Delimiter == "":
		r.Delimiter = ","
	case !strings.Contains(",;\t|", r.Delimiter) || len(r.Delimiter) != 1:
		return badRequest("delimiter must be a comma, semicolon, tab or bar")
	}
	switch {
	case strings.ContainsAny(r.Null, "\"\r\n"+r.Delimiter) || len(r.Null) > 20:
		return badRequest("null must be short and hold no delimiter, quote or line break")
	case r.OnConflict != "" && r.OnConflict != "error" && r.OnConflict != "nothing":
		return badRequest("onConflict must be error or nothing")
	case r.ID != "" && !queryIDForm.MatchString(r.ID):
		return badRequest("the id may have 1 to 64 letters, digits, - and _")
	}
	return r.checkPutBack()
}

func (r *exportRequest) header() bool { return r.Header == nil || *r.Header }

// A plannedExport is an export whose statement is known.
type plannedExport struct {
	exportRequest
	database string
	sql      string
	target   string    // quoted; format sql
	rel      *relation // format sql, when the target is known
	fileName string
	putBack  *putBack // format put-back
}

// planExport turns a request into a statement.
func (s *Server) planExport(ctx context.Context, session Session, database string, req exportRequest) (*plannedExport, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	p := &plannedExport{exportRequest: req, database: database, sql: req.SQL, fileName: req.FileName}
	if req.Target != "" {
		p.target = quoteTarget(req.Target)
	}
	if req.Relation != 0 {
		pool, err := s.pools.get(session, database)
		if err != nil {
			return nil, err
		}
		rel, err := loadRelation(ctx, pool, req.Relation)
		if err != nil {
			return nil, err
		}
		if err := p.fromRelation(rel); err != nil {
			return nil, err
		}
	}
	if req.Format == putBackFormat {
		if err := s.planPutBack(ctx, session, p); err != nil {
			return nil, err
		}
		p.sql = p.putBack.tables[len(p.putBack.tables)-1].sql
	}
	if p.fileName == "" {
		p.fileName = database + "-query"
		if p.rel != nil {
			p.fileName = p.rel.Schema + "." + p.rel.Name
		}
	}
	if ext := exportFormats[req.Format].ext; !strings.HasSuffix(p.fileName, ext) {
		p.fileName += ext
	}
	return p, nil
}

func (p *plannedExport) fromRelation(rel *relation) error {
	p.rel = rel
	q := &rowQuery{rel: rel}
	var err error
	if q.filters, err = rel.parseFilters(p.Filter); err != nil {
		return err
	}
	if q.order, err = rel.parseOrder(p.Order); err != nil {
		return err
	}
	where, err := q.conditions()
	if err != nil {
		return err
	}
	var list []string
	for _, c := range rel.Columns {
		// An INSERT may not give a generated column its value.
		if p.Format != "sql" || !c.Generated {
			list = append(list, quoteName(c.Name))
		}
	}
	order := ""
	if len(q.order) > 0 {
		order = q.orderClause(q.terms(), "")
	}
	p.sql = "SELECT " + strings.Join(list, ", ") + " FROM " + rel.from() + whereClause(where) + order
	return nil
}

// quoteTarget quotes "schema.table" or "table". A dot parts the two; a name
// that holds one itself cannot be a target.
func quoteTarget(target string) string {
	return quoteName(strings.SplitN(target, ".", 2)...)
}

func (s *Server) runExport(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var body exportRequest
	if err := readBody(c, &body); err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	plan, err := s.planExport(ctx, session, param(c, "db"), body)
	if err != nil {
		return err
	}
	return s.export(c, session, plan)
}

// export runs the statement and streams the file. Errors until the first row
// is asked for are problems; later ones end the file.
func (s *Server) export(c echo.Context, session Session, p *plannedExport) (err error) {
	timeout, err := s.timeout(p.TimeoutSeconds)
	if err != nil {
		return err
	}
	ctx, run, ended, err := s.begin(c, session, p.ID, "export", p.database, p.sql, timeout)
	if err != nil {
		return err
	}
	var brokeOff error // after the first byte
	defer func() { ended(errors.Join(err, brokeOff)) }()
	g, err := s.openGate(ctx, session, p.database, p.sql, nil, nil)
	if err != nil {
		return problemOf(err, p.SQL)
	}
	defer g.close()
	columns, err := g.columns(ctx)
	if err != nil {
		return err
	}
	if err := s.findTarget(ctx, session, p, columns); err != nil {
		return err
	}
	format := exportFormats[p.Format]
	w := c.Response()
	h := w.Header()
	h.Set("Content-Type", format.mediaType)
	h.Set("Content-Disposition", attachment(p.fileName))
	h.Set("X-Snapview-Query", run.key.id)
	h.Set("Trailer", "X-Snapview-Rows, X-Snapview-Error")
	w.WriteHeader(http.StatusOK)

	out := bufio.NewWriterSize(flushingWriter{newFlusher(w)}, batchBytes)
	if p.putBack != nil {
		err = s.writePutBack(ctx, session, run, p, out)
	} else {
		err = streamRows(ctx, g, run, newRowWriter(out, p, columns))
	}
	brokeOff = err
	if err != nil && !errors.Is(err, errClientGone) {
		problem := problemOf(err, p.SQL)
		message := strings.Join(strings.Fields(problem.Error()), " ")
		s.log.Warn("export failed", "session", session.Info().ID, "code", problem.Code)
		if format.comment != "" {
			_, _ = out.WriteString("\n" + format.comment + "snapview: export failed after " + strconv.FormatInt(run.rows.Load(), 10) + " rows: " + message + "\n")
		}
		h.Set("X-Snapview-Error", strings.Trim(strconv.QuoteToASCII(problem.Code+": "+message), `"`))
	}
	_ = out.Flush() // fails when the client is gone: there is nobody to tell
	h.Set("X-Snapview-Rows", strconv.FormatInt(run.rows.Load(), 10))
	return nil
}

// A rowWriter writes rows in one format. An error of it is the client's, unless
// it is a Problem: a value that the format cannot hold. One that has formats()
// gets the values in those of PostgreSQL's formats.
type rowWriter interface {
	begin() error
	row(values [][]byte) error
	end() error
}

func streamRows(ctx context.Context, g *gate, run *running, w rowWriter) error {
	if err := w.begin(); err != nil {
		return errClientGone
	}
	var formats []int16
	if f, ok := w.(interface{ formats() []int16 }); ok {
		formats = f.formats()
	}
	rr := g.run(ctx, formats...)
	for rr.NextRow() {
		if err := w.row(rr.Values()); err != nil {
			if p := (*Problem)(nil); errors.As(err, &p) {
				return p
			}
			return errClientGone
		}
		run.rows.Add(1)
	}
	if _, err := g.finish(ctx, rr); err != nil {
		return err
	}
	if err := w.end(); err != nil {
		return errClientGone
	}
	return nil
}

// flushingWriter makes each write of a full buffer leave at once.
type flushingWriter struct{ f *flusher }

func (w flushingWriter) Write(p []byte) (int, error) {
	if err := w.f.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// findTarget finds the table that a query's columns come from, for INSERTs and
// for put-back.
func (s *Server) findTarget(ctx context.Context, session Session, p *plannedExport, columns []resultColumn) error {
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
