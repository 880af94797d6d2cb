package zstdframe

import (
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/snapview/snapview/snapshot/spans"
)

const (
	windowRatio = 40        // a span is so many times as long as what is kept of its window, about
	windowPack  = 3         // how much smaller a window gets by compression, about
	stateSize   = 300       // of what is kept besides, in bytes, about
	minSpan     = 256 << 10 // bytes of output
	fullSpan    = 4 << 20   // bytes of output that are enough for any window
	fullInput   = 8 << 20   // bytes of input that end a span
	fullWindow  = 4 << 20   // bytes of a window that end a span
)

// Walk decodes all frames of the file that r gives and emits a chunk for each
// span. It is the pass of spans.Build, and First its first restart. It uses as
// many cores as there are, up to eight, and memory for two spans and the
// frame's window, twice if it is a large one.
func Walk(r io.Reader, p *spans.Pipe) error {
	cores := min(runtime.NumCPU(), runtime.GOMAXPROCS(0), 8)
	depth := 2*cores + 2
	free, work, queue := make(chan *block, depth), make(chan *block, depth), make(chan *block, depth)
	for range depth {
		free <- &block{done: make(chan struct{}, 1)}
	}
	stop := make(chan struct{})
	var running sync.WaitGroup // nobody uses r after return
	defer running.Wait()
	defer close(stop)
	var failed error // of the parser; read when the queue is closed
	running.Go(func() {
		defer close(queue)
		defer close(work)
		in := &parser{in: &stream{r: r}}
		for {
			select {
			case <-stop:
				return
			case b := <-free:
				more, err := in.next(b)
				if err != nil || !more {
					failed = err
					return
				}
				work <- b
				queue <- b
			}
		}
	})
	for range cores {
		running.Go(func() {
			e := &entropy{}
			for b := range work {
				e.decode(b)
				b.done <- struct{}{}
			}
		})
	}
	w := &walker{pipe: p, sum: xxhash.New(), restart: First}
	w.x.far = w.mark
	for b := range queue {
		<-b.done
		if err := w.block(b); err != nil {
			return err
		}
		free <- b
	}
	if failed != nil {
		return failed
	}
	return w.finish()
}

// A walker executes the blocks in order and cuts what comes out into spans.
type walker struct {
	pipe *spans.Pipe
	x    executor // its output is the history that windows are taken from, too

	frames  int
	content int64 // of the frame, so far
	input   int64

	from    int           // in x.out: where the span begins
	began   int64         // in the input
	restart spans.Restart // of the span
	state   *state        // there, nil if it is in front of a frame
	marks   marks
	buf     []byte // the span's data; nil before its first block
	n       int    // bytes in it
	parts   []part

	pending *spans.Chunk // the span before, which lacks the window of this one
	held    []byte       // its buffer

	sum *xxhash.Digest // of the frame; belongs to whoever consumes the chunks
}

// A part of a chunk belongs to one frame that has a checksum.
type part struct {
	data        []byte
	first, last bool   // of the frame
	want        uint32 // with the last
	at          int64  // in the file, for errors
}

// mark notes that a match refers to what was before the span.
func (w *walker) mark(off, n int) (copied int, ok bool) {
	from := w.x.o - off
	if from < w.x.low || int64(off) > w.state.frame.window {
		return 0, false
	}
	distance := w.from - from
	w.marks.add(distance, min(n, distance))
	return 0, true
}

func (w *walker) block(b *block) error {
	x := &w.x
	if b.first {
		w.frames++
		x.low, x.start, x.offsets, w.content = x.o, x.o, firstOffsets, 0
	}
	w.room(b.frame)
	if w.buf == nil {
		w.buf = w.pipe.Buffer(fullSpan + maxBlock)
	}
	o := x.o
	if wrong := x.run(b); wrong != "" {
		return corrupt(b.at, wrong)
	}
	data := w.buf[w.n : w.n+copy(w.buf[w.n:], x.out[o:x.o])]
	w.n += len(data)
	w.content += int64(len(data))
	w.input = b.input
	if size := b.frame.content; size >= 0 && (w.content > size || b.last && w.content != size) {
		return corrupt(b.at, "a frame of another size than its header says")
	}
	if b.frame.sum {
		w.parts = append(w.parts, part{data, b.first, b.last, b.want, b.at})
	}
	// windows are kept compressed
	kept := stateSize + w.marks.n*unit/windowPack
	if w.n >= fullSpan || b.input-w.began >= fullInput || w.marks.n >= fullWindow/unit || w.n >= minSpan && (b.last || w.n >= windowRatio*kept) {
		return w.cut(b)
	}
	return nil
}

// room makes some for a block, and keeps what windows are taken from.
func (w *walker) room(f *frame) {
	x := &w.x
	if x.o+maxBlock+slack <= len(x.out) {
		return
	}
	keep := w.from
	if w.state != nil {
		keep = max(0, keep-int(w.state.frame.window)-unit)
	}
	window := int(f.window)
	if w.state != nil {
		window = max(window, int(w.state.frame.window))
	}
	// what is kept at most, a block, and enough that keeping it costs little
	most := window + unit + fullSpan + 2*maxBlock + slack + min(max(window, fullSpan), 2*fullSpan)
	to := x.out
	if len(to) < most {
		to = make([]byte, min(max(2*len(to), 8*maxBlock), most))
	}
	copy(to, x.out[keep:x.o])
	x.out = to
	x.o -= keep
	x.low -= keep // below 0 if the frame began before
	x.start -= keep
	w.from -= keep
}

// window returns what decoding the span needs besides its bytes.
func (w *walker) window() []byte {
	if w.state == nil {
		return nil
	}
	history := w.x.out[:w.from]
	return appendState(nil, w.state, w.marks.runs(min(len(history), int(w.state.frame.window)+unit)), history)
}

// emit hands over the span before the current one.
func (w *walker) emit(window []byte) error {
	if w.pending == nil {
		return nil
	}
	w.pending.Window = window
	err := w.pipe.Emit(*w.pending, w.held)
	w.pending, w.held = nil, nil
	return err
}

// cut ends the span behind the block, after which the next one begins.
func (w *walker) cut(b *block) error {
	if err := w.emit(w.window()); err != nil {
		return err
	}
	next := spans.Restart{In: b.input, Aux: atFrame}
	w.state = nil
	if !b.last {
		next.Aux = inFrame
		w.state = &state{b.frame, b.tables, w.x.offsets}
	}
	w.hold(next)
	w.from, w.began = w.x.o, b.input
	w.x.start = max(w.from, w.x.low)
	w.marks.reset()
	return nil
}

// hold keeps the span until the window of the next is known.
func (w *walker) hold(next spans.Restart) {
	w.pending = &spans.Chunk{Data: w.buf[:w.n], Next: next, Input: next.In, Cut: true}
	if parts := w.parts; len(parts) > 0 {
		w.pending.Check = func() error { return w.check(parts) }
	}
	w.held, w.buf, w.n, w.parts = w.buf, nil, 0, nil
}

// finish emits what is left at the end of the file.
func (w *walker) finish() error {
	if w.frames == 0 {
		return io.ErrUnexpectedEOF
	}
	if w.n > 0 || w.pending == nil {
		if err := w.emit(w.window()); err != nil {
			return err
		}
		w.hold(spans.Restart{In: w.input, Aux: atFrame})
	}
	return w.emit(nil)
}

// check compares the content of frames with their checksums, the lower half of
// an XXH64.
func (w *walker) check(parts []part) error {
	for _, p := range parts {
		if p.first {
			w.sum.Reset()
		}
		w.sum.Write(p.data) //nolint:errcheck // never fails
		if p.last && uint32(w.sum.Sum64()) != p.want {
			return fmt.Errorf("%w: the content of the frame that ends at byte %d does not match its checksum", ErrCorrupt, p.at)
		}
	}
	return nil
}
