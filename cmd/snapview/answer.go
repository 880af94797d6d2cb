package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// answerFormats are what query prints.
var answerFormats = []string{"table", "csv", "json", "ndjson", "sql", "parquet"}

// answerOptions are flags of query that say how the answer is written, by the
// names that the API has for them (ExportRequest). The session's server checks
// what they say: which format has which, and which values.
var answerOptions = map[string]string{
	"delimiter": "delimiter", "quote": "quote", "null": "null", "line-end": "lineEnd", "bom": "bom", "header": "header",
	"escape-formulas": "escapeFormulas", "shape": "shape", "target": "target", "on-conflict": "onConflict",
	"rows-per-statement": "rowsPerStatement", "create-table": "createTable", "parquet-compression": "parquetCompression",
	"limit": "limit", "compress": "compression",
}

func answerFlags(f *pflag.FlagSet) {
	f.String("delimiter", ",", "csv: one `CHARACTER` between values; $'\\t' is a tab")
	f.String("quote", "needed", "csv: `WHAT` has quotes: needed (what would be misread), text, or all")
	f.String("null", "", "csv: how NULL is written, as `TEXT` without quotes")
	f.String("line-end", "lf", "csv: how a line `ENDS`: lf or crlf")
	f.Bool("bom", false, "csv: begin with a byte order mark, as Excel wants")
	f.Bool("header", true, "csv, and rows as arrays: begin with the names")
	f.Bool("escape-formulas", false, "csv: put ' before text that a spreadsheet would run")
	f.String("shape", "objects", "json, ndjson: `FORM` of a row: objects or arrays")
	f.String("target", "", "sql: insert into this `TABLE`; needed if the rows are not of one table")
	f.String("on-conflict", "error", "sql: what becomes of a row whose key is there: `WHAT` is error, or nothing to leave it alone")
	f.Int("rows-per-statement", 200, "sql: rows of an INSERT, at most")
	f.Bool("create-table", false, "sql: begin with CREATE TABLE")
	f.String("parquet-compression", "zstd", "parquet: `METHOD` of the columns: zstd, snappy, gzip or none")
	f.Int64("limit", 0, "rows at most (default all)")
	f.String("compress", "none", "compress the answer by this `METHOD`: gzip, zstd or none")
}

// answerRequest is how the answer is asked for: what was said, and no more, so
// that the server's own choices hold.
func answerRequest(f *pflag.FlagSet, format string) (map[string]any, error) {
	if !slices.Contains(answerFormats, format) {
		return nil, usageError{fmt.Errorf("unknown format %q: use one of %s", format, strings.Join(answerFormats, ", "))}
	}
	request := map[string]any{"format": format}
	var err error
	f.Visit(func(flag *pflag.Flag) {
		option, ok := answerOptions[flag.Name]
		if !ok || err != nil {
			return
		}
		if format == "table" {
			err = usageError{fmt.Errorf("--%s is not for a table on the terminal: choose another --format", flag.Name)}
			return
		}
		switch flag.Value.Type() {
		case "bool":
			request[option], err = f.GetBool(flag.Name)
		case "int":
			request[option], err = f.GetInt(flag.Name)
		case "int64":
			request[option], err = f.GetInt64(flag.Name)
		default:
			request[option] = flag.Value.String()
		}
	})
	return request, err
}
