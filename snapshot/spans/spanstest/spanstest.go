// Package spanstest holds what the tests of formats that package spans reads
// have in common: that the pass and the index give back what was compressed,
// that damage is an error, and what fuzzing looks for.
//
// It is imported by tests only.
package spanstest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/snapview/snapview/snapshot/spans"
)

// A Format is one that spans can read.
type Format struct {
	First spans.Restart
	Walk  func(io.Reader, *spans.Pipe) error
	Span  spans.Codec

	// Errors are the classes of what may be wrong with a file, besides
	// io.ErrUnexpectedEOF.
	Errors []error

	// Window bounds the windows that Span is given when it is fuzzed, in bytes.
	Window int
}

// Index makes the index of a file and returns what the pass gave.
func (f Format) Index(t testing.TB, r io.Reader) (index, data []byte, err error) {
	t.Helper()
	var out bytes.Buffer
	stats, err := spans.Build(&out, []byte("tag"), f.First, func(p *spans.Pipe) error { return f.Walk(r, p) },
		func(b []byte) error { data = append(data, b...); return nil })
	if err == nil && (stats.Size != int64(len(data)) || stats.Index != int64(out.Len())) {
		t.Errorf("stats %+v for %d bytes, index of %d", stats, len(data), out.Len())
	}
	return out.Bytes(), data, err
}

// Reader reads a file by its index.
func (f Format) Reader(t testing.TB, index, packed []byte) *spans.Reader {
	t.Helper()
	r, err := spans.NewReader(bytes.NewReader(index), int64(len(index)),
		spans.File{Data: bytes.NewReader(packed), Size: int64(len(packed)), Codec: f.Span}, spans.NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// Reads compares what the pass and so many reads at random give with what was
// packed, and the index's size with a fiftieth of that and an allowance.
func (f Format) Reads(t testing.TB, packed, want []byte, reads, allowance int) {
	t.Helper()
	index, got, err := f.Index(t, bytes.NewReader(packed))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the pass gave %d bytes of %d, equal: %v, %v", len(got), len(want), bytes.Equal(got, want), err)
	}
	if len(index) > allowance+len(want)/50 {
		t.Errorf("index of %d bytes for %d", len(index), len(want))
	}
	r := f.Reader(t, index, packed)
	if r.Size() != int64(len(want)) || string(r.Tag()) != "tag" {
		t.Fatalf("size %d, tag %q", r.Size(), r.Tag())
	}
	for range reads {
		if len(want) == 0 {
			return
		}
		off := rand.IntN(len(want))
		p := make([]byte, min(len(want)-off, 1+rand.IntN(20000)))
		if _, err := r.ReadAt(p, int64(off)); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p, want[off:off+len(p)]) {
			t.Fatalf("%d bytes at %d differ (%v)", len(p), off, err)
		}
	}
}

// InPieces reads a file whose input comes in pieces of any size.
func (f Format) InPieces(t *testing.T, packed, want []byte) {
	for name, r := range map[string]io.Reader{
		"bytes":     iotest.OneByteReader(bytes.NewReader(packed)),
		"halves":    iotest.HalfReader(bytes.NewReader(packed)),
		"data, EOF": iotest.DataErrReader(bytes.NewReader(packed)),
	} {
		if _, got, err := f.Index(t, r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(want), err)
		}
	}
}

// known reports whether an error is one of a damaged file.
func (f Format) known(err error) bool {
	for _, class := range append([]error{io.ErrUnexpectedEOF}, f.Errors...) {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// NoticesDamage flips one bit in so many of a file that has checksums, which is
// an error unless it means nothing, cuts the file to all kinds of lengths,
// appends to it, and lets reading it fail.
func (f Format) NoticesDamage(t *testing.T, packed, want []byte, step int) {
	for bit := 0; bit < len(packed)*8; bit += step {
		bad := bytes.Clone(packed)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, got, err := f.Index(t, bytes.NewReader(bad)); err == nil && !bytes.Equal(got, want) {
			t.Errorf("bit %d: other data without an error", bit)
		} else if err != nil && !f.known(err) {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
	for n := 0; n < len(packed); n += 97 {
		if _, _, err := f.Index(t, bytes.NewReader(packed[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut to %d bytes of %d: %v", n, len(packed), err)
		}
	}
	if _, _, err := f.Index(t, bytes.NewReader(append(bytes.Clone(packed), "rest of it"...))); err == nil || !f.known(err) {
		t.Errorf("what stands behind the end: %v", err)
	}
	bad := errors.New("bad disk")
	if _, _, err := f.Index(t, io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), iotest.ErrReader(bad))); !errors.Is(err, bad) {
		t.Errorf("an error of the disk: %v", err)
	}
}

// NoticesChange changes a byte here and there of a file that was indexed:
// reading all of it is an error, never other data. Every byte must count.
func (f Format) NoticesChange(t *testing.T, packed, want []byte, step int) {
	index, _, err := f.Index(t, bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	for at := 100; at < len(packed)-20; at += step {
		bad := bytes.Clone(packed)
		bad[at] ^= 0x10
		got, err := io.ReadAll(io.NewSectionReader(f.Reader(t, index, bad), 0, int64(len(want))))
		if err == nil {
			t.Errorf("byte %d: not noticed, same data: %v", at, bytes.Equal(got, want))
		}
	}
}

// FuzzWalk: what the pass takes, the index reads too, and the same.
func (f Format) FuzzWalk(t *testing.T, packed []byte) (data []byte, err error) {
	index, data, err := f.Index(t, bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	r := f.Reader(t, index, packed)
	again, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(again, data) {
		t.Fatalf("by the index: %d bytes of %d, %v", len(again), len(data), err)
	}
	return data, nil
}

// FuzzSpan: no window, restart or length may do harm.
func (f Format) FuzzSpan(t *testing.T, packed []byte, in, aux, to int64, n int, window []byte) {
	if n < 0 || n > 1<<20 || len(window) > f.Window {
		return
	}
	got, err := f.Span(bytes.NewReader(packed), int64(len(packed)), spans.Restart{In: in, Aux: aux}, spans.Restart{In: to}, window, n)
	if err == nil && len(got) != n {
		t.Fatalf("%d bytes, want %d", len(got), n)
	}
}

// Bench measures the pass over a file.
func (f Format) Bench(b *testing.B, packed []byte) {
	for b.Loop() {
		stats, err := spans.Build(io.Discard, nil, f.First, func(p *spans.Pipe) error { return f.Walk(bytes.NewReader(packed), p) }, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(stats.Size)
		b.ReportMetric(100*float64(stats.Index)/float64(stats.Size), "%index")
	}
}
