package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strconv"
)

func newRowWriter(w *bufio.Writer, p *exportFile, columns []resultColumn) rowWriter {
	switch p.Format {
	case "csv":
		return newCSVWriter(w, p, columns)
	case "sql":
		return newInsertWriter(w, p, columns)
	case "parquet":
		return newParquetWriter(w, p, columns)
	default:
		return newJSONWriter(w, p, columns)
	}
}

func isNumber(oid uint32) bool {
	switch oid {
	case oidInt2, oidInt4, oidInt8, oidOID, oidFloat4, oidFloat8, oidNumeric:
		return true
	}
	return false
}

// distinctNames are the columns' names for formats that tell them apart by these:
// the second x is x_2.
func distinctNames(columns []resultColumn) []string {
	names := make([]string, len(columns))
	used := make(map[string]bool, len(columns))
	for i, c := range columns {
		name := c.Name
		for n := 2; used[name]; n++ {
			name = c.Name + "_" + strconv.Itoa(n)
		}
		used[name] = true
		names[i] = name
	}
	return names
}

// jsonWriter writes an object or an array for each row: in an array, or one a
// line. Numbers keep all their digits; what JSON has no form for is text.
type jsonWriter struct {
	w       *bufio.Writer
	columns []resultColumn
	names   [][]byte // "name" as JSON, each once
	lines   bool
	arrays  bool
	header  bool // arrays begin with one of the names
	first   bool
	buf     []byte
}

func newJSONWriter(w *bufio.Writer, p *exportFile, columns []resultColumn) *jsonWriter {
	j := &jsonWriter{w: w, columns: columns, lines: p.Format == "ndjson", arrays: p.Shape == "arrays", first: true}
	j.header = j.arrays && p.header()
	for _, name := range distinctNames(columns) {
		j.names = append(j.names, appendString(nil, []byte(name)))
	}
	return j
}

func (j *jsonWriter) begin() error {
	if !j.lines {
		_ = j.w.WriteByte('[') // bufio keeps the error
	}
	if !j.header {
		return nil
	}
	j.open()
	for i, name := range j.names {
		if i > 0 {
			j.buf = append(j.buf, ',')
		}
		j.buf = append(j.buf, name...)
	}
	return j.close()
}

// open begins a row in the buffer; close ends and writes it.
func (j *jsonWriter) open() {
	j.buf = j.buf[:0]
	if !j.lines {
		if !j.first {
			j.buf = append(j.buf, ',')
		}
		j.buf = append(j.buf, '\n')
	}
	j.first = false
	if j.arrays {
		j.buf = append(j.buf, '[')
	} else {
		j.buf = append(j.buf, '{')
	}
}

func (j *jsonWriter) close() error {
	if j.arrays {
		j.buf = append(j.buf, ']')
	} else {
		j.buf = append(j.buf, '}')
	}
	if j.lines {
		j.buf = append(j.buf, '\n')
	}
	_, err := j.w.Write(j.buf)
	if cap(j.buf) > 8*batchBytes {
		j.buf = nil
	}
	return err
}

func (j *jsonWriter) row(values [][]byte) error {
	j.open()
	for i, v := range values {
		if i > 0 {
			j.buf = append(j.buf, ',')
		}
		if !j.arrays {
			j.buf = append(append(j.buf, j.names[i]...), ':')
		}
		j.buf = appendJSONValue(j.buf, j.columns[i].TypeOID, v)
	}
	return j.close()
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
