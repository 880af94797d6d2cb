package spans

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	head      = "snapview spans 1"
	foot      = "spansend"
	entrySize = 48
	footSize  = 8 + 8 + 8 + 16 + 4 + len(foot)
	maxTag    = 4 << 10

	// MaxWindow bounds a window, in bytes.
	MaxWindow = 8 << 20
	// MaxChunk bounds the output in a chunk, in bytes.
	MaxChunk = 16 << 20

	packWindow  = 64 << 10  // of the frames that windows are stored in, bytes
	windowRatio = 80        // a span is so many times as long as its window in the index
	minSpan     = 256 << 10 // bytes of output
	fullSpan    = 4 << 20   // bytes of output that are enough for any window
	fullInput   = 8 << 20   // bytes of input that end a span
	maxSpan     = fullSpan + MaxChunk
	maxSpans    = 1 << 28
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Restart is where decoding can go on. Both numbers are the codec's own.
type Restart struct{ In, Aux int64 }

// A Chunk is a run of output.
type Chunk struct {
	Data   []byte
	Window []byte  // the output before Next that decoding from there may refer to, at most MaxWindow
	Next   Restart // what comes after Data
	Input  int64   // bytes of the file that were consumed so far
	Cut    bool    // a span ends behind Data, whatever its length

	// Check, if not nil, is called in the order of the chunks, beside the
	// decoding of later ones: for checksums.
	Check func() error

	buf []byte
}

// A Pipe takes the chunks of one pass.
type Pipe struct {
	chunks chan Chunk
	free   chan []byte
	stop   chan struct{}
}

// errStopped ends a pass whose chunks nobody wants any more.
var errStopped = errors.New("stopped")

// Buffer returns a buffer of at least n bytes for the next chunk.
func (p *Pipe) Buffer(n int) []byte {
	select {
	case b := <-p.free:
		if cap(b) >= n {
			return b[:cap(b)]
		}
	default:
	}
	return make([]byte, n)
}

// Emit hands a chunk over, whose Data and Window lie in buf, which Buffer
// gave. They must not be changed any more; they may be read until the next
// call of Buffer.
func (p *Pipe) Emit(c Chunk, buf []byte) error {
	c.buf = buf
	if len(c.Data) > MaxChunk || len(c.Window) > MaxWindow {
		return fmt.Errorf("spans: chunk of %d bytes with a window of %d", len(c.Data), len(c.Window))
	}
	select {
	case p.chunks <- c:
		return nil
	case <-p.stop:
		return errStopped
	}
}

// Stats says what Build made.
type Stats struct {
	Size  int64 // bytes of data
	Index int64 // bytes of the index
	Spans int
}

// Build runs a pass and writes the index of what it emits to w. each, if not
// nil, is given all of the data in order. Memory is bounded by some chunks.
func Build(w io.Writer, tag []byte, first Restart, pass func(*Pipe) error, each func([]byte) error) (Stats, error) {
	if len(tag) > maxTag {
		return Stats{}, fmt.Errorf("spans: tag of %d bytes", len(tag))
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(packWindow), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		return Stats{}, err
	}
	defer enc.Close()
	b := &builder{w: w, enc: enc, each: each}
	if err := b.write(append(binary.LittleEndian.AppendUint32([]byte(head), uint32(len(tag))), tag...)); err != nil {
		return Stats{}, err
	}
	if err := b.begin(first, nil); err != nil {
		return Stats{}, err
	}

	p := &Pipe{chunks: make(chan Chunk, 2), free: make(chan []byte, 4), stop: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- pass(p)
		close(p.chunks)
	}()
	var failed error
	for c := range p.chunks {
		if failed != nil {
			continue
		}
		if failed = b.chunk(&c); failed != nil {
			close(p.stop)
			continue
		}
		select {
		case p.free <- c.buf:
		default:
		}
	}
	if err := <-ended; failed == nil {
		failed = err
	}
	if failed != nil {
		return Stats{}, failed
	}
	return b.finish()
}

// builder is the state of one Build.
type builder struct {
	w    io.Writer
	at   int64 // bytes written
	enc  *zstd.Encoder
	each func([]byte) error

	table []byte
	spans int
	size  int64 // of the data
	start int64 // of the current span, in the data
	want  int64 // how long the current span should be
	crc   uint32
	last  Restart
	input int64 // consumed so far
	from  int64 // consumed when the current span began
}

func (b *builder) write(p []byte) error {
	n, err := b.w.Write(p)
	b.at += int64(n)
	return err
}

// begin starts a span.
func (b *builder) begin(r Restart, window []byte) error {
	at, stored := b.at, 0
	if len(window) > 0 {
		frame := b.enc.EncodeAll(window, nil)
		stored = len(frame)
		if err := b.write(frame); err != nil {
			return err
		}
	}
	le := binary.LittleEndian
	b.table = le.AppendUint64(b.table, uint64(b.size))
	b.table = le.AppendUint64(b.table, uint64(r.In))
	b.table = le.AppendUint64(b.table, uint64(r.Aux))
	b.table = le.AppendUint64(b.table, uint64(at))
	b.table = le.AppendUint32(b.table, uint32(stored))
	b.table = le.AppendUint32(b.table, uint32(len(window)))
	b.table = le.AppendUint64(b.table, 0) // the checksum comes at the span's end
	b.start, b.from, b.crc = b.size, b.input, 0
	b.want = min(max(int64(stored)*windowRatio, minSpan), fullSpan)
	if b.spans++; b.spans > maxSpans {
		return fmt.Errorf("spans: more than %d", maxSpans)
	}
	return nil
}

// end closes the current span.
func (b *builder) end() {
	binary.LittleEndian.PutUint32(b.table[len(b.table)-8:], b.crc)
}

func (b *builder) chunk(c *Chunk) error {
	if c.Check != nil {
		if err := c.Check(); err != nil {
			return err
		}
	}
	if b.each != nil {
		if err := b.each(c.Data); err != nil {
			return err
		}
	}
	b.crc = crc32.Update(b.crc, castagnoli, c.Data)
	b.size += int64(len(c.Data))
	b.last, b.input = c.Next, c.Input
	if n := b.size - b.start; c.Cut || n >= b.want || b.input-b.from >= fullInput {
		b.end()
		return b.begin(c.Next, c.Window)
	}
	return nil
}

func (b *builder) finish() (Stats, error) {
	b.end()
	le := binary.LittleEndian
	tail := le.AppendUint64(b.table, uint64(b.at))
	tail = le.AppendUint64(tail, uint64(b.spans))
	tail = le.AppendUint64(tail, uint64(b.size))
	tail = le.AppendUint64(tail, uint64(b.last.In))
	tail = le.AppendUint64(tail, uint64(b.last.Aux))
	tail = le.AppendUint32(tail, crc32.Checksum(tail, castagnoli))
	tail = append(tail, foot...)
	err := b.write(tail)
	return Stats{Size: b.size, Index: b.at, Spans: b.spans}, err
}
