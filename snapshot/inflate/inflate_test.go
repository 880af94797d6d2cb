package inflate

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/spans/spanstest"
)

// samples are data of different kinds.
func samples() map[string][]byte {
	rnd := rand.New(rand.NewPCG(3, 4))
	fill := func(n int, f func(i int) byte) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = f(i)
		}
		return b
	}
	pages := make([]byte, 0, 1<<20)
	for len(pages) < 1<<20 { // like table pages: a header, free space, rows that resemble each other
		page := make([]byte, 8192)
		for at := 8192 - 100; at > 3000; at -= 90 {
			copy(page[at:], fmt.Sprintf("%08d row of a table, value %x", len(pages)/90+at, rnd.Uint64()))
		}
		pages = append(pages, page...)
	}
	periods := []byte{}
	for period := 1; period < 40; period++ {
		for n := range 30 {
			periods = append(periods, bytes.Repeat(fill(period, func(int) byte { return byte(rnd.Uint32()) }), n*n/period+2)...)
		}
	}
	far := bytes.Repeat(fill(Window, func(int) byte { return byte(rnd.Uint32()) }), 16)
	return map[string][]byte{
		"far":     far, // every match as far back as there are any
		"empty":   nil,
		"byte":    {7},
		"zeros":   make([]byte, 1<<20),
		"random":  fill(400_000, func(int) byte { return byte(rnd.Uint32()) }),
		"few":     fill(400_000, func(int) byte { return byte(rnd.IntN(5)) }),
		"skewed":  fill(400_000, func(int) byte { return byte(255 * rnd.Float64() * rnd.Float64() * rnd.Float64() * rnd.Float64()) }),
		"pages":   pages,
		"periods": periods,
	}
}

// packings are gzip files of data made in different ways.
func packings(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	made := map[string][]byte{}
	pack := func(level int, part []byte, each int) []byte {
		var out bytes.Buffer
		w, err := gzip.NewWriterLevel(&out, level)
		if err != nil {
			t.Fatal(err)
		}
		w.Name, w.Comment, w.Extra = "base.tar", "a comment", []byte("extra")
		for len(part) > 0 {
			n := min(each, len(part))
			w.Write(part[:n]) //nolint:errcheck // into memory
			part = part[n:]
			if len(part) > 0 {
				w.Flush() //nolint:errcheck // into memory
			}
		}
		w.Close() //nolint:errcheck // into memory
		return out.Bytes()
	}
	for _, level := range []int{0, 1, 6, flate.HuffmanOnly} {
		made[fmt.Sprint("level ", level)] = pack(level, data, 1<<30)
	}
	made["flushed, as pigz does"] = pack(6, data, 128<<10)
	var members []byte
	for part := data; len(part) > 0; {
		n := min(100_000, len(part))
		members = append(members, pack(1, part[:n], 1<<30)...)
		members = append(members, pack(1, nil, 1)...)
		part = part[n:]
	}
	if len(data) > 0 {
		made["many members"] = members
		made["padded with zeros"] = append(bytes.Clone(members), make([]byte, 700)...)
	}
	if program, err := exec.LookPath("gzip"); err == nil {
		for _, level := range []string{"-1", "-9"} {
			c := exec.Command(program, level, "-c")
			c.Stdin = bytes.NewReader(data)
			if made["gzip "+level], err = c.Output(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return made
}

var format = spanstest.Format{First: First, Walk: Walk, Span: Span, Errors: []error{ErrCorrupt}, Window: Window}

func TestAgainstTheData(t *testing.T) {
	for kind, want := range samples() {
		for how, packed := range packings(t, want) {
			t.Run(kind+", "+how, func(t *testing.T) { format.Reads(t, packed, want, 30, 40_000) })
		}
	}
}

// Sets of code lengths that zlib refuses, and those it takes.
func TestBuild_RefusesImpossibleCodes(t *testing.T) {
	for _, c := range []struct {
		name    string
		lengths []uint8
		ok      bool
	}{
		{"complete", []uint8{1, 2, 3, 3}, true},
		{"of two levels", []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15}, true},
		{"none", []uint8{0, 0}, true},
		{"one of one bit", []uint8{0, 1}, true},
		{"one of two bits", []uint8{0, 2}, false},
		{"three of one bit", []uint8{1, 1, 1}, false},
		{"too many", []uint8{1, 2, 2, 3}, false},
		{"too few", []uint8{1, 3, 3}, false},
	} {
		var table [distSize]uint32
		if err := build(table[:], distBits, c.lengths, distSymbols[:]); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A match that leads before its member's beginning is corrupt, be it before
// the file's beginning or in the member before.
func TestWalk_RefusesToLookBeforeAMember(t *testing.T) {
	before := samples()["random"][:20_000]
	var b bytes.Buffer
	b.WriteString("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")
	w, err := flate.NewWriterDict(&b, 9, before)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(before) //nolint:errcheck // into memory
	w.Close()       //nolint:errcheck // into memory
	alone := appendTrailer(b.Bytes(), before)
	first := packings(t, before)["level 6"]
	for name, packed := range map[string][]byte{"the file's": alone, "another member's": append(first, alone...)} {
		if _, _, err := format.Index(t, bytes.NewReader(packed)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("before %s: %v", name, err)
		}
	}
}

func TestWalk_InPieces(t *testing.T) {
	want := samples()["periods"]
	format.InPieces(t, packings(t, want)["many members"], want)
}

func TestWalk_NoticesDamage(t *testing.T) {
	want := samples()["pages"][:20_000]
	format.NoticesDamage(t, packings(t, want)["level 6"], want, 11)
}

// A file that is changed after it was indexed is noticed when it is read.
func TestSpan_NoticesChange(t *testing.T) {
	want := samples()["few"]
	format.NoticesChange(t, packings(t, want)["level 6"], want, 20011)
}

// The standard library is the judge of what is DEFLATE: what it takes, we
// take, with the same output, and what it refuses, we refuse.
func FuzzAgainstTheStandardLibrary(f *testing.F) {
	for _, data := range samples() {
		data = data[:min(len(data), 3000)]
		for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, level)
			w.Write(data) //nolint:errcheck // into memory
			w.Close()     //nolint:errcheck // into memory
			f.Add(b.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := bytes.NewReader(raw)
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(in), 1<<20))
		if len(want) == 1<<20 {
			return
		}
		used := len(raw) - in.Len() // a bytes.Reader is read byte by byte
		packed := append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), raw[:used]...)
		packed = appendTrailer(packed, want)
		got, err := format.FuzzWalk(t, packed)
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v; the standard library %d, %v", len(got), err, len(want), wantErr)
		}
	})
}

func appendTrailer(b, data []byte) []byte {
	for _, v := range []uint32{crc32.ChecksumIEEE(data), uint32(len(data))} {
		b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return b
}

// No window, restart or length may do harm.
func FuzzSpan(f *testing.F) {
	packed := packings(f, samples()["pages"][:30_000])["level 6"]
	f.Add(packed, int64(0), int64(-1), int64(8000), 4000, []byte(nil))
	f.Add(packed, int64(900), int64(500), int64(8000), 4000, make([]byte, 300))
	f.Fuzz(format.FuzzSpan)
}

func BenchmarkWalk(b *testing.B) {
	file := os.Getenv("SNAPVIEW_BENCH_GZIP") // any gzip file
	snapshottest.Need(b, file != "", "SNAPVIEW_BENCH_GZIP")
	packed, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	format.Bench(b, packed)
}
