package web

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

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
