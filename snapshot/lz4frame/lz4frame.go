// Package lz4frame reads LZ4 frames (the format's document in the lz4 project,
// doc/lz4_Frame_format.md, version 1.6) block by block, so that package spans
// can restart between two of them.
//
// A block of a frame with independent blocks needs nothing of what comes
// before; one of a frame with linked blocks, as PostgreSQL and lz4 -BD write
// them, refers to up to 64 KiB of it, which is the restart's window. Blocks
// are decoded by github.com/pierrec/lz4; the frames around them are read here,
// because that library does not tell where in the file it stands. Checksums of
// headers, blocks and contents are verified where the frame has them.
//
// Frames with a dictionary of their own and those of the legacy format are
// refused.
package lz4frame

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pierrec/lz4/v4"

	"github.com/snapview/snapview/snapshot/spans"
)

const (
	frameMagic     = 0x184D2204
	skippableMagic = 0x184D2A50 // and the fifteen after it
	window         = 64 << 10
	maxHeader      = 19
	// spanMax is how much input a span may have besides twice its output.
	spanMax = 16 << 20

	atFrame = -1 // Aux of a Restart in front of a frame
)

// First is the restart at the beginning of a file.
var First = spans.Restart{In: 0, Aux: atFrame}

// ErrCorrupt is in the chain of errors about input that is no LZ4 frame.
// Input that ends too early is io.ErrUnexpectedEOF.
var ErrCorrupt = errors.New("corrupt LZ4 frame")

// ErrUnsupported is in the chain of errors about frames that are valid, but of
// a kind that nothing writes for backups.
var ErrUnsupported = errors.New("unsupported LZ4 frame")

// A frame is what a frame's header says.
type frame struct {
	at          int64 // of the header in the file
	linked      bool
	blockSums   bool
	contentSum  bool
	contentSize int64 // -1 if the header does not tell
	blockMax    int
}

// A scanner reads frames.
type scanner struct {
	r    *bufio.Reader
	skip func(n int64) error // moves r forwards
	off  int64               // of r in the file
	f    *frame              // nil between two frames
	raw  []byte              // a block as it is in the file
}

func (s *scanner) corrupt(what string) error {
	return fmt.Errorf("%w at byte %d: %s", ErrCorrupt, s.off, what)
}

func (s *scanner) read(b []byte) error {
	n, err := io.ReadFull(s.r, b)
	s.off += int64(n)
	if errors.Is(err, io.EOF) { // here it is never the end of the file that is expected
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (s *scanner) word() (uint32, error) {
	var b [4]byte
	err := s.read(b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

// next reads a frame's header, skippable frames before it included; s.f stays
// nil at the end of the file.
func (s *scanner) next() error {
	for {
		if _, err := s.r.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		at := s.off
		magic, err := s.word()
		if err != nil {
			return err
		}
		if magic == frameMagic {
			return s.header(at)
		}
		if magic&^0xf != skippableMagic {
			return s.corrupt("no frame follows, but other bytes do")
		}
		n, err := s.word()
		if err == nil {
			err = s.skip(int64(n))
			s.off += int64(n)
		}
		if err != nil {
			return err
		}
	}
}

func (s *scanner) header(at int64) error {
	var b [maxHeader - 4]byte
	if err := s.read(b[:2]); err != nil {
		return err
	}
	flags, size := b[0], b[1]>>4&7
	n := 2
	f := &frame{
		at: at, linked: flags&0x20 == 0, blockSums: flags&0x10 != 0, contentSum: flags&4 != 0,
		contentSize: -1, blockMax: 1 << (8 + 2*size),
	}
	if flags>>6 != 1 || flags&2 != 0 || b[1]&0x8f != 0 || size < 4 {
		return s.corrupt("an impossible header")
	}
	if flags&8 != 0 {
		if err := s.read(b[n : n+8]); err != nil {
			return err
		}
		f.contentSize = int64(binary.LittleEndian.Uint64(b[n:]) &^ (1 << 63))
		n += 8
	}
	if flags&1 != 0 {
		return fmt.Errorf("%w at byte %d: compressed with a dictionary, which is not in the file", ErrUnsupported, at)
	}
	if err := s.read(b[n : n+1]); err != nil {
		return err
	}
	if byte(checksum(b[:n])>>8) != b[n] {
		return s.corrupt("a header that does not match its checksum")
	}
	s.f = f
	return nil
}

// block decodes the next block of the frame to out[o:], which has room for the
// largest; the output before it begins at out[low]. At the end of the frame
// ended is true and s.f nil.
func (s *scanner) block(out []byte, o, low int) (n int, ended bool, err error) {
	f := s.f
	size, err := s.word()
	if err != nil {
		return 0, false, err
	}
	if size == 0 {
		return 0, true, nil
	}
	plain := size&(1<<31) != 0
	if size &^= 1 << 31; size > uint32(f.blockMax) {
		return 0, false, s.corrupt("a block that is larger than the frame allows")
	}
	if cap(s.raw) < int(size) {
		s.raw = make([]byte, f.blockMax)
	}
	raw := s.raw[:size]
	if err := s.read(raw); err != nil {
		return 0, false, err
	}
	if f.blockSums {
		want, err := s.word()
		if err != nil {
			return 0, false, err
		}
		if checksum(raw) != want {
			return 0, false, s.corrupt("a block that does not match its checksum")
		}
	}
	dst := out[o : o+f.blockMax]
	if plain {
		return copy(dst, raw), false, nil
	}
	var dict []byte
	if f.linked {
		dict = out[max(low, o-window):o]
	}
	if n, err = lz4.UncompressBlockWithDict(raw, dst, dict); err != nil {
		return 0, false, s.corrupt("a block that cannot be decoded")
	}
	return n, false, nil
}

// Walk decodes all frames of the file that r gives and emits a chunk for each
// block. It is the pass of spans.Build, and First its first restart.
func Walk(r io.Reader, p *spans.Pipe) error {
	s := &scanner{r: bufio.NewReaderSize(r, 256<<10)}
	s.skip = func(n int64) error {
		_, err := io.CopyN(io.Discard, s.r, n)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	frames := 0
	for {
		if err := s.next(); err != nil {
			return err
		}
		if s.f == nil {
			if frames == 0 {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		frames++
		if err := s.walkFrame(p); err != nil {
			return err
		}
	}
}

func (s *scanner) walkFrame(p *spans.Pipe) error {
	sum, f := &content{}, s.f
	var history []byte
	for {
		out := p.Buffer(window + f.blockMax)
		o := copy(out, history)
		n, ended, err := s.block(out, o, 0)
		if err != nil {
			return err
		}
		c := spans.Chunk{Data: out[o : o+n]}
		if ended {
			if c.Check, err = s.endFrame(sum); err != nil {
				return err
			}
			c.Next = spans.Restart{In: s.off, Aux: atFrame}
		} else {
			if f.linked {
				history = out[max(0, o+n-window) : o+n]
				c.Window = history
			}
			if f.contentSum || f.contentSize >= 0 {
				c.Check = func() error { sum.add(c.Data); return nil }
			}
			c.Next = spans.Restart{In: s.off, Aux: f.at}
		}
		c.Input = s.off
		if err := p.Emit(c, out); err != nil {
			return err
		}
		if ended {
			s.f = nil
			return nil
		}
	}
}

// endFrame reads what stands behind the end mark and returns how to compare
// it with the content.
func (s *scanner) endFrame(sum *content) (func() error, error) {
	f := s.f
	var want uint32
	if f.contentSum {
		var err error
		if want, err = s.word(); err != nil {
			return nil, err
		}
	}
	return func() error {
		if f.contentSize >= 0 && sum.size != f.contentSize || f.contentSum && sum.sum() != want {
			return fmt.Errorf("%w: the content of the frame at byte %d does not match its checksum or size", ErrCorrupt, f.at)
		}
		return nil
	}, nil
}

// Span decodes n bytes of output from a restart of Walk on, as far as to;
// window is the restart's. It is a spans.Codec.
func Span(file io.ReaderAt, size int64, from, to spans.Restart, history []byte, n int) ([]byte, error) {
	if from.In < 0 || to.In < from.In || to.In > size || from.Aux > from.In || from.Aux < atFrame || len(history) > window {
		return nil, fmt.Errorf("%w: an impossible restart", ErrCorrupt)
	}
	length := to.In - from.In
	section := io.NewSectionReader(file, from.In, length)
	s := &scanner{off: from.In, r: bufio.NewReaderSize(section, int(min(max(length, 16), spanMax+2*int64(n))))}
	s.skip = func(n int64) error {
		n -= int64(s.r.Buffered())
		if n <= 0 {
			_, err := s.r.Discard(int(n) + s.r.Buffered())
			return err
		}
		if _, err := section.Seek(n, io.SeekCurrent); err != nil {
			return err
		}
		s.r.Reset(section)
		return nil
	}
	if from.Aux != atFrame {
		h := &scanner{off: from.Aux, r: bufio.NewReaderSize(io.NewSectionReader(file, from.Aux, maxHeader), maxHeader)}
		if err := h.next(); err != nil {
			return nil, err
		}
		if h.f == nil {
			return nil, io.ErrUnexpectedEOF
		}
		s.f = h.f
	}
	out := make([]byte, len(history)+n)
	o, low := copy(out, history), 0
	for limit := o + n; o < limit; {
		if s.f == nil {
			if err := s.next(); err != nil {
				return nil, err
			}
			if s.f == nil {
				return nil, io.ErrUnexpectedEOF
			}
			low = o
		}
		if len(out) < o+s.f.blockMax {
			out = append(out, make([]byte, o+s.f.blockMax-len(out))...)
		}
		k, ended, err := s.block(out, o, low)
		if err != nil {
			return nil, err
		}
		if ended {
			if s.f.contentSum {
				if _, err := s.word(); err != nil {
					return nil, err
				}
			}
			s.f = nil
		}
		o += k
	}
	return out[len(history) : len(history)+n : len(history)+n], nil
}
