package web

import (
	"bufio"
	"bytes"
	"strings"
)

// csvWriter writes what COPY … (FORMAT csv) writes: NULL is the null text
// without quotes, and a value is quoted when it is empty, equals it, holds what
// would end it, or would be a line that ends the data for older servers (\.).
// With other options than COPY has (line ends, a byte order mark), COPY FROM
// still reads the same rows back, but for the mark and for escaped formulas.
//
// It is not COPY itself, because that goes by the simple protocol, which takes
// several statements, and cannot hold SHOW or EXPLAIN or a trailing semicolon.
type csvWriter struct {
	w       *bufio.Writer
	p       *exportFile
	columns []resultColumn
	quoted  []bool // columns whose values always have quotes
	special string // characters that need quotes
	lineEnd string // of a line
}

func newCSVWriter(w *bufio.Writer, p *exportFile, columns []resultColumn) *csvWriter {
	c := &csvWriter{w: w, p: p, columns: columns, special: p.Delimiter + "\"\r\n", lineEnd: "\n", quoted: make([]bool, len(columns))}
	if p.LineEnd == "crlf" {
		c.lineEnd = "\r\n"
	}
	for i, col := range columns {
		c.quoted[i] = p.Quote == "all" || p.Quote == "text" && !isNumber(col.TypeOID) && col.TypeOID != oidBool
	}
	return c
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
	for i, col := range c.columns {
		if i > 0 {
			_ = c.w.WriteByte(c.p.Delimiter[0]) // bufio keeps the error
		}
		c.field([]byte(col.Name), false, c.p.Quote != "needed")
	}
	_, err := c.w.WriteString(c.lineEnd)
	return err
}

func (c *csvWriter) row(values [][]byte) error {
	for i, v := range values {
		if i > 0 {
			_ = c.w.WriteByte(c.p.Delimiter[0]) // bufio keeps the error
		}
		if v == nil {
			_, _ = c.w.WriteString(c.p.Null)
			continue
		}
		c.field(v, isNumber(c.columns[i].TypeOID), c.quoted[i])
	}
	_, err := c.w.WriteString(c.lineEnd)
	return err
}

func (c *csvWriter) field(v []byte, number, quoted bool) {
	formula := c.p.EscapeFormulas && !number && startsFormula(v)
	if !quoted && !formula && len(v) > 0 && string(v) != c.p.Null && !bytes.ContainsAny(v, c.special) && !(len(c.columns) == 1 && string(v) == `\.`) {
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
