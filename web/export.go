package web

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
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
	list, err := p.relationColumns()
	if err != nil {
		return err
	}
	order := ""
	if len(q.order) > 0 || len(p.Keys) > 0 {
		// Rows chosen one by one come in the table's order, not in that of an index.
		q.filters = make([]filter, len(p.Keys))
		order = q.orderClause(q.terms(), "")
	}
	p.statement = "SELECT " + strings.Join(list, ", ") + " FROM " + p.rel.from() + whereClause(where) + order
	if p.Limit > 0 {
		p.statement += " LIMIT " + strconv.FormatInt(p.Limit, 10)
	}
	return nil
}

// relationColumns lists the columns that were chosen, or all that the format
// takes, as SQL.
func (p *rowsExport) relationColumns() ([]string, error) {
	var list []string
	for _, n := range p.Columns {
		c := p.rel.column(n)
		switch {
		case c == nil:
			return nil, badRequest(p.rel.from() + " has no column of number " + strconv.Itoa(n))
		case !p.takes(*c):
			return nil, badRequest("column " + c.Name + " is generated: an INSERT may not give it a value").withHint("leave it out of columns")
		}
		list = append(list, quoteName(c.Name))
	}
	if len(list) > 0 {
		return list, nil
	}
	for _, c := range p.rel.Columns {
		if p.takes(c) {
			list = append(list, quoteName(c.Name))
		}
	}
	if len(list) == 0 {
		return nil, problem(http.StatusUnprocessableEntity, "not-supported", p.rel.from()+" has no columns that can be exported")
	}
	return list, nil
}

// takes says whether the format can hold a column. An INSERT may not give a
// generated one its value, unless it is into a table made here.
func (p *exportFile) takes(c column) bool {
	return p.Format != "sql" || !c.Generated || p.CreateTable
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
	open, err := p.opened(ctx, s, session, g)
	if err != nil {
		g.close()
		return nil, err
	}
	return open, nil
}

func (p *rowsExport) opened(ctx context.Context, s *Server, session Session, g *gate) (*openRows, error) {
	all, err := g.columns(ctx)
	if err != nil {
		return nil, err
	}
	o := &openRows{g: g, p: p, all: all, columns: all}
	if p.SQL != "" && len(p.Columns) > 0 {
		o.columns = nil
		for _, n := range p.Columns {
			if n > len(all) {
				return nil, badRequest("the result has " + strconv.Itoa(len(all)) + " columns: there is no column " + strconv.Itoa(n))
			}
			o.pick, o.columns = append(o.pick, n-1), append(o.columns, all[n-1])
		}
	}
	if err := s.findTarget(ctx, session, &p.exportFile, o.columns); err != nil {
		return nil, err
	}
	return o, p.checkInserts(o.columns)
}

func (p *rowsExport) send(s *Server, c echo.Context, session Session, offer *offered) error {
	return s.export(c, session, p, offer)
}

type openRows struct {
	g       *gate
	p       *rowsExport
	all     []resultColumn // of the statement
	columns []resultColumn // that go into the file
	pick    []int          // where those are among all; nil: they are all
}

func (o *openRows) write(ctx context.Context, run *running, out *bufio.Writer) error {
	var w rowWriter = newRowWriter(out, &o.p.exportFile, o.columns)
	if o.pick != nil {
		w = &picker{rowWriter: w, pick: o.pick, of: len(o.all), values: make([][]byte, len(o.pick))}
	}
	return streamRows(ctx, o.g, run, w, o.p.Limit)
}

// A picker hands on some of a row's values.
type picker struct {
	rowWriter
	pick   []int
	of     int
	values [][]byte
}

func (p *picker) row(values [][]byte) error {
	for i, from := range p.pick {
		p.values[i] = values[from]
	}
	return p.rowWriter.row(p.values)
}

func (p *picker) formats() []int16 {
	f, ok := p.rowWriter.(interface{ formats() []int16 })
	if !ok {
		return nil // all as text
	}
	all := make([]int16, p.of)
	for i, format := range f.formats() {
		all[p.pick[i]] = format
	}
	return all
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
	return s.export(c, session, plan, nil)
}

// export runs the statement and streams the file. Errors until the first row
// is asked for are problems; later ones end the file: with a line that says so
// where the format has one, with trailers for a program, and for a browser
// (offer), which knows no trailers, by breaking the connection off, so that it
// does not keep a part for the whole.
func (s *Server) export(c echo.Context, session Session, plan exportPlan, offer *offered) (err error) {
	p := plan.file()
	timeout, err := s.timeout(p.TimeoutSeconds)
	if err != nil {
		return err
	}
	ctx, run, ended, err := s.begin(c, session, p.ID, "export", p.database, p.statement, timeout)
	if err != nil {
		return err
	}
	offer.runs(run)
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
	if packing, ok := packings[p.Compression]; ok {
		h.Set("Content-Type", packing.mediaType)
	}
	h.Set("Content-Disposition", attachment(p.name))
	h.Set("X-Snapview-Query", run.key.id)
	h.Set("Trailer", "X-Snapview-Rows, X-Snapview-Error")
	w.WriteHeader(http.StatusOK)

	out, err := newPacker(&countingWriter{newFlusher(ctx, w), run}, p.Compression)
	if err != nil {
		return err
	}
	brokeOff = open.write(ctx, run, out.Writer)
	switch {
	case brokeOff == nil:
		if out.close(true) != nil {
			brokeOff = because(ctx, errClientGone)
			offer.failed(brokeOff)
			return nil // there is nobody to tell
		}
	case errors.Is(brokeOff, errClientGone):
		brokeOff = because(ctx, brokeOff)
		offer.failed(brokeOff)
		return nil
	default:
		problem := problemOf(brokeOff, p.SQL)
		if ctx.Err() != nil {
			offer.failed(context.Cause(ctx)) // whatever PostgreSQL says of it
		} else {
			offer.failed(problem)
		}
		message := strings.Join(strings.Fields(problem.Error()), " ")
		s.log.Warn("export failed", "session", session.Info().ID, "code", problem.Code)
		if format.comment != "" {
			_, _ = out.WriteString("\n" + format.comment + "snapview: export failed after " + strconv.FormatInt(run.rows.Load(), 10) + " rows: " + message + "\n")
		}
		_ = out.close(false) // fails when the client is gone: there is nobody to tell
		if offer != nil {
			// The headers at least: a request without any answer is made again.
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		h.Set("X-Snapview-Error", strings.Trim(strconv.QuoteToASCII(problem.Code+": "+message), `"`))
	}
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

// streamRows writes the rows, limit of them at most if it is not 0.
func streamRows(ctx context.Context, g *gate, run *running, w rowWriter, limit int64) error {
	if err := w.begin(); err != nil {
		return errClientGone
	}
	var formats []int16
	if f, ok := w.(interface{ formats() []int16 }); ok {
		formats = f.formats()
	}
	rr := g.run(ctx, formats...)
	for n := int64(0); rr.NextRow(); n++ {
		if limit > 0 && n == limit {
			// Closing the gate cancels the rest.
			if w.end() != nil {
				return errClientGone
			}
			return nil
		}
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

// countingWriter makes each write leave at once, and counts it.
type countingWriter struct {
	f   *flusher
	run *running
}

func (w *countingWriter) Write(p []byte) (int, error) {
	if err := w.f.write(p); err != nil {
		return 0, err
	}
	w.run.bytes.Add(int64(len(p)))
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
