package zstdframe

import (
	"fmt"
	"io"
	"sync"

	"github.com/snapview/snapview/snapshot/spans"
)

// Aux of a Restart.
const (
	atFrame = -1 // in front of a frame
	inFrame = 0  // in front of a block; the window has the state
)

// spanMax is how much input a span may have besides twice its output.
const spanMax = 16 << 20

// First is the restart at the beginning of a file.
var First = spans.Restart{In: 0, Aux: atFrame}

// A worker is what decoding a span needs besides its bytes.
type worker struct {
	e entropy
	b block
}

var workers = sync.Pool{New: func() any { return &worker{} }}

// Span decodes n bytes of output from a restart of Walk on, as far as to;
// window is the restart's. It is a spans.Codec.
func Span(file io.ReaderAt, size int64, from, to spans.Restart, history []byte, n int) ([]byte, error) {
	length := to.In - from.In
	if from.In < 0 || length < 0 || to.In > size || from.Aux != atFrame && from.Aux != inFrame || length > spanMax+2*int64(n) {
		return nil, fmt.Errorf("%w: an impossible restart", ErrCorrupt)
	}
	in, err := load(file, from.In, int(length))
	if err != nil {
		return nil, err
	}
	p := &parser{in: in}
	x := &executor{out: make([]byte, n+slack), far: func(int, int) (int, bool) { return 0, false }}
	if from.Aux == inFrame {
		s, w, ok := readState(history)
		if !ok {
			return nil, fmt.Errorf("%w: an impossible window", ErrCorrupt)
		}
		p.frame, p.tables, x.offsets = s.frame, s.tables, s.offsets
		x.far = func(off, n int) (int, bool) { return w.copy(x.out[x.o:x.o+n], off-x.o) }
	}
	w := workers.Get().(*worker)
	defer workers.Put(w)
	for x.o < n {
		more, err := p.next(&w.b)
		if err != nil {
			return nil, err
		}
		if !more {
			return nil, io.ErrUnexpectedEOF
		}
		if w.b.first {
			x.low, x.start, x.offsets = x.o, x.o, firstOffsets
			x.far = func(int, int) (int, bool) { return 0, false }
		}
		w.e.decode(&w.b)
		if wrong := x.run(&w.b); wrong != "" {
			return nil, corrupt(w.b.at, wrong)
		}
	}
	return x.out[:n:n], nil
}
