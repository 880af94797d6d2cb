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
	return r.checkRows()
}

func (r *exportRequest) header() bool { return r.Header == nil || *r.Header }

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
	plan.file().setName()
	return plan, nil
}

func (p *exportFile) setName() {
	p.name = p.FileName
	if p.name == "" {
		p.name = p.database + "-query"
		if p.rel != nil {
			p.name = p.rel.Schema + "." + p.rel.Name
		}
	}
	if ext := exportFormats[p.Format].ext; !strings.HasSuffix(p.name, ext) {
		p.name += ext
	}
}

// A rowsExport is the rows of one statement.
type rowsExport struct{ exportFile }

func planRows(f exportFile) (*rowsExport, error) {
	p := &rowsExport{f}
	if p.rel == nil {
		return p, nil
	}
	return p, p.fromRelation()
}

func (p *rowsExport) fromRelation() error {
	q := &rowQuery{rel: p.rel}
	var err error
	if q.order, err = p.rel.parseOrder(p.Order); err != nil {
		return err
	}
	where, err := p.chosen()
	if err != nil {
		return err
	}
	var list []string
	for _, c := range p.rel.Columns {
		// An INSERT may not give a generated column its value.
		if p.Format != "sql" || !c.Generated {
			list = append(list, quoteName(c.Name))
		}
	}
	if len(list) == 0 {
		return problem(http.StatusUnprocessableEntity, "not-supported", p.rel.from()+" has no columns that can be exported")
	}
	order := ""
	if len(q.order) > 0 || len(p.Keys) > 0 {
		// Rows chosen one by one come in the table's order, not in that of an index.
		q.filters = make([]filter, len(p.Keys))
		order = q.orderClause(q.terms(), "")
	}
	p.statement = "SELECT " + strings.Join(list, ", ") + " FROM " + p.rel.from() + whereClause(where) + order
	return nil
}

// chosen are the conditions for the rows that were marked, or that the filter
// leaves; none for all rows.
func (p *exportFile) chosen() ([]string, error) {
	if len(p.Keys) > 0 {
		where, err := p.rel.keysCondition(p.Keys)
		return []string{where}, err
	}
	q := &rowQuery{rel: p.rel}
	var err error
	if q.filters, err = p.rel.parseFilters(p.Filter); err != nil {
		return nil, err
	}
	return q.conditions()
}

// open implements exportPlan.
func (p *rowsExport) open(ctx context.Context, s *Server, session Session) (openExport, error) {
	g, err := s.openGate(ctx, session, p.database, p.statement, nil, nil)
	if err != nil {
		return nil, problemOf(err, p.SQL)
	}
	columns, err := g.columns(ctx)
	if err == nil {
		err = s.findTarget(ctx, session, &p.exportFile, columns)
	}
	if err != nil {
		g.close()
		return nil, err
	}
	return &openRows{g, p, columns}, nil
}

func (p *rowsExport) send(s *Server, c echo.Context, session Session) error {
	return s.export(c, session, p)
}

type openRows struct {
	g       *gate
	p       *rowsExport
	columns []resultColumn
}

func (o *openRows) write(ctx context.Context, run *running, out *bufio.Writer) error {
	return streamRows(ctx, o.g, run, newRowWriter(out, &o.p.exportFile, o.columns))
}

func (o *openRows) close() { o.g.close() }

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
func (s *Server) export(c echo.Context, session Session, plan exportPlan) (err error) {
	p := plan.file()
	timeout, err := s.timeout(p.TimeoutSeconds)
	if err != nil {
		return err
	}
	ctx, run, ended, err := s.begin(c, session, p.ID, "export", p.database, p.statement, timeout)
	if err != nil {
		return err
	}
	var brokeOff error // after the first byte
	defer func() { ended(errors.Join(err, brokeOff)) }()
	open, err := plan.open(ctx, s, session)
	if err != nil {
		return err
	}
	defer open.close()
	format := exportFormats[p.Format]
	w := c.Response()
	h := w.Header()
	h.Set("Content-Type", format.mediaType)
	h.Set("Content-Disposition", attachment(p.name))
	h.Set("X-Snapview-Query", run.key.id)
	h.Set("Trailer", "X-Snapview-Rows, X-Snapview-Error")
	w.WriteHeader(http.StatusOK)

	out := bufio.NewWriterSize(flushingWriter{newFlusher(w)}, batchBytes)
	err = open.write(ctx, run, out)
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
