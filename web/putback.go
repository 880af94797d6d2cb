package web

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
)

// A put-back is a script that brings rows of the backup back to where they were
// lost: inserts that leave alone what is there, rows that others refer to first,
// sequences last. It is one transaction in plain SQL, for any client.
type putBack struct {
	tables    []putBackTable // in the order of the script
	sequences []ownedSequence
	notes     []string // what the script leaves out, and why
	database  string
	of        string // the backup and its moment, for the heading
}

// A putBackTable is one table of the script with the query for its rows.
type putBackTable struct {
	rel     *relation
	sql     string
	columns []string // that take a value, quoted
	group   int      // tables of one group refer to each other
	stage   string   // the temporary table that its rows go to first, if they do
}

// An ownedSequence feeds a column of a table that is put back.
type ownedSequence struct {
	sequence, table, column string
	descending              bool
}

// Bounds on what a script follows foreign keys through.
const (
	maxPutBackTables = 100
	maxKeys          = 10_000
	putBackFormat    = "put-back"
)

// checkRows holds what says which rows are meant, and the parts of a request
// that only put-back has.
func (r *exportRequest) checkRows() error {
	switch {
	case len(r.Keys) > 0 && (r.Relation == 0 || len(r.Filter) > 0):
		return badRequest("keys are rows of a relation, without a filter")
	case len(r.Keys) > maxKeys:
		return badRequest("more than " + strconv.Itoa(maxKeys) + " keys: use a filter or a query")
	case r.Format == putBackFormat && len(r.Order) > 0:
		return badRequest("order is not for the format put-back")
	}
	return nil
}

// A putBackExport is a put-back as a file.
type putBackExport struct {
	exportFile
	script putBack
}

// planPutBack finds the tables, the queries for their rows and the sequences.
func (s *Server) planPutBack(ctx context.Context, session Session, f exportFile) (*putBackExport, error) {
	pool, err := s.pools.get(session, f.database)
	if err != nil {
		return nil, err
	}
	p := &putBackExport{exportFile: f}
	var where string
	if p.SQL != "" {
		if where, err = s.putBackQuery(ctx, session, p); err != nil {
			return nil, err
		}
	} else if where, err = p.putBackRows(); err != nil {
		return nil, err
	}
	if p.rel.relkind != "r" && p.rel.relkind != "p" {
		return nil, problem(http.StatusUnprocessableEntity, "not-supported", p.rel.from()+" is no table: its rows cannot be put back").
			withHint("put back rows of the tables that it is made of")
	}
	g := &putBackGraph{ctx: ctx, db: pool}
	if err := g.collect(p.rel, where, p.Parents, p.Children); err != nil {
		return nil, err
	}
	info := session.Info()
	tables := g.tables()
	if len(tables) == 0 {
		return nil, problem(http.StatusUnprocessableEntity, "not-supported", p.rel.from()+" has no column that takes a value: its rows cannot be put back")
	}
	p.script = putBack{tables: tables, notes: g.notes, database: p.database, of: info.Reference}
	if info.Moment != "" {
		p.script.of += ", " + info.Moment
	}
	var others strings.Builder // with the statement, what runs, for the lists of it
	for _, t := range p.script.tables {
		if t.rel.OID == p.rel.OID {
			p.statement = t.sql
		} else if others.Len() < auditedSQL {
			others.WriteString(";\n" + t.sql)
		}
		owned, err := ownedSequences(ctx, pool, t.rel)
		if err != nil {
			return nil, err
		}
		p.script.sequences = append(p.script.sequences, owned...)
	}
	p.statement += others.String()
	return p, nil
}

// putBackRows is the condition for the rows that were marked, or that a filter
// leaves.
func (p *putBackExport) putBackRows() (string, error) {
	where, err := p.chosen()
	if err != nil || len(where) == 0 {
		return "true", err
	}
	return "(" + strings.Join(where, ") AND (") + ")", nil
}

// putBackQuery is the condition for the rows that a query returns: it must
// return the key of one table.
func (s *Server) putBackQuery(ctx context.Context, session Session, p *putBackExport) (string, error) {
	g, err := s.openGate(ctx, session, p.database, p.SQL, nil, nil)
	if err != nil {
		return "", problemOf(err, p.SQL)
	}
	columns, err := g.columns(ctx)
	g.close()
	if err != nil {
		return "", err
	}
	if err := s.findTarget(ctx, session, &p.exportFile, columns); err != nil {
		return "", err
	}
	if p.rel.key == nil {
		return "", badRequest(p.rel.from() + " has no key, so there is no telling which rows the query returns").
			withHint("put rows back from the table's own view")
	}
	var outer, inner []string
	for _, k := range p.rel.key {
		i := slices.IndexFunc(columns, func(c resultColumn) bool { return c.Number == k.Number })
		if i < 0 {
			return "", badRequest("the query does not return the key of " + p.rel.from() + ": its column " + k.Name + " is missing")
		}
		outer, inner = append(outer, quoteName(k.Name)), append(inner, "q."+quoteName("c"+strconv.Itoa(i)))
	}
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = quoteName("c" + strconv.Itoa(i))
	}
	text := strings.TrimRight(p.SQL, "; \t\r\n")
	return "(" + strings.Join(outer, ", ") + ") IN (SELECT " + strings.Join(inner, ", ") +
		" FROM (\n" + text + "\n) AS q(" + strings.Join(names, ", ") + "))", nil
}

//go:embed sql/owned_sequences.sql
var ownedSequencesSQL string

// ownedSequences are those of identity columns, of columns that own one, and that
// a column's default calls.
func ownedSequences(ctx context.Context, db querier, rel *relation) ([]ownedSequence, error) {
	rows, err := db.Query(ctx, ownedSequencesSQL, rel.OID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (ownedSequence, error) {
		q := ownedSequence{table: rel.only()}
		err := row.Scan(&q.sequence, &q.column, &q.descending)
		return q, err
	})
}

// open implements exportPlan: with the first table's rows. The conditions of
// every table hold those that were asked for, so what is wrong with these shows
// here. The other tables are opened one after the other as the script grows.
func (p *putBackExport) open(ctx context.Context, s *Server, session Session) (openExport, error) {
	first, err := p.openTable(ctx, s, session, p.script.tables[0])
	if err != nil {
		return nil, problemOf(err, "") // no position in a statement that nobody wrote
	}
	return &openPutBack{p, s, session, first}, nil
}

func (p *putBackExport) send(s *Server, c echo.Context, session Session, offer *offered) error {
	return s.export(c, session, p, offer)
}

func (p *putBackExport) openTable(ctx context.Context, s *Server, session Session, t putBackTable) (*openTable, error) {
	g, err := s.openGate(ctx, session, p.database, t.sql, nil, nil)
	if err != nil {
		return nil, err
	}
	columns, err := g.columns(ctx)
	if err != nil {
		g.close()
		return nil, err
	}
	return &openTable{g, t, columns}, nil
}

// An openTable is the rows of one table of the script, a statement of its own
// through the gate.
type openTable struct {
	g       *gate
	table   putBackTable
	columns []resultColumn
}

type openPutBack struct {
	p       *putBackExport
	s       *Server
	session Session
	table   *openTable // the one that is being written; nil between two
}

// write streams the script.
func (o *openPutBack) write(ctx context.Context, run *running, out *bufio.Writer) error {
	b := &o.p.script
	b.heading(out)
	for i, t := range b.tables {
		if i > 0 {
			o.close()
			var err error
			if o.table, err = o.p.openTable(ctx, o.s, o.session, t); err != nil {
				return err
			}
		}
		fmt.Fprintf(out, "\n-- %s\n", commentText(t.rel.from()))
		one := exportFile{exportRequest: exportRequest{OnConflict: "nothing"}, rel: t.rel, target: t.rel.from()}
		if t.stage != "" {
			one.OnConflict, one.target = "", t.stage
			fmt.Fprint(out, t.createStage())
		}
		w := newInsertWriter(out, &one, o.table.columns)
		w.bare = true
		if err := streamRows(ctx, o.table.g, run, w, 0); err != nil {
			return err
		}
		if t.stage != "" && (i+1 == len(b.tables) || b.tables[i+1].group != t.group) {
			first := slices.IndexFunc(b.tables, func(other putBackTable) bool { return other.group == t.group })
			writeStaged(out, b.tables[first:i+1])
		}
	}
	b.ending(out)
	return nil
}

func (o *openPutBack) close() {
	if o.table != nil {
		o.table.g.close()
		o.table = nil
	}
}

func (b *putBack) heading(out *bufio.Writer) {
	fmt.Fprintf(out, "-- Rows of database %s, as of %s.\n-- Made by snapview on %s. Run it where they were lost:\n--   psql -v ON_ERROR_STOP=1 -d %s -f FILE\n",
		commentText(b.database), commentText(b.of), time.Now().UTC().Format(time.RFC3339), commentText(b.database))
	fmt.Fprint(out, "-- What is there is left alone. Triggers fire, as for any insert.\n")
	for _, note := range b.notes {
		fmt.Fprintf(out, "-- Note: %s\n", commentText(note))
	}
	fmt.Fprint(out, "BEGIN;\nSET LOCAL client_encoding = 'UTF8';\nSET LOCAL standard_conforming_strings = on;\nSET LOCAL datestyle = ISO;\nSET LOCAL intervalstyle = postgres;\nSET LOCAL xmloption = content;\nSET CONSTRAINTS ALL DEFERRED;\n")
}

// ending sets the sequences, never back, and never beyond what they may reach.
func (b *putBack) ending(out *bufio.Writer) {
	if len(b.sequences) > 0 {
		fmt.Fprint(out, "\n-- Sequences\n")
	}
	for _, q := range b.sequences {
		furthest, compare := "max", ">="
		if q.descending {
			furthest, compare = "min", "<="
		}
		bound := func(of string) string {
			return "(SELECT " + of + " FROM pg_catalog.pg_sequence WHERE seqrelid = " + quoteText(q.sequence) + "::pg_catalog.regclass)"
		}
		fmt.Fprintf(out, "SELECT pg_catalog.setval(%s, m.v) FROM (SELECT %s(%s)::pg_catalog.int8 AS v FROM %s WHERE %s BETWEEN %s AND %s) AS m\n  WHERE m.v %s (SELECT last_value FROM %s);\n",
			quoteText(q.sequence), furthest, q.column, q.table, q.column, bound("seqmin"), bound("seqmax"), compare, q.sequence)
	}
	fmt.Fprint(out, "\nCOMMIT;\n")
}

// commentText keeps a text on the line of its comment.
func commentText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\u0085' {
			return ' '
		}
		return r
	}, s)
}
