package zstdframe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/spans/spanstest"
)

var format = spanstest.Format{First: First, Walk: Walk, Span: Span, Errors: []error{ErrCorrupt, ErrUnsupported, ErrWindow}, Window: 1 << 20}

// sample is data like a table's, with references that reach far back, runs,
// and what cannot be compressed.
func sample(n int) []byte {
	rnd := rand.New(rand.NewPCG(5, uint64(n)))
	var b []byte
	for len(b) < n {
		switch k := rnd.IntN(300); {
		case k < 100 && len(b) > 1000:
			at := rnd.IntN(len(b))
			b = append(b, b[at:min(len(b), at+1+rnd.IntN(400))]...)
		case k == 100:
			b = append(b, make([]byte, 5000)...)
		case k == 101:
			for range 3000 {
				b = append(b, byte(rnd.Uint32()))
			}
		case k == 102: // short periods
			piece := b[max(0, len(b)-1-rnd.IntN(20)):]
			b = append(b, bytes.Repeat(piece, 20+rnd.IntN(50))...)
		}
		b = fmt.Appendf(b, "row %d of a table, %x", len(b), rnd.Uint32())
	}
	return b[:n]
}

// pack is what a program makes of data.
func pack(t testing.TB, data []byte, program string, args ...string) []byte {
	t.Helper()
	c := exec.Command(snapshottest.Tool(t, program), args...)
	c.Stdin = bytes.NewReader(data)
	out, err := c.Output()
	if err != nil {
		t.Fatal(program, args, err)
	}
	return out
}

// packings are files that the zstd program makes.
func packings(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	made := map[string][]byte{}
	for _, args := range []string{"-1", "-3", "-3 --no-check", "-12", "--fast=5", "-5 --long=24", "-1 --zstd=wlog=10", fmt.Sprint("-3 --stream-size=", len(data))} {
		made[args] = pack(t, data, "zstd", append([]string{"-q", "-c"}, strings.Fields(args)...)...)
	}
	skippable := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, skippableMagic+3), 5)
	skippable = append(skippable, "12345"...)
	third := len(data) / 3
	several := append(pack(t, data[:third], "zstd", "-q", "-c"), skippable...)
	several = append(several, pack(t, nil, "zstd", "-q", "-c")...)
	several = append(several, pack(t, data[third:2*third], "zstd", "-q", "-c", "-1", "--no-check")...)
	several = append(several, pack(t, data[2*third:], "zstd", "-q", "-c", "-9")...)
	made["several frames"] = append(several, skippable...)
	return made
}

func TestAgainstTheProgram(t *testing.T) {
	for _, n := range []int{0, 1, 64 << 10, 900_001} {
		want := sample(n)
		for how, packed := range packings(t, want) {
			t.Run(fmt.Sprint(n, " bytes, ", how), func(t *testing.T) { format.Reads(t, packed, want, 25, 20_000+n/12) })
		}
	}
}

// Data at whose kinds encoders choose other blocks, literals and tables.
func TestAgainstTheProgram_KindsOfData(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 400_000)
	few, skewed := bytes.Clone(random), bytes.Clone(random)
	for i := range random {
		random[i], few[i] = byte(rnd.Uint32()), byte(rnd.IntN(5))
		skewed[i] = byte(255 * rnd.Float64() * rnd.Float64() * rnd.Float64() * rnd.Float64())
	}
	for kind, want := range map[string][]byte{
		"zeros": make([]byte, 1<<20), "random": random, "few": few, "skewed": skewed,
		"far": bytes.Repeat(random, 5), "one byte apart": bytes.Join([][]byte{random, random}, []byte{7}),
	} {
		for _, level := range []string{"-1", "-7"} {
			packed := pack(t, want, "zstd", "-q", "-c", level)
			t.Run(kind+" "+level, func(t *testing.T) { format.Reads(t, packed, want, 20, 50_000+len(want)/2) })
		}
	}
}

// A real data directory, in a tar.
func TestFixture(t *testing.T) {
	packed, err := os.ReadFile(snapshottest.Fixture(t, "pg15/pg15-plain.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	want := pack(t, packed, "zstd", "-q", "-dc")
	format.Reads(t, packed, want, 20, len(want)/50)
}

func TestWalk_InPieces(t *testing.T) {
	want := sample(400_000)
	format.InPieces(t, packings(t, want)["several frames"], want)
}

func TestWalk_NoticesDamage(t *testing.T) {
	want := sample(4000)
	format.NoticesDamage(t, pack(t, want, "zstd", "-q", "-c"), want, 29)
}

// A file without a checksum that is changed after it was indexed is noticed
// when it is read.
func TestSpan_NoticesChange(t *testing.T) {
	want := sample(1_000_000)
	format.NoticesChange(t, pack(t, want, "zstd", "-q", "-c", "--no-check"), want, 20_011)
}

func TestWalk_Refuses(t *testing.T) {
	data := sample(100_000)
	dict := t.TempDir() + "/dict"
	if err := os.WriteFile(dict, sample(20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	header := func(b ...byte) []byte { return append([]byte{0x28, 0xb5, 0x2f, 0xfd}, b...) }
	for name, c := range map[string]struct {
		packed []byte
		want   error
	}{
		"a window of 256 MiB":        {pack(t, data, "zstd", "-q", "-c", "-1", "--long=28"), ErrWindow},
		"a single segment of 1 TB":   {header(0xe0, 0, 0, 0, 0, 0, 1, 0, 0), ErrWindow},
		"a dictionary with a number": {header(0x01, 0x58, 7, 1, 0, 0), ErrUnsupported},
		"an earlier table, but none": {header(0x00, 0x58, 1|2<<1|8<<3, 0, 0, 0, 1, 0xfc, 0, 0, 0x10, 0, 0), ErrCorrupt},
		"a reserved block":           {header(0x00, 0x58, 1|3<<1, 0, 0), ErrCorrupt},
		"a block above 128 KiB":      {header(0x00, 0x58, 0xff, 0xff, 0xff), ErrCorrupt},
		"a legacy frame":             {[]byte("\x27\xb5\x2f\xfd\x00\x00\x00"), ErrCorrupt},
		"nothing":                    {nil, io.ErrUnexpectedEOF},
	} {
		if _, _, err := format.Index(t, bytes.NewReader(c.packed)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A library is the judge: what we take, it takes, with the same output.
func FuzzWalk(f *testing.F) {
	for _, n := range []int{100, 3000} {
		for _, packed := range packings(f, sample(n)) {
			f.Add(packed)
		}
	}
	f.Add(pack(f, make([]byte, 3000), "zstd", "-q", "-c"))
	judge, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(MaxWindow), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(judge.Close)
	f.Fuzz(func(t *testing.T, packed []byte) {
		got, err := format.FuzzWalk(t, packed)
		if len(got) > 32<<20 {
			return
		}
		want, wantErr := judge.DecodeAll(packed, nil)
		if err == nil && wantErr == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes; the library %d", len(got), len(want))
		}
		if (err == nil) != (wantErr == nil) && !excused(err, wantErr) {
			t.Fatalf("we: %v; the library: %v", err, wantErr)
		}
	})
}

// excused are differences on purpose.
func excused(ours, library error) bool {
	switch {
	case errors.Is(library, zstd.ErrWindowSizeTooSmall), errors.Is(library, zstd.ErrWindowSizeExceeded):
		return true // it refuses windows below 1 KiB of single segments, and above its own bound
	case errors.Is(ours, ErrUnsupported), errors.Is(ours, ErrWindow):
		return true
	case errors.Is(ours, io.ErrUnexpectedEOF):
		return true // it takes a file without a frame
	}
	return false
}

// No window, restart or length may do harm.
func FuzzSpan(f *testing.F) {
	data := sample(6_000)
	packed := pack(f, data, "zstd", "-q", "-c", "-1", "--zstd=wlog=10")
	f.Add(packed, int64(0), int64(atFrame), int64(len(packed)), 4_000, []byte(nil))
	p := &parser{in: &stream{r: bytes.NewReader(packed)}}
	var b block
	for range 4 {
		if _, err := p.next(&b); err != nil {
			f.Fatal(err)
		}
	}
	s := &state{b.frame, b.tables, firstOffsets}
	f.Add(packed, b.input, int64(inFrame), int64(len(packed)), 1_000, appendState(nil, s, []run{{1000, 600}, {300, 300}}, data[:3_000]))
	f.Fuzz(format.FuzzSpan)
}

func BenchmarkWalk(b *testing.B) {
	file := os.Getenv("SNAPVIEW_BENCH_ZSTD") // any zstd file
	snapshottest.Need(b, file != "", "SNAPVIEW_BENCH_ZSTD")
	packed, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	format.Bench(b, packed)
}
