package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// An exportRequest says which rows go into a file, and how. openapi.yaml
// (ExportRequest) has the words for each field.
type exportRequest struct {
	SQL            string   `json:"sql"`
	Relation       uint32   `json:"relation"`
	Filter         []string `json:"filter"`
	Order          []string `json:"order"`
	Keys           []string `json:"keys"`
	Columns        []int    `json:"columns"`
	Limit          int64    `json:"limit"`
	Format         string   `json:"format"`
	ID             string   `json:"id"`
	FileName       string   `json:"fileName"`
	Compression    string   `json:"compression"`
	TimeoutSeconds float64  `json:"timeoutSeconds"`

	// CSV.
	Header         *bool  `json:"header"` // and of rows as arrays
	Delimiter      string `json:"delimiter"`
	Quote          string `json:"quote"`
	Null           string `json:"null"`
	LineEnd        string `json:"lineEnd"`
	BOM            bool   `json:"bom"`
	EscapeFormulas bool   `json:"escapeFormulas"`

	// JSON and NDJSON.
	Shape string `json:"shape"`

	// SQL.
	Target           string `json:"target"`
	OnConflict       string `json:"onConflict"`
	RowsPerStatement int    `json:"rowsPerStatement"`
	ColumnNames      *bool  `json:"columnNames"`
	CreateTable      bool   `json:"createTable"`

	// Parquet.
	ParquetCompression string `json:"parquetCompression"`

	// Put-back.
	Parents  bool `json:"parents"`
	Children bool `json:"children"`
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

// ofFormat are the options that only some formats have. One that is given for
// another is refused: it would be lost without a word.
var ofFormat = []struct {
	option  string
	formats []string
	given   func(*exportRequest) bool
}{
	{"header", []string{"csv", "json", "ndjson"}, func(r *exportRequest) bool { return r.Header != nil }},
	{"delimiter", []string{"csv"}, func(r *exportRequest) bool { return r.Delimiter != "" }},
	{"quote", []string{"csv"}, func(r *exportRequest) bool { return r.Quote != "" }},
	{"null", []string{"csv"}, func(r *exportRequest) bool { return r.Null != "" }},
	{"lineEnd", []string{"csv"}, func(r *exportRequest) bool { return r.LineEnd != "" }},
	{"bom", []string{"csv"}, func(r *exportRequest) bool { return r.BOM }},
	{"escapeFormulas", []string{"csv"}, func(r *exportRequest) bool { return r.EscapeFormulas }},
	{"shape", []string{"json", "ndjson"}, func(r *exportRequest) bool { return r.Shape != "" }},
	{"target", []string{"sql"}, func(r *exportRequest) bool { return r.Target != "" }},
	{"onConflict", []string{"sql"}, func(r *exportRequest) bool { return r.OnConflict != "" }},
	{"rowsPerStatement", []string{"sql"}, func(r *exportRequest) bool { return r.RowsPerStatement != 0 }},
	{"columnNames", []string{"sql"}, func(r *exportRequest) bool { return r.ColumnNames != nil }},
	{"createTable", []string{"sql"}, func(r *exportRequest) bool { return r.CreateTable }},
	{"parquetCompression", []string{"parquet"}, func(r *exportRequest) bool { return r.ParquetCompression != "" }},
	{"parents", []string{putBackFormat}, func(r *exportRequest) bool { return r.Parents }},
	{"children", []string{putBackFormat}, func(r *exportRequest) bool { return r.Children }},
	{"columns", []string{"csv", "json", "ndjson", "sql", "parquet"}, func(r *exportRequest) bool { return len(r.Columns) > 0 }},
	{"limit", []string{"csv", "json", "ndjson", "sql", "parquet"}, func(r *exportRequest) bool { return r.Limit != 0 }},
	{"compression", []string{"csv", "json", "ndjson", "sql", putBackFormat}, func(r *exportRequest) bool { return r.compressed() }},
}

// check refuses what cannot be meant and fills in what was left out.
func (r *exportRequest) check() error {
	switch _, known := exportFormats[r.Format]; {
	case !known:
		return badRequest("format must be csv, json, ndjson, sql, parquet or put-back")
	case (r.SQL == "") == (r.Relation == 0):
		return badRequest("either sql or relation must be given")
	case len(r.SQL) > maxStatement:
		return problem(http.StatusRequestEntityTooLarge, "too-large", "the statement is longer than 4 MiB")
	case r.SQL != "" && (len(r.Filter) > 0 || len(r.Order) > 0):
		return badRequest("filter and order are for a relation").withHint("write them into the statement, or leave them out")
	case r.ID != "" && !queryIDForm.MatchString(r.ID):
		return badRequest("the id may have 1 to 64 letters, digits, - and _")
	case len(r.FileName) > 200:
		return badRequest("fileName is longer than 200 bytes")
	}
	for _, o := range ofFormat {
		if o.given(r) && !slices.Contains(o.formats, r.Format) {
			p := badRequest(o.option + " is for the format " + strings.Join(o.formats, ", ") + ", not for " + r.Format)
			if o.option == "compression" {
				return p.withHint("a Parquet file is compressed inside: give parquetCompression")
			}
			return p.withHint("leave it out, or choose another format")
		}
	}
	for _, o := range []struct {
		option string
		value  *string
		values []string // the first is what it is when nothing is said
	}{
		{"compression", &r.Compression, []string{"none", "gzip", "zstd"}},
		{"quote", &r.Quote, []string{"needed", "text", "all"}},
		{"lineEnd", &r.LineEnd, []string{"lf", "crlf"}},
		{"shape", &r.Shape, []string{"objects", "arrays"}},
		{"onConflict", &r.OnConflict, []string{"error", "nothing"}},
		{"parquetCompression", &r.ParquetCompression, []string{"zstd", "snappy", "gzip", "none"}},
	} {
		if *o.value == "" {
			*o.value = o.values[0]
		} else if !slices.Contains(o.values, *o.value) {
			return badRequest(o.option + " must be one of " + strings.Join(o.values, ", "))
		}
	}
	switch {
	case r.Header != nil && r.Format != "csv" && r.Shape != "arrays":
		return badRequest("objects name their columns in every row: header is for the shape arrays").withHint("leave header out, or set shape to arrays")
	case r.Limit < 0:
		return badRequest("limit must be 1 or more").withHint("leave it out for all rows")
	case r.RowsPerStatement < 0 || r.RowsPerStatement > maxInsertRows:
		return badRequest("rowsPerStatement must be 1 to " + strconv.Itoa(maxInsertRows))
	case len(r.Columns) > maxExportColumns:
		return badRequest("more than " + strconv.Itoa(maxExportColumns) + " columns")
	}
	if r.RowsPerStatement == 0 {
		r.RowsPerStatement = insertRows
	}
	seen := make(map[int]bool, len(r.Columns))
	for _, n := range r.Columns {
		if n < 1 || seen[n] {
			return badRequest("columns are numbers from 1, each once")
		}
		seen[n] = true
	}
	if err := r.checkCSV(); err != nil {
		return err
	}
	return r.checkRows()
}

// maxExportColumns is more than a table (1600) or a result (1664) can have.
const maxExportColumns = 2000

func (r *exportRequest) checkCSV() error {
	if r.Delimiter == "" {
		r.Delimiter = ","
	}
	// One byte, as COPY takes it, and none that values are made of.
	if d := r.Delimiter; len(d) != 1 || d[0] >= 0x80 || strings.ContainsAny(d, "\x00\r\n\"\\.+-'_") || isWord(d[0]) {
		return badRequest("delimiter must be one ASCII character that is no letter, digit, quote, backslash, dot, plus, minus or line break").
			withHint("a comma, semicolon, tab or bar")
	}
	if strings.ContainsAny(r.Null, "\x00\"\r\n"+r.Delimiter) || len(r.Null) > 20 {
		return badRequest("null must be 20 bytes at most and hold no delimiter, quote or line break")
	}
	return nil
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func (r *exportRequest) header() bool      { return r.Header == nil || *r.Header }
func (r *exportRequest) columnNames() bool { return r.ColumnNames == nil || *r.ColumnNames }
func (r *exportRequest) compressed() bool  { return r.Compression != "" && r.Compression != "none" }
