package web_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/snapview/snapview/web/webtest"
)

// exported is the body of an export of a query, or of whatever the options say.
func (e *env) exported(sql, format string, options map[string]any) string {
	e.t.Helper()
	body := map[string]any{"format": format}
	if sql != "" {
		body["sql"] = sql
	}
	maps.Copy(body, options)
	return string(e.call("POST", shop+"/export", body, 200, nil).body)
}

// Rows with everything that CSV has to quote.
const awkward = `select * from (values
	(1, 'a,b;c|d'||chr(9)||'e', true, 1.50, 'NULL'), (2, 'q"q', false, -1, '\N'), (3, E'l\nl\r\nl', null, null, ''),
	(4, '', true, 'NaN', null), (5, ' x ', true, 0, '\.'), (6, 'é漢', null, 12345678901234567890, '#')) v(n, "t,;|", b, "N""", s)`

// TestExport_CSVIsReadBackByCOPY gives every option's file to COPY FROM, told
// of the same option, and compares the rows.
func TestExport_CSVIsReadBackByCOPY(t *testing.T) {
	e := newEnv(t)
	conn, err := pgx.Connect(t.Context(), cluster(t).SuperDSN(webtest.DemoDatabase))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows := func(from string) string {
		t.Helper()
		var sum string
		if err := conn.QueryRow(t.Context(), "select count(*) || ' ' || md5(string_agg(x::text, '|' order by n)) from ("+from+") x").Scan(&sum); err != nil {
			t.Fatal(err)
		}
		return sum
	}
	want := rows(awkward)
	if _, err := conn.Exec(t.Context(), "create temp table back as "+awkward+" limit 0"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options map[string]any
		copy    string
	}{
		{map[string]any{}, "header"},
		{map[string]any{"header": false}, ""},
		{map[string]any{"delimiter": ";"}, "header, delimiter ';'"},
		{map[string]any{"delimiter": "\t"}, "header, delimiter E'\\t'"},
		{map[string]any{"delimiter": "|"}, "header, delimiter '|'"},
		{map[string]any{"delimiter": "~"}, "header, delimiter '~'"},
		{map[string]any{"delimiter": "\x01"}, "header, delimiter E'\\x01'"},
		{map[string]any{"delimiter": " "}, "header, delimiter ' '"},
		{map[string]any{"null": "NULL"}, "header, null 'NULL'"},
		{map[string]any{"null": `\N`}, `header, null '\N'`},
		{map[string]any{"quote": "all"}, "header"},
		{map[string]any{"quote": "all", "null": "NULL"}, "header, null 'NULL'"},
		{map[string]any{"quote": "text"}, "header"},
		{map[string]any{"lineEnd": "crlf"}, "header"},
		{map[string]any{"lineEnd": "crlf", "header": false, "delimiter": ";", "quote": "text", "null": "#"}, "delimiter ';', null '#'"},
		{map[string]any{"limit": 10}, "header"},
	} {
		file := e.exported(awkward+" order by n", "csv", c.options)
		options := strings.TrimSuffix("format csv, "+c.copy, ", ")
		if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader(file), "copy back from stdin ("+options+")"); err != nil {
			t.Errorf("%v: %v in\n%s", c.options, err, file)
			continue
		}
		if have := rows("table back"); have != want {
			t.Errorf("%v: read back as %s, want %s:\n%s", c.options, have, want, file)
		}
		if _, err := conn.Exec(t.Context(), "truncate back"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExport_OptionsByteForByte(t *testing.T) {
	e := newEnv(t)
	employees := map[string]any{"relation": e.oid("shop", "employees"), "order": []string{"1.desc"}}
	with := func(more map[string]any) map[string]any {
		all := maps.Clone(employees)
		maps.Copy(all, more)
		return all
	}
	sql := `select 1 as n, 'x' as t, true as b, null as z, '' as e union all select 2, 'y', false, null, 'q"' order by 1`
	const set = "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n"
	for _, c := range []struct {
		sql, format string
		options     map[string]any
		want        string
	}{
		{sql, "csv", map[string]any{"quote": "all"}, "\"n\",\"t\",\"b\",\"z\",\"e\"\n\"1\",\"x\",\"t\",,\"\"\n\"2\",\"y\",\"f\",,\"q\"\"\"\n"},
		{sql, "csv", map[string]any{"quote": "text", "lineEnd": "crlf", "null": "-"}, "\"n\",\"t\",\"b\",\"z\",\"e\"\r\n1,\"x\",t,-,\"\"\r\n2,\"y\",f,-,\"q\"\"\"\r\n"},
		{sql, "csv", map[string]any{"columns": []int{3, 1}, "limit": 1}, "b,n\nt,1\n"},
		{sql, "json", map[string]any{"shape": "arrays"}, "[\n[\"n\",\"t\",\"b\",\"z\",\"e\"],\n[1,\"x\",true,null,\"\"],\n[2,\"y\",false,null,\"q\\\"\"]\n]\n"},
		{sql, "json", map[string]any{"shape": "arrays", "header": false, "limit": 1}, "[\n[1,\"x\",true,null,\"\"]\n]\n"},
		{sql, "ndjson", map[string]any{"shape": "arrays", "columns": []int{2}}, "[\"t\"]\n[\"x\"]\n[\"y\"]\n"},
		{sql, "ndjson", map[string]any{"shape": "objects", "columns": []int{2, 1}, "limit": 1}, "{\"t\":\"x\",\"n\":1}\n"},
		{sql, "json", map[string]any{"limit": 1, "columns": []int{1}}, "[\n{\"n\":1}\n]\n"},
		{"", "csv", with(map[string]any{"limit": 2}), "id,name,boss\n4,Leaf,2\n3,Right,1\n"},
		{"", "csv", with(map[string]any{"columns": []int{2, 1}, "filter": []string{"3.notnull"}, "limit": 1}), "name,id\nLeaf,4\n"},
		{"", "sql", with(map[string]any{"rowsPerStatement": 1, "limit": 2, "columnNames": false}), set +
			"INSERT INTO \"shop\".\"employees\" VALUES\n  (4, 'Leaf', 2);\nINSERT INTO \"shop\".\"employees\" VALUES\n  (3, 'Right', 1);\n"},
		{"", "sql", with(map[string]any{"target": "there.people", "limit": 1, "columns": []int{2}, "onConflict": "nothing"}), set +
			"INSERT INTO \"there\".\"people\" (\"name\") VALUES\n  ('Leaf')\nON CONFLICT DO NOTHING;\n"},
		{"", "sql", with(map[string]any{"createTable": true, "target": "people", "limit": 1}), set +
			"CREATE TABLE \"people\" (\n  \"id\" integer NOT NULL,\n  \"name\" text NOT NULL,\n  \"boss\" integer,\n  PRIMARY KEY (\"id\")\n);\nINSERT INTO \"people\" (\"id\", \"name\", \"boss\") VALUES\n  (4, 'Leaf', 2);\n"},
		{"select 1 as a, '{1,2}'::int[] as \"b c\"", "sql", map[string]any{"createTable": true, "target": "s.t", "columnNames": false, "onConflict": "nothing"}, set +
			"CREATE TABLE IF NOT EXISTS \"s\".\"t\" (\n  \"a\" integer,\n  \"b c\" integer[]\n);\nINSERT INTO \"s\".\"t\" VALUES\n  (1, '{1,2}')\nON CONFLICT DO NOTHING;\n"},
	} {
		if have := e.exported(c.sql, c.format, c.options); have != c.want {
			t.Errorf("%s %v:\n%q\nwant\n%q", c.format, c.options, have, c.want)
		}
		// How it begins is made by the same code.
		body := map[string]any{"format": c.format}
		if c.sql != "" {
			body["sql"] = c.sql
		}
		maps.Copy(body, c.options)
		var preview struct{ Text string }
		e.call("POST", shop+"/exports/preview", body, 200, &preview)
		if preview.Text != c.want {
			t.Errorf("the preview of %s %v:\n%q\nwant\n%q", c.format, c.options, preview.Text, c.want)
		}
	}
}

func TestExport_RefusesWhatCannotBeMeant(t *testing.T) {
	e := newEnv(t)
	employees, lines := e.oid("shop", "employees"), e.oid("shop", "order_lines")
	for _, body := range []map[string]any{
		{"format": "csv"}, {"sql": "select 1"}, {"sql": "select 1", "format": "xml"}, {"sql": "select 1", "relation": 5, "format": "csv"},
		{"sql": "select 1", "format": "csv", "filter": []string{"1.eq.1"}},
		{"sql": "select 1", "format": "csv", "delimiter": "x"}, {"sql": "select 1", "format": "csv", "delimiter": "\""},
		{"sql": "select 1", "format": "csv", "delimiter": "::"}, {"sql": "select 1", "format": "csv", "delimiter": "§"}, {"sql": "select 1", "format": "csv", "delimiter": "\n"},
		{"sql": "select 1", "format": "csv", "null": "a,b"}, {"sql": "select 1", "format": "csv", "null": "a|b", "delimiter": "|"}, {"sql": "select 1", "format": "csv", "null": "\""},
		{"sql": "select 1", "format": "csv", "quote": "some"}, {"sql": "select 1", "format": "csv", "lineEnd": "cr"}, {"sql": "select 1", "format": "csv", "encoding": "latin1"},
		{"sql": "select 1", "format": "json", "bom": true}, {"sql": "select 1", "format": "json", "delimiter": ","}, {"sql": "select 1", "format": "json", "header": false},
		{"sql": "select 1", "format": "ndjson", "shape": "columns"}, {"sql": "select 1", "format": "csv", "shape": "arrays"}, {"sql": "select 1", "format": "csv", "onConflict": "nothing"},
		{"sql": "select 1", "format": "sql", "target": "t", "onConflict": "update"}, {"sql": "select 1", "format": "sql", "target": "t", "header": true},
		{"sql": "select 1", "format": "sql", "target": "t", "rowsPerStatement": -1}, {"sql": "select 1", "format": "sql", "target": "t", "rowsPerStatement": 10001},
		{"sql": "select 1", "format": "parquet", "compression": "gzip"}, {"sql": "select 1", "format": "parquet", "parquetCompression": "lzo"},
		{"sql": "select 1", "format": "csv", "compression": "zip"}, {"sql": "select 1", "format": "csv", "parquetCompression": "gzip"},
		{"sql": "select 1", "format": "csv", "limit": -1}, {"sql": "select 1", "format": "csv", "columns": []int{2}}, {"sql": "select 1", "format": "csv", "columns": []int{1, 1}},
		{"sql": "select 1", "format": "csv", "columns": []int{0}}, {"relation": employees, "format": "csv", "columns": []int{9}},
		{"relation": employees, "format": "put-back", "limit": 1}, {"relation": employees, "format": "put-back", "columns": []int{1}}, {"relation": employees, "format": "csv", "parents": true},
		{"relation": employees, "format": "sql", "columnNames": false, "columns": []int{1, 2}},
		{"relation": lines, "format": "sql", "columnNames": false}, // one of its columns is generated
		{"relation": lines, "format": "sql", "columns": []int{1, 6}},
		{"sql": "select name, id, boss from shop.employees", "format": "sql", "columnNames": false},
	} {
		e.refused("POST", shop+"/export", body, 400, "bad-request")
	}
	e.refused("POST", shop+"/exports/preview", map[string]any{"relation": employees, "format": "put-back"}, 400, "bad-request")
}

func TestExport_CompressedIsTheSameFile(t *testing.T) {
	e := newEnv(t)
	sql := "select i, md5(i::text) as t from generate_series(1, 30000) i"
	for _, format := range []string{"csv", "ndjson"} {
		want := e.exported(sql, format, nil)
		for compression, c := range map[string]struct {
			ext, mediaType string
			open           func(io.Reader) (io.Reader, error)
		}{
			"gzip": {".gz", "application/gzip", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
			"zstd": {".zst", "application/zstd", func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) }},
		} {
			a := e.call("POST", shop+"/export", map[string]any{"sql": sql, "format": format, "compression": compression}, 200, nil)
			if name := "shop_query_2026-11-20." + format + c.ext; !strings.Contains(a.header.Get("Content-Disposition"), name) || a.header.Get("Content-Type") != c.mediaType || a.header.Get("Content-Encoding") != "" {
				t.Errorf("%s %s: %v", format, compression, a.header)
			}
			r, err := c.open(bytes.NewReader(a.body))
			if err != nil {
				t.Fatal(err)
			}
			if have, err := io.ReadAll(r); err != nil || string(have) != want {
				t.Errorf("%s %s: %d bytes, want %d, %v", format, compression, len(have), len(want), err)
			}
			// One that breaks off must not look whole.
			a = e.call("POST", shop+"/export", map[string]any{"sql": "select 1/(20000-i), md5(i::text) from generate_series(1, 30000) i", "format": format, "compression": compression}, 200, nil)
			if r, err = c.open(bytes.NewReader(a.body)); err != nil {
				t.Fatal(err)
			}
			have, err := io.ReadAll(r)
			if err == nil || !strings.Contains(string(have[max(0, len(have)-200):]), "snapview: export failed after 19999 rows") || a.trailer.Get("X-Snapview-Error") == "" {
				t.Errorf("%s %s that broke off: error %v, %.300q", format, compression, err, have[max(0, len(have)-200):])
			}
		}
	}
}

func TestExport_ParquetCodecsAndColumns(t *testing.T) {
	e := newEnv(t)
	for _, codec := range []string{"zstd", "snappy", "gzip", "none"} {
		file := []byte(e.exported("select i as n, 'same' as t, true as b from generate_series(1, 1000) i", "parquet", map[string]any{"parquetCompression": codec, "columns": []int{3, 1}, "limit": 700}))
		columns, rows := parquetRows(t, file)
		if fmt.Sprint(columns) != "[b BOOLEAN n INT(32,true)]" || len(rows) != 700 || fmt.Sprint(rows[699]) != "[true 700]" {
			t.Errorf("%s: %v, %d rows", codec, columns, len(rows))
		}
		f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"none": "UNCOMPRESSED"}[codec]
		if want == "" {
			want = strings.ToUpper(codec)
		}
		if have := f.Metadata().RowGroups[0].Columns[1].MetaData.Codec.String(); have != want {
			t.Errorf("%s: the file says %s", codec, have)
		}
	}
	var preview struct {
		Text, FileName string
		Columns        []struct {
			Number     int
			Name, Type string
		}
	}
	e.call("POST", shop+"/exports/preview", map[string]any{"sql": "select 1 as n, now() as t", "format": "parquet", "columns": []int{2}, "fileName": "mine"}, 200, &preview)
	if !strings.Contains(preview.Text, "optional int64 t (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS))") || preview.FileName != "mine.parquet" ||
		fmt.Sprint(preview.Columns) != "[{1 n integer} {2 t timestamp with time zone}]" {
		t.Errorf("preview %+v", preview)
	}
}

// TestExport_PreviewIsShort: five rows of many, and of long ones a part.
func TestExport_PreviewIsShort(t *testing.T) {
	e := newEnv(t)
	var p struct {
		Text, FileName string
		Rows           int
		Cut            bool
	}
	e.call("POST", shop+"/exports/preview", map[string]any{"relation": e.oid("shop", "log"), "format": "csv", "compression": "zstd", "limit": 1000}, 200, &p)
	if p.Rows != 5 || strings.Count(p.Text, "\n") != 6 || p.Cut || p.FileName != "shop_shop_log_2026-11-20.csv.zst" {
		t.Errorf("%+v", p)
	}
	e.call("POST", shop+"/exports/preview", map[string]any{"sql": "select repeat('ä', 100000), generate_series(1, 10000000)", "format": "csv"}, 200, &p)
	if p.Rows != 5 || len(p.Text) < 32000 || len(p.Text) > 33000 || !p.Cut {
		t.Errorf("%d rows, %d bytes, cut %v", p.Rows, len(p.Text), p.Cut)
	}
	e.refused("POST", shop+"/exports/preview", map[string]any{"sql": "select nope", "format": "csv"}, 422, "sql-error")
	e.refused("POST", shop+"/exports/preview", map[string]any{"sql": "select 1/0", "format": "csv"}, 422, "sql-error")
}
