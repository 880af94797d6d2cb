// Package tarheaders remembers what package tarindex reads of a tar: its
// headers. A tar that is compressed can be scanned again only by decoding a
// span for each header, which makes the second open as slow as the first. So
// while the first pass goes over the data, a Recorder runs the scan beside it
// and notes every range that it reads; a Reader answers the same reads from
// the notes, and passes others on.
//
// The notes are a sequence of parts, each a u32 length and a Zstandard frame
// with checksum, of records: u64 offset, u32 length, bytes, all little-endian.
// 50 bytes or so remain of a member. Nothing breaks where notes are missing.
package tarheaders

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"math"

	"github.com/klauspost/compress/zstd"

	"github.com/snapview/snapview/snapshot/tarindex"
)

const (
	partSize = 256 << 10 // of records, before they are compressed
	maxRead  = 2 << 20   // of one read
	maxPart  = partSize + maxRead + recordHead
	maxNotes = 256 << 20 // bytes; later headers are not noted

	recordHead = 12
)

var errEnd = errors.New("end of the recording")

// A Recorder notes what a scan of a tar reads while the tar passes through it.
// It is for one goroutine at a time.
type Recorder struct {
	next func() (struct{}, bool)
	stop func()

	chunk []byte // what passes now
	at    int64  // its offset in the tar
	ended bool

	part  []byte
	notes []byte
	enc   *zstd.Encoder
}

// NewRecorder starts a scan. Notes or Stop must be called.
func NewRecorder() (*Recorder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(partSize))
	if err != nil {
		return nil, err
	}
	r := &Recorder{enc: enc}
	// The scan is a coroutine: it runs in Write, until it wants what has not
	// passed yet.
	r.next, r.stop = iter.Pull(func(yield func(struct{}) bool) {
		forward := forward(func(p []byte, off int64) (int, error) { return r.read(p, off, yield) })
		// Whatever ends it, what was noted until then is right.
		_, _ = tarindex.Scan(context.Background(), forward, math.MaxInt64/2, "", func(tarindex.Member) error { return nil })
	})
	return r, nil
}

type forward func(p []byte, off int64) (int, error)

func (f forward) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// read gives the scan what it wants, as it comes by.
func (r *Recorder) read(p []byte, off int64, yield func(struct{}) bool) (int, error) {
	if len(p) > maxRead || len(r.notes) > maxNotes {
		return 0, errEnd
	}
	for n := 0; ; {
		from := off + int64(n) - r.at
		if from < 0 {
			return n, errEnd // it went backwards
		}
		if from < int64(len(r.chunk)) {
			n += copy(p[n:], r.chunk[from:])
		}
		if n == len(p) {
			r.note(p, off)
			return n, nil
		}
		if r.ended || !yield(struct{}{}) {
			return n, io.EOF
		}
	}
}

func (r *Recorder) note(p []byte, off int64) {
	r.part = binary.LittleEndian.AppendUint64(r.part, uint64(off))
	r.part = binary.LittleEndian.AppendUint32(r.part, uint32(len(p)))
	r.part = append(r.part, p...)
	if len(r.part) >= partSize {
		r.flush()
	}
}

func (r *Recorder) flush() {
	frame := r.enc.EncodeAll(r.part, nil)
	r.notes = binary.LittleEndian.AppendUint32(r.notes, uint32(len(frame)))
	r.notes = append(r.notes, frame...)
	r.part = r.part[:0]
}

// Write lets the next bytes of the tar pass. It never fails.
func (r *Recorder) Write(p []byte) (int, error) {
	r.chunk = p
	r.next()
	r.at += int64(len(p))
	r.chunk = nil
	return len(p), nil
}

// Notes ends the recording, at the end of the tar, and returns what NewReader
// takes.
func (r *Recorder) Notes() []byte {
	r.ended = true
	r.next()
	r.Stop()
	if len(r.part) > 0 {
		r.flush()
	}
	return r.notes
}

// Stop gives the recording up. After Notes it does nothing.
func (r *Recorder) Stop() { r.stop() }

// A Reader answers the reads of one scan. It is for one goroutine.
type Reader struct {
	notes io.Reader
	data  io.ReaderAt
	dec   *zstd.Decoder
	part  []byte // records not yet passed
}

// NewReader returns a Reader of notes for the tar in data. Notes that are
// damaged only make it slower.
func NewReader(notes io.Reader, data io.ReaderAt) (*Reader, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxPart), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return &Reader{notes: notes, data: data, dec: dec}, nil
}

// ReadAt implements io.ReaderAt.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	for r.more() {
		at, n := int64(binary.LittleEndian.Uint64(r.part)), int(binary.LittleEndian.Uint32(r.part[8:]))
		if at > off {
			break
		}
		if n > len(r.part)-recordHead {
			r.part, r.notes = nil, bytes.NewReader(nil) // damaged
			break
		}
		bytes := r.part[recordHead : recordHead+n]
		r.part = r.part[recordHead+n:]
		if at == off && n == len(p) {
			return copy(p, bytes), nil
		}
	}
	return r.data.ReadAt(p, off)
}

// more makes a record available.
func (r *Reader) more() bool {
	if len(r.part) >= recordHead {
		return true
	}
	var head [4]byte
	if _, err := io.ReadFull(r.notes, head[:]); err != nil {
		return false
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxPart {
		return false
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r.notes, frame); err != nil {
		return false
	}
	var err error
	if r.part, err = r.dec.DecodeAll(frame, r.part[:0:0]); err != nil {
		r.part, r.notes = nil, bytes.NewReader(nil)
	}
	return len(r.part) >= recordHead
}

// Close frees memory.
func (r *Reader) Close() { r.dec.Close() }
