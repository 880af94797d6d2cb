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
	"testing/iotest"

	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/spans"
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

// index makes the index of a gzip file and returns what the pass gave.
func index(t testing.TB, r io.Reader) (index, data []byte, err error) {
	t.Helper()
	var out bytes.Buffer
	stats, err := spans.Build(&out, []byte("tag"), First, func(p *spans.Pipe) error { return Walk(r, p) },
		func(b []byte) error { data = append(data, b...); return nil })
	if err == nil && (stats.Size != int64(len(data)) || stats.Index != int64(out.Len())) {
		t.Errorf("stats %+v for %d bytes, index of %d", stats, len(data), out.Len())
	}
	return out.Bytes(), data, err
}

func reader(t testing.TB, idx, packed []byte) *spans.Reader {
	t.Helper()
	r, err := spans.NewReader(bytes.NewReader(idx), int64(len(idx)),
		spans.File{Data: bytes.NewReader(packed), Size: int64(len(packed)), Codec: Span}, spans.NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestAgainstTheData(t *testing.T) {
	for kind, want := range samples() {
		for how, packed := range packings(t, want) {
			t.Run(kind+", "+how, func(t *testing.T) {
				idx, got, err := index(t, bytes.NewReader(packed))
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("the pass gave %d bytes of %d, equal: %v, %v", len(got), len(want), bytes.Equal(got, want), err)
				}
				if len(idx) > 40_000+len(want)/50 {
					t.Errorf("index of %d bytes for %d", len(idx), len(want))
				}
				r := reader(t, idx, packed)
				if r.Size() != int64(len(want)) || string(r.Tag()) != "tag" {
					t.Fatalf("size %d, tag %q", r.Size(), r.Tag())
				}
				for range 30 {
					if len(want) == 0 {
						break
					}
					off := rand.IntN(len(want))
					p := make([]byte, min(len(want)-off, 1+rand.IntN(20000)))
					if _, err := r.ReadAt(p, int64(off)); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p, want[off:off+len(p)]) {
						t.Fatalf("%d bytes at %d differ (%v)", len(p), off, err)
					}
				}
			})
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
		if _, _, err := index(t, bytes.NewReader(packed)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("before %s: %v", name, err)
		}
	}
}

// Reading the input in pieces of any size changes nothing.
func TestWalk_InPieces(t *testing.T) {
	want := samples()["periods"]
	packed := packings(t, want)["many members"]
	for name, r := range map[string]io.Reader{
		"bytes":     iotest.OneByteReader(bytes.NewReader(packed)),
		"halves":    iotest.HalfReader(bytes.NewReader(packed)),
		"data, EOF": iotest.DataErrReader(bytes.NewReader(packed)),
	} {
		if _, got, err := index(t, r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(want), err)
		}
	}
}

// Every bit flipped and every length is noticed, by the pass or by nobody.
func TestWalk_NoticesDamage(t *testing.T) {
	want := samples()["pages"][:20_000]
	packed := packings(t, want)["level 6"]
	for bit := 0; bit < len(packed)*8; bit += 7 {
		if bit/8 >= 4 && bit/8 < 10 || bit/8 > 10 && bit/8 < 40 { // time, system, name, comment
			continue
		}
		bad := bytes.Clone(packed)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, got, err := index(t, bytes.NewReader(bad)); err == nil && bytes.Equal(got, want) {
			t.Errorf("bit %d: not noticed", bit)
		} else if err == nil {
			t.Errorf("bit %d: other data without an error", bit)
		} else if !errors.Is(err, ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
	for n := 0; n < len(packed); n += 101 {
		if _, _, err := index(t, bytes.NewReader(packed[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut to %d bytes of %d: %v", n, len(packed), err)
		}
	}
	if _, _, err := index(t, bytes.NewReader(append(bytes.Clone(packed), "rest"...))); err == nil {
		t.Error("what stands behind the last member is not noticed")
	}
	bad := errors.New("bad disk")
	if _, _, err := index(t, io.MultiReader(bytes.NewReader(packed[:1000]), iotest.ErrReader(bad))); !errors.Is(err, bad) {
		t.Errorf("an error of the disk: %v", err)
	}
}

// A file that is changed after it was indexed is noticed when it is read.
func TestSpan_NoticesChange(t *testing.T) {
	want := samples()["few"]
	packed := packings(t, want)["level 6"]
	idx, _, err := index(t, bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	for at := 100; at < len(packed)-20; at += 20011 {
		bad := bytes.Clone(packed)
		bad[at] ^= 0x10
		got, err := io.ReadAll(io.NewSectionReader(reader(t, idx, bad), 0, int64(len(want))))
		if err == nil && !bytes.Equal(got, want) {
			t.Errorf("byte %d: other data without an error", at)
		}
		if err == nil {
			t.Errorf("byte %d: not noticed", at)
		}
	}
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
		idx, got, err := index(t, bytes.NewReader(packed))
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v; the standard library %d, %v", len(got), err, len(want), wantErr)
		}
		if err != nil {
			return
		}
		again, err := io.ReadAll(io.NewSectionReader(reader(t, idx, packed), 0, 1<<20))
		if err != nil || !bytes.Equal(again, want) {
			t.Fatalf("by the index: %d bytes of %d, %v", len(again), len(want), err)
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
	f.Add(packed, int64(0), int64(-1), int64(8000), 4000, 0)
	f.Add(packed, int64(900), int64(500), int64(8000), 4000, 300)
	f.Fuzz(func(t *testing.T, b []byte, in, aux, to int64, n, window int) {
		if n < 0 || n > 1<<20 || window < 0 || window > Window {
			return
		}
		got, err := Span(bytes.NewReader(b), int64(len(b)), spans.Restart{In: in, Aux: aux}, spans.Restart{In: to}, make([]byte, window), n)
		if err == nil && len(got) != n {
			t.Fatalf("%d bytes, want %d", len(got), n)
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	file := os.Getenv("SNAPVIEW_BENCH_GZIP") // any gzip file
	snapshottest.Need(b, file != "", "SNAPVIEW_BENCH_GZIP")
	packed, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		stats, err := spans.Build(io.Discard, nil, First, func(p *spans.Pipe) error { return Walk(bytes.NewReader(packed), p) }, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(stats.Size)
		b.ReportMetric(100*float64(stats.Index)/float64(stats.Size), "%index")
	}
}
