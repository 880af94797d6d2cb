package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

func newRowWriter(w *bufio.Writer, p *exportFile, columns []resultColumn) rowWriter {
	switch p.Format {
	case "csv":
		return newCSVWriter(w, p, columns)
	case "sql":
		return newInsertWriter(w, p, columns)
	case "parquet":
		return newParquetWriter(w, columns)
	default:
		return newJSONWriter(w, columns, p.Format == "ndjson")
	}
}

// csvWriter writes what COPY … (FORMAT csv) writes: NULL is the null text
// without quotes, and a value is quoted when it is empty, equals it, holds what
// would end it, or would be a line that ends the data for older servers (\.).
//
// It is not COPY itself, because that goes by the simple protocol, which takes
// several statements, and cannot hold SHOW or EXPLAIN or a trailing semicolon.
type csvWriter struct {
	w       *bufio.Writer
	p       *exportFile
	columns []resultColumn
	special string // characters that need quotes
}

func newCSVWriter(w *bufio.Writer, p *exportFile, columns []resultColumn) *csvWriter {
	return &csvWriter{w: w, p: p, columns: columns, special: p.Delimiter + "\"\r\n"}
}

func (c *csvWriter) begin() error {
	if c.p.BOM {
		if _, err := c.w.WriteString("\ufeff"); err != nil {
			return err
		}
	}
	if !c.p.header() {
		return nil
	}
	names := make([][]byte, len(c.columns))
	for i, col := range c.columns {
		names[i] = []byte(col.Name)
	}
	return c.line(names, true)
}

func (c *csvWriter) row(values [][]byte) error { return c.line(values, false) }

func (c *csvWriter) line(values [][]byte, names bool) error {
	for i, v := range values {
		if i > 0 {
			_ = c.w.WriteByte(c.p.Delimiter[0]) // bufio keeps the error
		}
		c.field(v, !names && isNumber(c.columns[i].TypeOID))
	}
	return c.w.WriteByte('\n')
}

func (c *csvWriter) field(v []byte, number bool) {
	if v == nil {
		_, _ = c.w.WriteString(c.p.Null)
		return
	}
	formula := c.p.EscapeFormulas && !number && startsFormula(v)
	if !formula && len(v) > 0 && string(v) != c.p.Null && !bytes.ContainsAny(v, c.special) && !(len(c.columns) == 1 && string(v) == `\.`) {
		_, _ = c.w.Write(v)
		return
	}
	_ = c.w.WriteByte('"')
	if formula {
		_ = c.w.WriteByte('\'')
	}
	for {
		i := bytes.IndexByte(v, '"')
		if i < 0 {
			break
		}
		_, _ = c.w.Write(v[:i+1])
		_ = c.w.WriteByte('"')
		v = v[i+1:]
	}
	_, _ = c.w.Write(v)
	_ = c.w.WriteByte('"')
}

func (c *csvWriter) end() error { return nil }

// startsFormula says whether a spreadsheet would take a text for a formula
// (OWASP, CSV injection).
func startsFormula(v []byte) bool {
	return len(v) > 0 && strings.IndexByte("=+-@\t\r", v[0]) >= 0
}

func isNumber(oid uint32) bool {
	switch oid {
	case oidInt2, oidInt4, oidInt8, oidOID, oidFloat4, oidFloat8, oidNumeric:
		return true
	}
	return false
}

// jsonWriter writes an object for each row: in an array, or one a line.
// Numbers keep all their digits; what JSON has no form for is text.
type jsonWriter struct {
	w       *bufio.Writer
	columns []resultColumn
	names   [][]byte // "name": as JSON
	lines   bool
	first   bool
	buf     []byte
}

func newJSONWriter(w *bufio.Writer, columns []resultColumn, lines bool) *jsonWriter {
	j := &jsonWriter{w: w, columns: columns, lines: lines, first: true}
	used := make(map[string]bool)
	for _, c := range columns {
		name := c.Name
		for n := 2; used[name]; n++ {
			name = c.Name + "_" + strconv.Itoa(n)
		}
		used[name] = true
		j.names = append(j.names, append(appendString(nil, []byte(name)), ':'))
	}
	return j
}

func (j *jsonWriter) begin() error {
	if j.lines {
		return nil
	}
	return j.w.WriteByte('[')
}

func (j *jsonWriter) row(values [][]byte) error {
	j.buf = j.buf[:0]
	if !j.lines {
		if !j.first {
			j.buf = append(j.buf, ',')
		}
		j.buf = append(j.buf, '\n')
	}
	j.first = false
	j.buf = append(j.buf, '{')
	for i, v := range values {
		if i > 0 {
			j.buf = append(j.buf, ',')
		}
		j.buf = append(j.buf, j.names[i]...)
		j.buf = appendJSONValue(j.buf, j.columns[i].TypeOID, v)
	}
	j.buf = append(j.buf, '}')
	if j.lines {
		j.buf = append(j.buf, '\n')
	}
	_, err := j.w.Write(j.buf)
	if cap(j.buf) > 8*batchBytes {
		j.buf = nil
	}
	return err
}

func (j *jsonWriter) end() error {
	if j.lines {
		return nil
	}
	_, err := j.w.WriteString("\n]\n")
	return err
}

func appendJSONValue(dst []byte, oid uint32, v []byte) []byte {
	switch {
	case v == nil:
		return append(dst, "null"...)
	case oid == oidBool:
		return strconv.AppendBool(dst, string(v) == "t")
	case isNumber(oid) && len(v) > 0 && (v[len(v)-1] >= '0' && v[len(v)-1] <= '9'):
		return append(dst, v...) // not NaN or Infinity
	case oid == oidJSON || oid == oidJSONB:
		var compact bytes.Buffer
		if json.Compact(&compact, v) == nil { // a json may hold line breaks
			return append(dst, compact.Bytes()...)
		}
	}
	return appendString(dst, v)
}

// How many rows, or bytes, an INSERT holds.
const (
	insertRows  = 200
	insertBytes = 256 << 10
)

// insertWriter writes INSERT statements that psql takes.
type insertWriter struct {
	w       *bufio.Writer
	columns []resultColumn
	head    string
	tail    string
	bare    bool // part of a script that has its own settings
	rows    int  // in the open statement
	bytes   int
	buf     []byte
}

func newInsertWriter(w *bufio.Writer, p *exportFile, columns []resultColumn) *insertWriter {
	names := make([]string, len(columns))
	overriding := ""
	for i, c := range columns {
		names[i] = quoteName(c.Name)
		if p.rel != nil && p.target == p.rel.from() {
			// The query may have given the column another name.
			if col := p.rel.column(c.Number); col != nil {
				names[i] = quoteName(col.Name)
				if col.Identity == "always" {
					overriding = " OVERRIDING SYSTEM VALUE"
				}
			}
		}
	}
	i := &insertWriter{w: w, columns: columns, tail: ";\n"}
	i.head = "INSERT INTO " + p.target + " (" + strings.Join(names, ", ") + ")" + overriding + " VALUES"
	if p.OnConflict == "nothing" {
		i.tail = "\nON CONFLICT DO NOTHING;\n"
	}
	return i
}

func (i *insertWriter) begin() error {
	if i.bare {
		return nil
	}
	_, err := i.w.WriteString("SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n")
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
	if i.rows >= insertRows || i.bytes >= insertBytes {
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
