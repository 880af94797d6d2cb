package tarindex

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// IsTar reports whether the beginning of a file is a header that ustar, pax or
// GNU tar wrote. (V7's has no mark and is not recognised.)
func IsTar(head []byte) bool {
	return len(head) >= blockSize && bytes.Equal(head[257:262], []byte("ustar"))
}

// A header is one block of metadata.
type header struct{ b [blockSize]byte }

// verify compares the header's checksum, the sum of its bytes with the field
// itself taken as spaces. Old programs summed signed characters.
func (h *header) verify() error {
	want, err := h.number(148, 8)
	if err != nil {
		return errors.New("this is not a tar header (no checksum)")
	}
	var unsigned, signed int64
	for i, c := range h.b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	if want != unsigned && want != signed {
		return fmt.Errorf("tar header with a wrong checksum (%d, computed %d): the archive is damaged here", want, unsigned)
	}
	return nil
}

// text returns a field that a NUL ends, or its length.
func (h *header) text(off, n int) string {
	s, _, _ := bytes.Cut(h.b[off:off+n], []byte{0})
	return string(s)
}

// name joins ustar's prefix and name. GNU uses the prefix's place otherwise.
func (h *header) name() string {
	name := h.text(0, 100)
	if string(h.b[257:263]) == "ustar\x00" {
		if prefix := h.text(345, 155); prefix != "" {
			return prefix + "/" + name
		}
	}
	return name
}

// number reads a numeric field: octal digits, or base-256 if the first bit
// is set. An empty field is 0.
func (h *header) number(off, n int) (int64, error) {
	b := h.b[off : off+n]
	if b[0]&0x80 != 0 {
		return base256(b)
	}
	s := strings.Trim(string(b), " \x00")
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 8, 63)
	return int64(v), err
}

// base256 reads a two's complement number, big-endian, whose first bit is a
// flag and whose second is the sign.
func base256(b []byte) (int64, error) {
	var inv byte
	if b[0]&0x40 != 0 {
		inv = 0xff
	}
	var x uint64
	for i, c := range b {
		c ^= inv
		if i == 0 {
			c &= 0x7f
		}
		if x>>56 > 0 {
			return 0, errors.New("number does not fit into 64 bits")
		}
		x = x<<8 | uint64(c)
	}
	if x > math.MaxInt64 {
		return 0, errors.New("number does not fit into 64 bits")
	}
	if inv == 0xff {
		return ^int64(x), nil
	}
	return int64(x), nil
}

// decimal reads a number of a PAX record.
func decimal(s string) (int64, error) {
	v, err := strconv.ParseUint(s, 10, 63)
	return int64(v), err
}

// paxTime reads seconds with an optional fraction.
func paxTime(s string) (time.Time, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec < 0 || sec > 1<<40 {
		return time.Time{}, false
	}
	frac = (frac + "000000000")[:9]
	nsec, err := strconv.ParseUint(frac, 10, 32)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(nsec)), true
}
