package spans_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/snapview/snapview/snapshot/spans"
)

// The codec of these tests adds each byte of the file to the one before it: a
// window of one byte is what a restart needs.
func encode(data []byte) []byte {
	out := make([]byte, len(data))
	last := byte(0)
	for i, b := range data {
		out[i], last = b-last, b
	}
	return out
}

func span(file io.ReaderAt, _ int64, from, to spans.Restart, window []byte, n int) ([]byte, error) {
	if to.In-from.In != int64(n) {
		return nil, fmt.Errorf("%d bytes from %d to %d", n, from.In, to.In)
	}
	out := make([]byte, n)
	if _, err := file.ReadAt(out, from.In); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	last := byte(0)
	if len(window) > 0 {
		last = window[len(window)-1]
	}
	for i := range out {
		last += out[i]
		out[i] = last
	}
	return out, nil
}

func build(t testing.TB, data []byte, chunk int) []byte {
	t.Helper()
	var out bytes.Buffer
	pass := func(p *spans.Pipe) error {
		for at := 0; at < len(data); {
			n := min(chunk, len(data)-at)
			buf := p.Buffer(n)
			copy(buf, data[at:at+n])
			at += n
			next := spans.Restart{In: int64(at)}
			if err := p.Emit(spans.Chunk{Data: buf[:n], Window: buf[max(0, n-100):n], Next: next, Input: int64(at)}, buf); err != nil {
				return err
			}
		}
		return nil
	}
	var seen []byte
	stats, err := spans.Build(&out, []byte("tag"), spans.Restart{}, pass, func(b []byte) error { seen = append(seen, b...); return nil })
	if err != nil || !bytes.Equal(seen, data) || stats.Size != int64(len(data)) || stats.Index != int64(out.Len()) {
		t.Fatalf("%+v, %d bytes seen, %v", stats, len(seen), err)
	}
	return out.Bytes()
}

func sample(n int) []byte {
	b := make([]byte, n)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func open(index, packed []byte, cache int64) (*spans.Reader, error) {
	return spans.NewReader(bytes.NewReader(index), int64(len(index)),
		spans.File{Data: bytes.NewReader(packed), Size: int64(len(packed)), Codec: span}, spans.NewCache(cache))
}

func TestReader_ReadsAnything(t *testing.T) {
	for _, n := range []int{0, 1, 5_000_000} {
		want := sample(n)
		index, packed := build(t, want, 100_000), encode(want)
		r, err := open(index, packed, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if err != nil || !bytes.Equal(got, want) || string(r.Tag()) != "tag" {
			t.Errorf("%d bytes of %d, tag %q, %v", len(got), n, r.Tag(), err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if n == 0 {
						return
					}
					off := rand.IntN(n)
					p := make([]byte, min(n-off, 1+rand.IntN(700_000)))
					r.Prefetch(int64(off), int64(len(p)))
					if _, err := r.ReadAt(p, int64(off)); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p, want[off:off+len(p)]) {
						t.Errorf("%d bytes at %d differ (%v)", len(p), off, err)
					}
				}
			})
		}
		wg.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Whatever is changed in an index, no other data is read by it.
func TestReader_NoticesADamagedIndex(t *testing.T) {
	want := sample(3_000_000)
	index, packed := build(t, want, 100_000), encode(want)
	for at := 0; at < len(index); at += 37 {
		bad := bytes.Clone(index)
		bad[at] ^= 0x08
		r, err := open(bad, packed, 1<<20)
		if err != nil {
			if !errors.Is(err, spans.ErrIndex) {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if err == nil && !bytes.Equal(got, want) {
			t.Errorf("byte %d: other data", at)
		}
		if err != nil && !errors.Is(err, spans.ErrIndex) && !errors.Is(err, spans.ErrChanged) {
			t.Errorf("byte %d: %v", at, err)
		}
		r.Close()
	}
	for n := 0; n < len(index); n += 91 {
		if _, err := open(index[:n], packed, 1<<20); !errors.Is(err, spans.ErrIndex) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

// A file that is another one than was indexed is noticed span by span.
func TestReader_NoticesAnotherFile(t *testing.T) {
	want := sample(2_000_000)
	index, packed := build(t, want, 100_000), encode(want)
	packed[1_900_000]++
	r, err := open(index, packed, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := make([]byte, 1000)
	if _, err := r.ReadAt(p, 0); err != nil || !bytes.Equal(p, want[:1000]) {
		t.Errorf("what is not changed: %v", err)
	}
	if _, err := r.ReadAt(p, 1_899_500); !errors.Is(err, spans.ErrChanged) {
		t.Errorf("what is changed: %v", err)
	}
}

// An error that passes is not kept.
func TestReader_TriesAgain(t *testing.T) {
	want := sample(500_000)
	index := build(t, want, 100_000)
	disk := &flaky{ReaderAt: bytes.NewReader(encode(want))}
	disk.bad.Store(true)
	r, err := spans.NewReader(bytes.NewReader(index), int64(len(index)),
		spans.File{Data: disk, Size: int64(len(want)), Codec: span}, spans.NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := make([]byte, 1000)
	if _, err := r.ReadAt(p, 0); !errors.Is(err, errDisk) {
		t.Errorf("err = %v", err)
	}
	disk.bad.Store(false)
	if _, err := r.ReadAt(p, 0); err != nil || !bytes.Equal(p, want[:1000]) {
		t.Errorf("after it had passed: %v", err)
	}
}

var errDisk = errors.New("bad disk")

type flaky struct {
	io.ReaderAt
	bad atomic.Bool
}

func (f *flaky) ReadAt(p []byte, off int64) (int, error) {
	if f.bad.Load() {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestBuild_PassesErrorsOn(t *testing.T) {
	bad := errors.New("bad")
	emit := func(p *spans.Pipe) error {
		for {
			if err := p.Emit(spans.Chunk{Data: make([]byte, 10)}, nil); err != nil {
				return err
			}
		}
	}
	for name, f := range map[string]func() error{
		"of the pass": func() error {
			_, err := spans.Build(io.Discard, nil, spans.Restart{}, func(*spans.Pipe) error { return bad }, nil)
			return err
		},
		"of the consumer": func() error {
			_, err := spans.Build(io.Discard, nil, spans.Restart{}, emit, func([]byte) error { return bad })
			return err
		},
		"of a check": func() error {
			_, err := spans.Build(io.Discard, nil, spans.Restart{}, func(p *spans.Pipe) error {
				return p.Emit(spans.Chunk{Check: func() error { return bad }}, nil)
			}, nil)
			return err
		},
		"of writing": func() error {
			_, err := spans.Build(failing{bad}, nil, spans.Restart{}, emit, nil)
			return err
		},
	} {
		if err := f(); !errors.Is(err, bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func FuzzReader(f *testing.F) {
	data := sample(1000)
	f.Add(build(f, data, 300))
	f.Add(build(f, nil, 1))
	f.Fuzz(func(t *testing.T, index []byte) {
		r, err := open(index, encode(data), 1<<20)
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = r.ReadAt(make([]byte, 1000), 0)
		_, _ = r.ReadAt(make([]byte, 1000), r.Size()/2)
	})
}
