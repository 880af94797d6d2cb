package zstdframe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

const (
	frameMagic     = 0xFD2FB528
	skippableMagic = 0x184D2A50 // and the fifteen after it

	// MaxWindow bounds a frame's window, in bytes: what zstd --long=27 and
	// pg_basebackup use at most.
	MaxWindow = 128 << 20

	maxBlock = 128 << 10 // of a block, on either side
)

// ErrCorrupt is in the chain of errors about input that is no Zstandard frame.
// Input that ends too early is io.ErrUnexpectedEOF.
var ErrCorrupt = errors.New("corrupt Zstandard frame")

// ErrUnsupported is in the chain of errors about frames that are valid, but
// need a dictionary.
var ErrUnsupported = errors.New("unsupported Zstandard frame")

// ErrWindow is in the chain of errors about frames whose window is larger than
// MaxWindow.
var ErrWindow = errors.New("window of a Zstandard frame is too large")

// A frame is what a frame's header says.
type frame struct {
	window  int64
	sum     bool  // a checksum of the content follows the last block
	content int64 // size of the content, -1 if the header does not tell
}

// blockMax is how large a block of the frame may be, on either side.
func (f *frame) blockMax() int { return int(min(f.window, maxBlock)) }

// An input is the file, from some place on.
type input interface {
	// next returns the next n bytes. They are read into buf, or lie in the
	// input's memory.
	next(n int, buf *[]byte) (section, error)
	skip(n int64) error
	at() int64
	// end reports whether nothing comes any more.
	end() (bool, error)
}

// A section is bytes with room around them: the eight bytes before and the
// slack behind are there, with anything in them.
type section struct {
	buf    []byte
	lo, hi int
}

const (
	before = 8  // bytes in front of a section that can be read
	slack  = 32 // bytes behind a section, literals or output that copying may touch
)

func (s section) bytes() []byte { return s.buf[s.lo:s.hi] }

func corrupt(at int64, what string) error {
	return fmt.Errorf("%w at byte %d: %s", ErrCorrupt, at, what)
}

// nextFrame reads the header of the next frame and what can be skipped before
// it; it returns nil at the end of the input.
func nextFrame(in input) (*frame, error) {
	var buf []byte
	for {
		if end, err := in.end(); end || err != nil {
			return nil, err
		}
		at := in.at()
		head, err := in.next(4, &buf)
		if err != nil {
			return nil, err
		}
		magic := binary.LittleEndian.Uint32(head.bytes())
		if magic == frameMagic {
			return frameHeader(in, at)
		}
		if magic&^0xf != skippableMagic {
			return nil, corrupt(at, "no frame follows, but other bytes do")
		}
		if head, err = in.next(4, &buf); err == nil {
			err = in.skip(int64(binary.LittleEndian.Uint32(head.bytes())))
		}
		if err != nil {
			return nil, err
		}
	}
}

// frameHeader reads what follows the magic number (RFC 8878, 3.1.1.1).
func frameHeader(in input, at int64) (*frame, error) {
	var buf []byte
	head, err := in.next(1, &buf)
	if err != nil {
		return nil, err
	}
	flags := head.bytes()[0]
	single := flags&0x20 != 0
	if flags&8 != 0 {
		return nil, corrupt(at, "a header with a bit that has no meaning")
	}
	windowBytes, idBytes, sizeBytes := 1, [4]int{0, 1, 2, 4}[flags&3], [4]int{0, 2, 4, 8}[flags>>6]
	if single {
		windowBytes, sizeBytes = 0, max(sizeBytes, 1)
	}
	if head, err = in.next(windowBytes+idBytes+sizeBytes, &buf); err != nil {
		return nil, err
	}
	b := head.bytes()
	f := &frame{sum: flags&4 != 0, content: -1}
	if !single {
		base := int64(1) << (10 + b[0]>>3)
		f.window = base + base/8*int64(b[0]&7)
	}
	for _, id := range b[windowBytes : windowBytes+idBytes] {
		if id != 0 {
			return nil, fmt.Errorf("%w at byte %d: compressed with a dictionary, which is not in the file", ErrUnsupported, at)
		}
	}
	b = b[windowBytes+idBytes:]
	switch sizeBytes {
	case 1:
		f.content = int64(b[0])
	case 2:
		f.content = int64(binary.LittleEndian.Uint16(b)) + 256
	case 4:
		f.content = int64(binary.LittleEndian.Uint32(b))
	case 8:
		if f.content = int64(binary.LittleEndian.Uint64(b)); f.content < 0 {
			return nil, corrupt(at, "a content of an impossible size")
		}
	}
	if single {
		f.window = f.content
	}
	if f.window > MaxWindow {
		return nil, fmt.Errorf("%w: %d bytes", ErrWindow, f.window)
	}
	return f, nil
}

// A stream is an input that is read forwards.
type stream struct {
	r   io.Reader
	buf []byte
	pos int // of what is not taken yet in buf
	off int64
}

const streamSize = 512 << 10

// fill reads more into buf, which is used up.
func (s *stream) fill() error {
	if s.buf == nil {
		s.buf = make([]byte, 0, streamSize)
	}
	for range 100 {
		n, err := s.r.Read(s.buf[:cap(s.buf)])
		s.buf, s.pos = s.buf[:n], 0
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

func (s *stream) at() int64 { return s.off }

func (s *stream) end() (bool, error) {
	if s.pos < len(s.buf) {
		return false, nil
	}
	err := s.fill()
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// more makes at least one byte available. No end is expected here.
func (s *stream) more() error {
	if end, err := s.end(); err != nil || !end {
		return err
	}
	return io.ErrUnexpectedEOF
}

func (s *stream) next(n int, buf *[]byte) (section, error) {
	if need := before + n + slack; cap(*buf) < need {
		*buf = make([]byte, 1<<bits.Len(uint(need)))
	}
	b := (*buf)[:cap(*buf)]
	for done := 0; done < n; {
		if err := s.more(); err != nil {
			return section{}, err
		}
		k := copy(b[before+done:before+n], s.buf[s.pos:])
		s.pos += k
		s.off += int64(k)
		done += k
	}
	return section{b, before, before + n}, nil
}

func (s *stream) skip(n int64) error {
	for n > 0 {
		if err := s.more(); err != nil {
			return err
		}
		k := int(min(n, int64(len(s.buf)-s.pos)))
		s.pos += k
		s.off += int64(k)
		n -= int64(k)
	}
	return nil
}

// A memory is an input that was read as a whole.
type memory struct {
	buf  []byte // before and slack included
	pos  int    // in buf
	base int64  // of buf in the file
}

// load reads n bytes of a file from off on.
func load(file io.ReaderAt, off int64, n int) (*memory, error) {
	m := &memory{buf: make([]byte, before+n+slack), pos: before, base: off - before}
	if k, err := file.ReadAt(m.buf[before:before+n], off); k < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return m, nil
}

func (m *memory) left() int { return len(m.buf) - slack - m.pos }

func (m *memory) at() int64 { return m.base + int64(m.pos) }

func (m *memory) end() (bool, error) { return m.left() == 0, nil }

func (m *memory) next(n int, _ *[]byte) (section, error) {
	if n > m.left() {
		return section{}, io.ErrUnexpectedEOF
	}
	m.pos += n
	return section{m.buf, m.pos - n, m.pos}, nil
}

func (m *memory) skip(n int64) error {
	if n > int64(m.left()) {
		return io.ErrUnexpectedEOF
	}
	m.pos += int(n)
	return nil
}
