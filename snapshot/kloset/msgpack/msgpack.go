// Package msgpack takes MessagePack values of untrusted input apart
// (https://github.com/msgpack/msgpack/blob/master/spec.md).
//
// It exists beside the libraries because a backup must not be able to make the
// reader use more stack or memory than the value has bytes: nothing is
// allocated for a count before as many bytes are there, and skipping does not
// recurse. A Reader has one error that stays: read on and ask Err at the end.
package msgpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// A Reader reads one value after the other from a byte slice. It is not for
// concurrent use. After an error all methods return zero values.
type Reader struct {
	b   []byte
	off int
	err error
}

// NewReader returns a Reader of b, which must not change while it is used.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Rest returns the bytes not read yet.
func (r *Reader) Rest() []byte { return r.b[r.off:] }

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("msgpack at byte %d: %w", r.off, fmt.Errorf(format, args...))
	}
}

var errShort = io.ErrUnexpectedEOF

// take returns the next n bytes.
func (r *Reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b)-r.off {
		r.fail("%w", errShort)
		return nil
	}
	p := r.b[r.off : r.off+n]
	r.off += n
	return p
}

func (r *Reader) head() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return nilCode
}

// number reads a big-endian number of n bytes.
func (r *Reader) number(n int) uint64 {
	p := r.take(n)
	switch len(p) {
	case 1:
		return uint64(p[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(p))
	case 4:
		return uint64(binary.BigEndian.Uint32(p))
	case 8:
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// count reads a length of n bytes; each of what it counts takes at least size
// bytes.
func (r *Reader) count(n, size int) int {
	return r.bounded(r.number(n), size)
}

func (r *Reader) bounded(v uint64, size int) int {
	if r.err == nil && v > uint64(len(r.b)-r.off)/uint64(size) {
		r.fail("%w", errShort)
	}
	if r.err != nil {
		return 0
	}
	return int(v)
}

const nilCode = 0xc0

// Nil consumes a nil and reports whether there was one.
func (r *Reader) Nil() bool {
	if r.err == nil && r.off < len(r.b) && r.b[r.off] == nilCode {
		r.off++
		return true
	}
	return false
}

// Map reads the head of a map and returns its number of pairs, 0 for nil.
func (r *Reader) Map() int {
	switch c := r.head(); {
	case c&0xf0 == 0x80:
		return r.bounded(uint64(c&0x0f), 2)
	case c == 0xde:
		return r.count(2, 2)
	case c == 0xdf:
		return r.count(4, 2)
	case c != nilCode:
		r.fail("%#02x where a map should be", c)
	}
	return 0
}

// Fields reads a map with strings for keys and calls value for each key; value
// must read or skip exactly one value.
func (r *Reader) Fields(value func(key string)) {
	for n := r.Map(); n > 0 && r.err == nil; n-- {
		key := r.Bytes()
		if r.err == nil {
			value(string(key))
		}
	}
}

// Array reads the head of an array and returns its length, 0 for nil.
func (r *Reader) Array() int {
	switch c := r.head(); {
	case c&0xf0 == 0x90:
		return r.bounded(uint64(c&0x0f), 1)
	case c == 0xdc:
		return r.count(2, 1)
	case c == 0xdd:
		return r.count(4, 1)
	case c != nilCode:
		r.fail("%#02x where an array should be", c)
	}
	return 0
}

// Bytes reads a string or binary value, nil for nil. The result is part of the
// Reader's input.
func (r *Reader) Bytes() []byte {
	switch c := r.head(); {
	case c&0xe0 == 0xa0:
		return r.take(int(c & 0x1f))
	case c == 0xc4, c == 0xd9:
		return r.take(r.count(1, 1))
	case c == 0xc5, c == 0xda:
		return r.take(r.count(2, 1))
	case c == 0xc6, c == 0xdb:
		return r.take(r.count(4, 1))
	case c != nilCode:
		r.fail("%#02x where a string should be", c)
	}
	return nil
}

// String reads a string.
func (r *Reader) String() string { return string(r.Bytes()) }

// Int reads an integer of any size; one above the largest int64 is an error.
func (r *Reader) Int() int64 {
	switch c := r.head(); {
	case c < 0x80:
		return int64(c)
	case c >= 0xe0:
		return int64(int8(c))
	case c >= 0xcc && c <= 0xcf:
		v := r.number(1 << (c - 0xcc))
		if v > math.MaxInt64 {
			r.fail("%d is too large", v)
			return 0
		}
		return int64(v)
	case c >= 0xd0 && c <= 0xd3:
		n := 1 << (c - 0xd0)
		shift := 64 - 8*n
		return int64(r.number(n)<<shift) >> shift
	case c != nilCode:
		r.fail("%#02x where an integer should be", c)
	}
	return 0
}

// Uint reads an integer that is not negative.
func (r *Reader) Uint() uint64 {
	if r.err == nil && r.off < len(r.b) && r.b[r.off] == 0xcf {
		r.off++
		return r.number(8)
	}
	v := r.Int()
	if v < 0 {
		r.fail("%d where no negative number may be", v)
		return 0
	}
	return uint64(v)
}

// Time reads a timestamp (extension -1); the zero time for nil.
func (r *Reader) Time() time.Time {
	var n int
	switch c := r.head(); c {
	case 0xd6:
		n = 4
	case 0xd7:
		n = 8
	case 0xc7:
		n = r.count(1, 1)
	default:
		if c != nilCode {
			r.fail("%#02x where a time should be", c)
		}
		return time.Time{}
	}
	if kind := r.take(1); r.err == nil && int8(kind[0]) != -1 {
		r.fail("extension %d where a time should be", int8(kind[0]))
	}
	p := r.take(n)
	if r.err != nil {
		return time.Time{}
	}
	switch n {
	case 4:
		return time.Unix(int64(binary.BigEndian.Uint32(p)), 0).UTC()
	case 8:
		v := binary.BigEndian.Uint64(p)
		return time.Unix(int64(v&(1<<34-1)), int64(v>>34)).UTC()
	case 12:
		return time.Unix(int64(binary.BigEndian.Uint64(p[4:])), int64(binary.BigEndian.Uint32(p))).UTC()
	}
	r.fail("a time of %d bytes", n)
	return time.Time{}
}

// Skip passes over one value of any kind, however deep.
func (r *Reader) Skip() {
	for left := 1; left > 0 && r.err == nil; left-- {
		switch c := r.head(); {
		case c < 0x80, c >= 0xe0, c == nilCode, c == 0xc2, c == 0xc3:
		case c&0xf0 == 0x80:
			left += 2 * r.bounded(uint64(c&0x0f), 2)
		case c&0xf0 == 0x90:
			left += r.bounded(uint64(c&0x0f), 1)
		case c&0xe0 == 0xa0:
			r.take(int(c & 0x1f))
		case c == 0xc4, c == 0xd9:
			r.take(r.count(1, 1))
		case c == 0xc5, c == 0xda:
			r.take(r.count(2, 1))
		case c == 0xc6, c == 0xdb:
			r.take(r.count(4, 1))
		case c >= 0xc7 && c <= 0xc9: // extension with a length
			n := r.count(1<<(c-0xc7), 1)
			r.take(1)
			r.take(n)
		case c == 0xca:
			r.take(4)
		case c == 0xcb:
			r.take(8)
		case c >= 0xcc && c <= 0xcf:
			r.take(1 << (c - 0xcc))
		case c >= 0xd0 && c <= 0xd3:
			r.take(1 << (c - 0xd0))
		case c >= 0xd4 && c <= 0xd8: // extension of a fixed length
			r.take(1 + 1<<(c-0xd4))
		case c == 0xdc:
			left += r.count(2, 1)
		case c == 0xdd:
			left += r.count(4, 1)
		case c == 0xde:
			left += 2 * r.count(2, 2)
		case c == 0xdf:
			left += 2 * r.count(4, 2)
		default:
			r.fail("%#02x is no code", c)
		}
		if left > len(r.b)-r.off+1 {
			r.fail("%w", errShort)
		}
	}
}

// ErrTrailing is what End reports for bytes after the last value.
var ErrTrailing = errors.New("msgpack: more bytes than the value has")

// End returns the first error, or ErrTrailing if anything was left unread.
func (r *Reader) End() error {
	if r.err == nil && r.off < len(r.b) {
		return ErrTrailing
	}
	return r.err
}
