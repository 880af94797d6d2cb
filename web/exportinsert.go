package web

import (
	"bufio"
	"bytes"
	"strings"
)

// How many rows an INSERT holds when nothing is said, at most when something
// is, and how many bytes end it in any case.
const (
	insertRows    = 200
	maxInsertRows = 10_000
	insertBytes   = 256 << 10
)

// insertWriter writes INSERT statements that psql takes.
type insertWriter struct {
	w       *bufio.Writer
	columns []resultColumn
	create  string // CREATE TABLE, if it is wanted
	head    string
	tail    string
	bare    bool // part of a script that has its own settings
	most    int  // rows of a statement
	rows    int  // in the open statement
	bytes   int
	buf     []byte
}

func newInsertWriter(w *bufio.Writer, p *exportFile, columns []resultColumn) *insertWriter {
	names := make([]string, len(columns))
	overriding := ""
	for i, c := range columns {
		names[i] = quoteName(c.Name)
		// The query may have given the column another name.
		if col := p.ownColumn(c); col != nil {
			names[i] = quoteName(col.Name)
			if col.Identity == "always" && !p.CreateTable {
				overriding = " OVERRIDING SYSTEM VALUE"
			}
		}
	}
	i := &insertWriter{w: w, columns: columns, tail: ";\n", most: p.RowsPerStatement}
	if i.most == 0 {
		i.most = insertRows
	}
	i.head = "INSERT INTO " + p.target
	if p.columnNames() {
		i.head += " (" + strings.Join(names, ", ") + ")"
	}
	i.head += overriding + " VALUES"
	if p.CreateTable {
		i.create = p.createTable(names, columns)
	}
	if p.OnConflict == "nothing" {
		i.tail = "\nON CONFLICT DO NOTHING;\n"
	}
	return i
}

// ownColumn is the column of the table that rows are inserted into that a
// column of the result comes from, if it is the table that they come from.
func (p *exportFile) ownColumn(c resultColumn) *column {
	if p.rel == nil || p.target != p.rel.from() {
		return nil
	}
	return p.rel.column(c.Number)
}

// createTable makes a table that holds the rows: columns with their types and,
// of a table, NOT NULL and the primary key. Defaults, checks and references
// name other objects, which may not be there: pg_dump has them.
func (p *exportFile) createTable(names []string, columns []resultColumn) string {
	lines := make([]string, len(columns))
	numbers := make(map[int]string, len(columns)) // names by the table's numbers
	for i, c := range columns {
		lines[i] = "  " + names[i] + " " + c.Type
		if p.rel == nil || c.Relation != p.rel.OID {
			continue
		}
		if col := p.rel.column(c.Number); col != nil {
			numbers[c.Number] = names[i]
			if col.NotNull {
				lines[i] += " NOT NULL"
			}
		}
	}
	if key := p.primaryKey(numbers); key != "" {
		lines = append(lines, "  PRIMARY KEY ("+key+")")
	}
	create := "CREATE TABLE "
	if p.OnConflict == "nothing" {
		create += "IF NOT EXISTS "
	}
	return create + p.target + " (\n" + strings.Join(lines, ",\n") + "\n);\n"
}

// primaryKey lists the columns of the table's primary key by the names that
// they have in the file; empty unless all are in it.
func (p *exportFile) primaryKey(names map[int]string) string {
	if p.rel == nil {
		return ""
	}
	for _, x := range p.rel.Indexes {
		if !x.Primary {
			continue
		}
		var key []string
		for _, n := range x.Columns[:min(len(x.Columns), x.KeyAttributes)] {
			name, ok := names[int(n)]
			if !ok {
				return ""
			}
			key = append(key, name)
		}
		return strings.Join(key, ", ")
	}
	return ""
}

// checkInserts refuses INSERTs without names whose values would not be those of
// the table's columns, in order.
func (p *exportFile) checkInserts(columns []resultColumn) error {
	if p.Format != "sql" || p.columnNames() || p.CreateTable || p.rel == nil || p.target != p.rel.from() {
		return nil
	}
	same := len(columns) == len(p.rel.Columns)
	for i := 0; same && i < len(columns); i++ {
		same = columns[i].Number == p.rel.Columns[i].Number
	}
	if !same {
		return badRequest("without column names an INSERT needs every column of " + p.target + " in its order; a generated one takes no value").
			withHint("set columnNames, or export all columns")
	}
	return nil
}

func (i *insertWriter) begin() error {
	if i.bare {
		return nil
	}
	_, err := i.w.WriteString("SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n" + i.create)
	return err
}

func (i *insertWriter) row(values [][]byte) error {
	i.buf = i.buf[:0]
	if i.rows == 0 {
		i.buf = append(i.buf, i.head...)
	} else {
		i.buf = append(i.buf, ',')
	}
	i.buf = append(i.buf, "\n  ("...)
	for n, v := range values {
		if n > 0 {
			i.buf = append(i.buf, ", "...)
		}
		i.buf = appendLiteral(i.buf, i.columns[n].TypeOID, v)
	}
	i.buf = append(i.buf, ')')
	i.rows++
	i.bytes += len(i.buf)
	if _, err := i.w.Write(i.buf); err != nil {
		return err
	}
	if cap(i.buf) > 8*batchBytes {
		i.buf = nil
	}
	if i.rows >= i.most || i.bytes >= insertBytes {
		return i.end()
	}
	return nil
}

func (i *insertWriter) end() error {
	if i.rows == 0 {
		return nil
	}
	i.rows, i.bytes = 0, 0
	_, err := i.w.WriteString(i.tail)
	return err
}

func appendLiteral(dst []byte, oid uint32, v []byte) []byte {
	switch {
	case v == nil:
		return append(dst, "NULL"...)
	case oid == oidInt2 || oid == oidInt4 || oid == oidInt8 || oid == oidOID:
		return append(dst, v...)
	}
	// Backslashes stand for themselves: the file sets standard_conforming_strings.
	dst = append(dst, '\'')
	for {
		i := bytes.IndexByte(v, '\'')
		if i < 0 {
			break
		}
		dst = append(append(dst, v[:i+1]...), '\'')
		v = v[i+1:]
	}
	return append(append(dst, v...), '\'')
}
