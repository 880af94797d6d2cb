package inflate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/snapview/snapview/snapshot/spans"
)

const (
	chunkSize = 256 << 10 // output between two restarts, about
	readSize  = 256 << 10 // of one read of the input
	// fullInput is how much input may be consumed without output before a
	// restart is told all the same.
	fullInput = 1 << 20

	// header of a Restart in front of a gzip member.
	atMember = -1
	// headerMax bounds a block's header: 14 bits, 19 codes of 3, and 316
	// lengths of 14.
	headerMax = 640
	// textMax bounds the name and the comment of a member.
	textMax = 64 << 10
	// spanMax is how much input a span may have besides twice its output.
	spanMax = 16 << 20
)

// First is the restart at the beginning of a gzip file.
var First = spans.Restart{In: 0, Aux: atMember}

// A stream decodes the members of a gzip file. In a Restart, In is the bit
// where decoding goes on and Aux the bit where the block's header begins that
// it belongs to, or atMember.
type stream struct {
	decoder
	member bool // a member's header comes next
}

// restart returns where the stream stands.
func (s *stream) restart() spans.Restart {
	at := s.at()
	switch {
	case s.member:
		return spans.Restart{In: at, Aux: atMember}
	case s.mode == inStored || s.mode == inCodes:
		return spans.Restart{In: at, Aux: s.header}
	}
	return spans.Restart{In: at, Aux: at}
}

// Walk decodes all members of the gzip file that r gives and emits its output
// in chunks. The checksum and size of each member are verified. It is the pass
// of spans.Build, and First its first restart.
func Walk(r io.Reader, p *spans.Pipe) error {
	s := &stream{decoder: decoder{src: r, buf: make([]byte, readSize+inPad)}, member: true}
	out := p.Buffer(Window + chunkSize + slop)
	o, low := 0, 0 // of out: where output goes; the first byte of history
	sum := &sum{}
	for {
		if s.member {
			more, err := s.nextMember()
			if err != nil || !more {
				return err
			}
			low, sum = o, newSum(s.at()/8)
		}
		start := o
		var err error
		if o, err = s.decode(out, o, low, start+chunkSize, s.at()+fullInput*8); err != nil {
			return err
		}
		c := spans.Chunk{Data: out[start:o]}
		if s.mode == done {
			want, size, err := s.trailer()
			if err != nil {
				return err
			}
			c.Check = sum.check(c.Data, &want, size)
			s.member = true
			low = o
		} else {
			c.Check = sum.check(c.Data, nil, 0)
		}
		low = max(low, o-Window)
		c.Window, c.Next, c.Input = out[low:o], s.restart(), s.at()/8
		next := p.Buffer(Window + chunkSize + slop)
		n := copy(next, c.Window)
		if err := p.Emit(c, out); err != nil {
			return err
		}
		out, o, low = next, n, 0
	}
}

// sum is the checksum of a member's output.
type sum struct {
	at   int64 // of the member in the file, for errors
	crc  uint32
	size uint32
}

func newSum(at int64) *sum { return &sum{at: at} }

// check returns what adds data to the sum and, at the member's end, compares.
func (s *sum) check(data []byte, want *uint32, size uint32) func() error {
	return func() error {
		s.crc = crc32.Update(s.crc, crc32.IEEETable, data)
		s.size += uint32(len(data))
		if want != nil && (s.crc != *want || s.size != size) {
			return fmt.Errorf("%w: the data of the member at byte %d does not match its checksum or size", ErrCorrupt, s.at)
		}
		return nil
	}
}

// byte returns the next byte of the input, which is aligned.
func (s *stream) byte() (byte, error) {
	if s.pos >= s.end {
		if !s.eof {
			if err := s.fill(); err != nil {
				return 0, err
			}
		}
		if s.pos >= s.end {
			return 0, io.ErrUnexpectedEOF
		}
	}
	s.pos++
	return s.in[s.pos-1], nil
}

func (s *stream) bytes(b []byte) (err error) {
	for i := range b {
		if b[i], err = s.byte(); err != nil {
			return err
		}
	}
	return nil
}

// trailer reads a member's checksum and size.
func (s *stream) trailer() (crc, size uint32, err error) {
	s.align()
	var b [8]byte
	err = s.bytes(b[:])
	return binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:]), err
}

// nextMember reads a member's header; more is false at the end of the file.
// Zeros may stand there, as tapes and block devices have them.
func (s *stream) nextMember() (more bool, err error) {
	const flagHeaderCRC, flagExtra, flagName, flagComment = 2, 4, 8, 16
	first, zeros := s.at() == 0, false
	var b [10]byte
	for {
		if b[0], err = s.byte(); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) && !first {
				return false, nil
			}
			return false, err
		}
		if b[0] != 0 || first {
			break
		}
		zeros = true
	}
	if err := s.bytes(b[1:]); err != nil {
		return false, err
	}
	if b[0] != 0x1f || b[1] != 0x8b || zeros {
		return false, s.corrupt("no gzip member follows, but other bytes do")
	}
	if b[2] != 8 || b[3]&0xe0 != 0 {
		return false, s.corrupt("a gzip member of an unknown kind")
	}
	if b[3]&flagExtra != 0 {
		var n [2]byte
		if err := s.bytes(n[:]); err != nil {
			return false, err
		}
		for range binary.LittleEndian.Uint16(n[:]) {
			if _, err := s.byte(); err != nil {
				return false, err
			}
		}
	}
	for _, flag := range []byte{flagName, flagComment} {
		n := 0
		for text := b[3]&flag != 0; text; n++ {
			c, err := s.byte()
			if err != nil {
				return false, err
			}
			if text = c != 0; n > textMax {
				return false, s.corrupt("a gzip member with a name that does not end")
			}
		}
	}
	if b[3]&flagHeaderCRC != 0 {
		if err := s.bytes(b[:2]); err != nil {
			return false, err
		}
	}
	s.mode, s.member = atHeader, false
	return true, nil
}

// Span decodes n bytes of output of the gzip file from a restart of Walk on, as
// far as to; window is the restart's. It is a spans.Codec.
func Span(file io.ReaderAt, size int64, from, to spans.Restart, window []byte, n int) ([]byte, error) {
	if from.In < 0 || to.In < from.In || to.In > size*8 || from.Aux > from.In || from.Aux < atMember ||
		len(window) > Window || (to.In-from.In)/8 > spanMax+2*int64(n) {
		return nil, fmt.Errorf("%w: an impossible restart", ErrCorrupt)
	}
	s := &stream{member: from.Aux == atMember}
	if err := s.seek(file, size, from, to.In-from.In); err != nil {
		return nil, err
	}
	out := make([]byte, len(window)+n+slop)
	o, low := copy(out, window), 0
	limit := o + n
	for o < limit {
		if s.member {
			more, err := s.nextMember()
			if err != nil {
				return nil, err
			}
			if !more {
				return nil, io.ErrUnexpectedEOF
			}
			low = o
		}
		var err error
		if o, err = s.decode(out, o, low, limit, math.MaxInt64); err != nil && o < limit {
			return nil, err
		}
		if s.mode == done && o < limit {
			if _, _, err := s.trailer(); err != nil {
				return nil, err
			}
			s.member = true
		}
	}
	return out[len(window):limit:limit], nil
}

// seek moves a new stream to a restart and reads the bits of the file from
// there on that are needed.
func (s *stream) seek(file io.ReaderAt, size int64, from spans.Restart, bits int64) error {
	if !s.member && from.Aux < from.In {
		if err := s.load(file, size, from.Aux, headerMax*8); err != nil {
			return err
		}
		if err := s.blockHeader(); err != nil {
			return err
		}
		if s.mode == inStored {
			// The data began where the header ended.
			skipped := (from.In - s.at()) / 8
			if from.In%8 != 0 || skipped < 0 || skipped >= int64(s.stored) {
				return s.corrupt("a restart that is not in its stored block")
			}
			s.stored -= int(skipped)
		}
		if s.mode == atHeader || s.mode == done || from.In < s.at() {
			return s.corrupt("a restart that is not in its block")
		}
	}
	// What is written past the limit may need some more.
	return s.load(file, size, from.In, bits+inPad*8)
}

// load reads the file from a bit on and makes it the stream's whole input.
func (s *stream) load(file io.ReaderAt, size, bit, bits int64) error {
	base := bit / 8
	n := int(min((bit%8+bits+7)/8, size-base))
	if cap(s.buf) < n+inPad {
		s.buf = make([]byte, n+inPad)
	}
	s.buf = s.buf[:cap(s.buf)]
	if k, err := file.ReadAt(s.buf[:n], base); k < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	s.base, s.pos, s.eof, s.bits, s.nbits = base, 0, true, 0, 0
	s.setEnd(n)
	if bit%8 == 0 {
		return nil
	}
	if err := s.refill(); err != nil {
		return err
	}
	s.take(uint(bit % 8))
	return nil
}
