package web

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

// parquetWriter writes an Apache Parquet file, row group by row group, so that
// memory stays flat however long the result is.
//
// Values of types that Parquet has come in PostgreSQL's binary format and keep
// their type; numeric(p,s) of up to 18 digits is a decimal, everything else
// (numeric without a scale among it) is PostgreSQL's text, so that nothing loses
// precision. The ends of time (infinity) are the largest and smallest value, as
// PostgreSQL itself stores them. A file that breaks off has no footer: readers
// refuse it.
type parquetWriter struct {
	w       *parquet.GenericWriter[any]
	schema  *parquet.Schema
	columns []parquetColumn
	rows    []parquet.Row
	bytes   int // in the open row group, about
}

// A row group holds at most so many rows, and bytes or a row more; handOver is
// how many rows are handed over at once, fewer when they are large.
const (
	groupRows  = 128 << 10
	groupBytes = 64 << 20
	handOver   = 256
)

// A parquetColumn knows how a column's values are told to Parquet.
type parquetColumn struct {
	name   string
	node   parquet.Node
	binary bool // the value comes in PostgreSQL's binary format
	value  func(v []byte) (parquet.Value, error)
}

// parquetCodecs are the compressions within a Parquet file.
var parquetCodecs = map[string]compress.Codec{
	"zstd": &parquet.Zstd, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "none": &parquet.Uncompressed,
}

func newParquetWriter(w *bufio.Writer, f *exportFile, columns []resultColumn) *parquetWriter {
	p := &parquetWriter{}
	root := orderedGroup{Group: parquet.Group{}}
	for i, name := range distinctNames(columns) {
		c := columns[i]
		col := parquetColumnOf(c)
		col.name, col.node = name, parquet.Optional(col.node)
		p.columns = append(p.columns, col)
		root.Group[name] = col.node
		root.fields = append(root.fields, orderedField{col.node, name})
	}
	p.schema = parquet.NewSchema("result", root)
	p.w = parquet.NewGenericWriter[any](w, p.schema,
		parquet.Compression(parquetCodecs[f.ParquetCompression]), parquet.CreatedBy("snapview", "", ""), parquet.MaxRowsPerRowGroup(groupRows))
	return p
}

func (p *parquetWriter) begin() error { return nil }

// formats asks for the binary format where a column wants it.
func (p *parquetWriter) formats() []int16 {
	formats := make([]int16, len(p.columns))
	for i, c := range p.columns {
		if c.binary {
			formats[i] = 1
		}
	}
	return formats
}

func (p *parquetWriter) row(values [][]byte) error {
	row := make(parquet.Row, len(values))
	for i, v := range values {
		if v == nil {
			row[i] = parquet.NullValue().Level(0, 0, i)
			continue
		}
		value, err := p.columns[i].value(v)
		if err != nil {
			return problem(http.StatusUnprocessableEntity, "sql-error",
				fmt.Sprintf("column %s: %v", p.columns[i].name, err)).withHint("cast the column to text in the query")
		}
		row[i] = value.Level(0, 1, i)
		p.bytes += len(v)
	}
	p.rows = append(p.rows, row)
	if full := p.bytes >= groupBytes; full || len(p.rows) == handOver {
		return p.flush(full)
	}
	return nil
}

func (p *parquetWriter) flush(group bool) error {
	if _, err := p.w.WriteRows(p.rows); err != nil {
		return err
	}
	p.rows = p.rows[:0]
	if !group {
		return nil
	}
	p.bytes = 0
	return p.w.Flush()
}

func (p *parquetWriter) end() error {
	if err := p.flush(false); err != nil {
		return err
	}
	return p.w.Close()
}

// orderedGroup is a group whose fields keep the order of the query's columns.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

func (g orderedGroup) Fields() []parquet.Field { return g.fields }

type orderedField struct {
	parquet.Node
	name string
}

func (f orderedField) Name() string { return f.name }

func (f orderedField) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(f.name))
}

// Microseconds and days from 1970, Parquet's epoch, to 2000, PostgreSQL's
// (src/include/datatype/timestamp.h).
const (
	epochMicros = 946_684_800 * 1_000_000
	epochDays   = 10_957
)

// Object identifiers of types that only Parquet tells apart
// (src/include/catalog/pg_type.dat).
const (
	oidDate        = 1082
	oidTimestamp   = 1114
	oidTimestampTZ = 1184
	oidUUID        = 2950
)

func parquetColumnOf(c resultColumn) parquetColumn {
	be := binary.BigEndian
	fixed := func(node parquet.Node, size int, value func(v []byte) (parquet.Value, error)) parquetColumn {
		return parquetColumn{node: node, binary: true, value: func(v []byte) (parquet.Value, error) {
			if len(v) != size {
				return parquet.Value{}, fmt.Errorf("a value of %d bytes, %d expected", len(v), size)
			}
			return value(v)
		}}
	}
	always := func(value func(v []byte) parquet.Value) func([]byte) (parquet.Value, error) {
		return func(v []byte) (parquet.Value, error) { return value(v), nil }
	}
	switch c.TypeOID {
	case oidBool:
		return fixed(parquet.Leaf(parquet.BooleanType), 1, always(func(v []byte) parquet.Value { return parquet.BooleanValue(v[0] != 0) }))
	case oidInt2:
		return fixed(parquet.Int(16), 2, always(func(v []byte) parquet.Value { return parquet.Int32Value(int32(int16(be.Uint16(v)))) }))
	case oidInt4:
		return fixed(parquet.Int(32), 4, always(func(v []byte) parquet.Value { return parquet.Int32Value(int32(be.Uint32(v))) }))
	case oidInt8:
		return fixed(parquet.Int(64), 8, always(func(v []byte) parquet.Value { return parquet.Int64Value(int64(be.Uint64(v))) }))
	case oidOID:
		return fixed(parquet.Uint(32), 4, always(func(v []byte) parquet.Value { return parquet.Int32Value(int32(be.Uint32(v))) }))
	case oidFloat4:
		return fixed(parquet.Leaf(parquet.FloatType), 4, always(func(v []byte) parquet.Value { return parquet.FloatValue(math.Float32frombits(be.Uint32(v))) }))
	case oidFloat8:
		return fixed(parquet.Leaf(parquet.DoubleType), 8, always(func(v []byte) parquet.Value { return parquet.DoubleValue(math.Float64frombits(be.Uint64(v))) }))
	case oidDate:
		return fixed(parquet.Date(), 4, func(v []byte) (parquet.Value, error) {
			days, err := sinceEpoch(int64(int32(be.Uint32(v))), epochDays, math.MinInt32, math.MaxInt32)
			return parquet.Int32Value(int32(days)), err
		})
	case oidTimestamp, oidTimestampTZ:
		return fixed(parquet.TimestampAdjusted(parquet.Microsecond, c.TypeOID == oidTimestampTZ), 8, func(v []byte) (parquet.Value, error) {
			micros, err := sinceEpoch(int64(be.Uint64(v)), epochMicros, math.MinInt64, math.MaxInt64)
			return parquet.Int64Value(micros), err
		})
	case oidUUID:
		return fixed(parquet.UUID(), 16, always(func(v []byte) parquet.Value { return parquet.FixedLenByteArrayValue(clone(v)) }))
	case oidBytea:
		return parquetColumn{node: parquet.Leaf(parquet.ByteArrayType), binary: true, value: always(func(v []byte) parquet.Value { return parquet.ByteArrayValue(clone(v)) })}
	case oidJSON, oidJSONB:
		return parquetColumn{node: parquet.JSON(), value: always(func(v []byte) parquet.Value { return parquet.ByteArrayValue(clone(v)) })}
	case oidNumeric:
		if precision, scale, ok := numericType(c.modifier); ok {
			return decimalColumn(precision, scale)
		}
	}
	return parquetColumn{node: parquet.String(), value: always(func(v []byte) parquet.Value { return parquet.ByteArrayValue(clone(v)) })}
}

func decimalColumn(precision, scale int) parquetColumn {
	const maxInt32Decimal = 9 // digits that an int32 surely holds
	if precision <= maxInt32Decimal {
		return parquetColumn{node: parquet.Decimal(scale, precision, parquet.Int32Type), value: func(v []byte) (parquet.Value, error) {
			n, err := unscaled(string(v), scale)
			return parquet.Int32Value(int32(n)), err
		}}
	}
	return parquetColumn{node: parquet.Decimal(scale, precision, parquet.Int64Type), value: func(v []byte) (parquet.Value, error) {
		n, err := unscaled(string(v), scale)
		return parquet.Int64Value(n), err
	}}
}

// clone copies a value out of the connection's buffer.
func clone(v []byte) []byte { return append(make([]byte, 0, len(v)), v...) }

// sinceEpoch moves a time from PostgreSQL's epoch to Parquet's; the ends of the
// range are infinity and stay.
func sinceEpoch(t, epoch, least, most int64) (int64, error) {
	switch {
	case t == least, t == most:
		return t, nil
	case t > most-epoch:
		return 0, fmt.Errorf("a time too far in the future for Parquet")
	}
	return t + epoch, nil
}

// maxDecimal is how many digits an int64 surely holds.
const maxDecimal = 18

// numericType takes the modifier of a numeric(p,s) apart
// (src/backend/utils/adt/numeric.c, make_numeric_typmod). ok is false for a
// numeric without one, and for those that a Parquet decimal of 64 bits does not
// hold.
func numericType(modifier int32) (precision, scale int, ok bool) {
	if modifier < 4 {
		return 0, 0, false
	}
	m := modifier - 4
	precision = int(m >> 16 & 0xffff)
	scale = int((m&0x7ff ^ 1024) - 1024)
	return precision, scale, precision <= maxDecimal && scale >= 0 && scale <= precision
}

// unscaled is a decimal as an integer, in units of its last digit.
func unscaled(text string, scale int) (int64, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(fraction) > scale {
		return 0, fmt.Errorf("%s has more than %d digits after the point", text, scale)
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", scale-len(fraction)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is no decimal", text) // NaN
	}
	return n, nil
}
