package msgpack_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	library "github.com/vmihailenco/msgpack/v5"

	"github.com/snapview/snapview/snapshot/kloset/msgpack"
)

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := library.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Values as the library writes them read back the same.
func TestReader_AsTheLibraryWrites(t *testing.T) {
	for _, v := range []int64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64, -1, -32, -33, -128, -129, math.MinInt32, math.MinInt64} {
		r := msgpack.NewReader(encode(t, v))
		if got := r.Int(); got != v || r.End() != nil {
			t.Errorf("Int %d: %d, %v", v, got, r.End())
		}
		r = msgpack.NewReader(encode(t, v))
		if got := r.Uint(); v >= 0 && (got != uint64(v) || r.End() != nil) || v < 0 && r.Err() == nil {
			t.Errorf("Uint %d: %d, %v", v, got, r.End())
		}
	}
	if r := msgpack.NewReader(encode(t, uint64(math.MaxUint64))); r.Uint() != math.MaxUint64 || r.End() != nil {
		t.Error(r.End())
	}
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536} {
		s := string(bytes.Repeat([]byte("x"), n))
		if r := msgpack.NewReader(encode(t, s)); r.String() != s || r.End() != nil {
			t.Errorf("a string of %d bytes: %v", n, r.End())
		}
		if r := msgpack.NewReader(encode(t, []byte(s))); string(r.Bytes()) != s || r.End() != nil {
			t.Errorf("%d bytes: %v", n, r.End())
		}
		if n > 256 {
			continue
		}
		r := msgpack.NewReader(encode(t, make([]int, n)))
		if got := r.Array(); got != n || r.Err() != nil {
			t.Errorf("an array of %d: %d, %v", n, got, r.Err())
		}
	}
	for _, at := range []time.Time{time.Unix(1_795_000_000, 0), time.Unix(1_795_000_000, 123456789), time.Unix(1<<35, 5), time.Unix(-5, 7)} {
		if r := msgpack.NewReader(encode(t, at)); !r.Time().Equal(at) || r.End() != nil {
			t.Errorf("%v: %v", at, r.End())
		}
	}
}

// everything has all codes that there are.
var everything = map[string]any{
	"nil": nil, "yes": true, "no": false, "small": 5, "negative": -5, "u8": uint8(200), "u64": uint64(math.MaxUint64), "i16": int16(-3000),
	"f32": float32(1.5), "f64": 1.5, "s": "text", "b": []byte("bytes"), "long": string(make([]byte, 300)), "time": time.Unix(5, 5),
	"list": []any{1, "x", []any{[]any{}}}, "map": map[string]any{"a": map[string]int{"b": 1}}, "many": make([]string, 70000),
}

func TestReader_Skip(t *testing.T) {
	b := encode(t, everything)
	r := msgpack.NewReader(b)
	r.Skip()
	if err := r.End(); err != nil {
		t.Error(err)
	}
	seen := 0
	r = msgpack.NewReader(b)
	r.Fields(func(string) { seen++; r.Skip() })
	if err := r.End(); err != nil || seen != len(everything) {
		t.Errorf("%d fields, %v", seen, err)
	}
	for n := range len(b) {
		if n > 2000 && n%97 != 0 {
			continue
		}
		r := msgpack.NewReader(b[:n])
		if r.Skip(); !errors.Is(r.Err(), io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", n, r.Err())
		}
	}
}

// Nothing is allocated, and no stack used, for what is not there.
func TestReader_Hostile(t *testing.T) {
	deep := bytes.Repeat([]byte{0x91}, 8<<20)
	r := msgpack.NewReader(deep)
	if r.Skip(); !errors.Is(r.Err(), io.ErrUnexpectedEOF) {
		t.Error(r.Err())
	}
	for _, b := range [][]byte{
		{0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdf, 0xff, 0xff, 0xff, 0xff, 1}, {0xc6, 0xff, 0xff, 0xff, 0xff}, {0xc9, 0xff, 0xff, 0xff, 0xff, 0},
		{0xc1}, {}, {0x81, 0xa1}, {0xd9}, {0xc7, 0x0c, 0xff, 0, 0},
	} {
		for name, read := range map[string]func(*msgpack.Reader){
			"Skip": (*msgpack.Reader).Skip, "Array": func(r *msgpack.Reader) { r.Array() }, "Map": func(r *msgpack.Reader) { r.Map() },
			"Bytes": func(r *msgpack.Reader) { r.Bytes() }, "Time": func(r *msgpack.Reader) { r.Time() }, "Int": func(r *msgpack.Reader) { r.Int() },
		} {
			r := msgpack.NewReader(b)
			if read(r); r.Err() == nil {
				t.Errorf("%s of %x is no error", name, b)
			}
		}
	}
	if r := msgpack.NewReader([]byte{1, 2}); r.Int() != 1 || !errors.Is(r.End(), msgpack.ErrTrailing) {
		t.Error(r.End())
	}
}

// What the library takes for one value, Skip passes over to the same byte.
func FuzzSkip(f *testing.F) {
	few := map[string]any{}
	for name, v := range everything {
		if name != "many" {
			few[name] = v
		}
	}
	f.Add(encode(f, few))
	f.Add([]byte{0x91, 0x91, 0xc0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := msgpack.NewReader(b)
		r.Skip()
		lib := bytes.NewReader(b)
		err := library.NewDecoder(lib).Skip()
		if err != nil || r.Err() != nil {
			return // they need not refuse the same
		}
		if len(r.Rest()) != lib.Len() {
			t.Errorf("%x: %d bytes left, the library leaves %d", b, len(r.Rest()), lib.Len())
		}
	})
}
