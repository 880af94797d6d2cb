package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// parquetRows reads a file back: the types of its columns, in order, and its
// values as Parquet stores them.
func parquetRows(t *testing.T, file []byte) (columns []string, rows [][]string) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range f.Schema().Fields() {
		columns = append(columns, field.Name()+" "+field.Type().String())
	}
	r := parquet.NewReader(f)
	defer r.Close()
	buf := make([]parquet.Row, 100)
	for {
		n, err := r.ReadRows(buf)
		for _, row := range buf[:n] {
			var values []string
			for _, v := range row {
				values = append(values, v.String())
			}
			rows = append(rows, values)
		}
		if errors.Is(err, io.EOF) {
			return columns, rows
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestExport_ParquetKeepsTypesAndOrder(t *testing.T) {
	e := newEnv(t)
	a := e.call("POST", shop+"/export", map[string]any{"format": "parquet", "sql": `select
		true as z, 7::int2 as y, -8::int4 as x, 9007199254740993::int8 as w, 1.5::float4 as v, 'NaN'::float8 as u,
		date '2026-11-20' as t, timestamp '1999-12-31 23:59:59.5' as s, timestamptz '2000-01-01 00:00:00+00' as r,
		'infinity'::timestamptz as q, (-12.30)::numeric(10,2) as p, 3.14159265358979323846264338327950288::numeric as o,
		'{"a": 1}'::jsonb as n, '\x00ff'::bytea as m, '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid as l,
		array[1,null] as k, null::int8 as j, 'one' as i, 'two' as i`}, 200, nil)
	columns, rows := parquetRows(t, a.body)
	want := []string{
		"z BOOLEAN", "y INT(16,true)", "x INT(32,true)", "w INT(64,true)", "v FLOAT", "u DOUBLE", "t DATE",
		"s TIMESTAMP(isAdjustedToUTC=false,unit=MICROS)", "r TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)", "q TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)",
		"p DECIMAL(10,2)", "o STRING", "n JSON", "m BYTE_ARRAY", "l UUID", "k STRING", "j INT(64,true)", "i STRING", "i_2 STRING",
	}
	if got := strings.Join(columns, "; "); got != strings.Join(want, "; ") {
		t.Errorf("columns\n%s\nwant\n%s", got, strings.Join(want, "; "))
	}
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	values := []string{
		"true", "7", "-8", "9007199254740993", "1.5", "NaN", "20777", "946684799500000", "946684800000000",
		"9223372036854775807", "-1230", "3.14159265358979323846264338327950288", `{"a": 1}`, "\x00\xff", "",
		"{1,NULL}", "<null>", "one", "two",
	}
	for i, v := range values {
		if i != 14 && rows[0][i] != v {
			t.Errorf("%s: %q, want %q", columns[i], rows[0][i], v)
		}
	}
	if a.header.Get("Content-Type") != "application/vnd.apache.parquet" || !strings.Contains(a.header.Get("Content-Disposition"), ".parquet") {
		t.Errorf("headers %v", a.header)
	}
}

func TestExport_ParquetOfATable(t *testing.T) {
	e := newEnv(t)
	var rel struct{ OID uint32 }
	e.call("GET", shop+"/schemas/shop/relations/customers", nil, 200, &rel)
	file := e.call("POST", shop+"/export", map[string]any{"format": "parquet", "relation": rel.OID}, 200, nil)
	_, rows := parquetRows(t, file.body)
	var all []json.RawMessage
	if err := json.Unmarshal(e.call("POST", shop+"/export", map[string]any{"format": "json", "relation": rel.OID}, 200, nil).body, &all); err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(all) || len(rows) == 0 {
		t.Errorf("%d rows, %d as JSON", len(rows), len(all))
	}
}

func TestExport_ParquetInRowGroups(t *testing.T) {
	e := newEnv(t)
	a := e.call("POST", shop+"/export", map[string]any{"format": "parquet", "sql": "select i, md5(i::text) from generate_series(1, 300000) i"}, 200, nil)
	f, err := parquet.OpenFile(bytes.NewReader(a.body), int64(len(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	if f.NumRows() != 300000 || len(f.RowGroups()) < 3 {
		t.Errorf("%d rows in %d groups", f.NumRows(), len(f.RowGroups()))
	}
	// Large values do not wait until there are many: 80 MiB are more than a group.
	a = e.call("POST", shop+"/export", map[string]any{"format": "parquet", "sql": "select repeat('x', 10 << 20) from generate_series(1, 8)"}, 200, nil)
	if f, err = parquet.OpenFile(bytes.NewReader(a.body), int64(len(a.body))); err != nil {
		t.Fatal(err)
	}
	if f.NumRows() != 8 || len(f.RowGroups()) != 2 {
		t.Errorf("%d rows in %d groups", f.NumRows(), len(f.RowGroups()))
	}
}

// TestExport_ParquetThatBreaksOffIsNoFile: readers must not take it for whole.
func TestExport_ParquetThatBreaksOffIsNoFile(t *testing.T) {
	e := newEnv(t)
	for sql, why := range map[string]string{
		"select 1 / (5000 - i) as n from generate_series(1, 10000) i":                                           "division by zero",
		"select (case when i = 300 then 'NaN' else '1' end)::numeric(5,2) as n from generate_series(1, 1000) i": "column n: NaN is no decimal",
	} {
		a := e.call("POST", shop+"/export", map[string]any{"format": "parquet", "sql": sql}, 200, nil)
		if !strings.Contains(a.trailer.Get("X-Snapview-Error"), why) {
			t.Errorf("%s: trailers %v", sql, a.trailer)
		}
		if f, err := parquet.OpenFile(bytes.NewReader(a.body), int64(len(a.body))); err == nil {
			t.Errorf("%s: a whole file of %d rows", sql, f.NumRows())
		}
	}
}
