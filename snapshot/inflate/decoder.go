package inflate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Window is how far back a match may refer, in bytes.
const Window = 32 << 10

// slop is how many bytes a decoder may write past the limit that it is given:
// two literals, a match, and the rest of eight bytes.
const slop = 2 + 258 + 8

const (
	// inSlop bytes must be readable from where the decoder stands: two times
	// it takes up to seven and looks at eight.
	inSlop = 24
	// inPad zeros stand after the end of the input.
	inPad = 64
)

// ErrCorrupt is in the chain of errors about input that is not DEFLATE or gzip.
// Input that ends too early is io.ErrUnexpectedEOF.
var ErrCorrupt = errors.New("corrupt compressed data")

type mode uint8

const (
	atHeader mode = iota // of a block
	inStored
	inCodes
	done // after the last block
)

// A decoder decodes DEFLATE. Its output is a slice that the caller provides,
// with the history before it.
type decoder struct {
	src  io.Reader // nil when all of the input is in the buffer
	buf  []byte    // with room for inPad after it
	in   []byte    // of buf, padded at the end of the input
	pos  int       // in in
	end  int       // of the true input in in
	eof  bool
	base int64 // offset of in[0] in the file

	bits  uint64 // the next bits of the input, lowest first
	nbits uint   // how many of them are accounted for in pos; more may be there

	mode   mode
	final  bool
	stored int   // bytes left of a stored block
	header int64 // where the current block's header begins, in bits

	cur *tables
	dyn tables
}

// at returns where the decoder stands, in bits from the file's beginning.
func (d *decoder) at() int64 { return (d.base+int64(d.pos))*8 - int64(d.nbits) }

func (d *decoder) corrupt(what string) error {
	return fmt.Errorf("%w at byte %d: %s", ErrCorrupt, d.at()/8, what)
}

// fill makes inSlop bytes readable.
func (d *decoder) fill() error {
	if d.eof {
		return io.ErrUnexpectedEOF
	}
	keep := 8 // bits may hold bytes before pos
	keep = min(keep, d.pos)
	n := copy(d.buf, d.in[d.pos-keep:d.end])
	d.base += int64(d.pos - keep)
	d.pos = keep
	for n < keep+2*inSlop && !d.eof {
		k, err := d.src.Read(d.buf[n : len(d.buf)-inPad])
		n += k
		switch {
		case errors.Is(err, io.EOF):
			d.eof = true
		case err != nil:
			return err
		}
	}
	d.setEnd(n)
	return nil
}

func (d *decoder) setEnd(n int) {
	d.end, d.in = n, d.buf[:n]
	if d.eof {
		d.in = d.buf[:n+inPad]
		clear(d.in[n:])
	}
}

// refill makes 56 bits available.
func (d *decoder) refill() error {
	if d.pos > len(d.in)-inSlop {
		if err := d.fill(); err != nil {
			return err
		}
	}
	d.bits |= binary.LittleEndian.Uint64(d.in[d.pos:]) << (d.nbits & 63)
	d.pos += int((63 - d.nbits) >> 3)
	d.nbits |= 56
	return nil
}

// overrun reports whether the decoder took bits that are not there.
func (d *decoder) overrun() bool {
	return d.eof && int64(d.pos)*8-int64(d.nbits) > int64(d.end)*8
}

func (d *decoder) take(n uint) uint32 {
	v := uint32(d.bits) & (1<<n - 1)
	d.bits >>= n
	d.nbits -= n
	return v
}

// align moves to the next byte and empties the register.
func (d *decoder) align() {
	d.pos -= int(d.nbits / 8)
	d.bits, d.nbits = 0, 0
}

// decode writes to out from o on, until limit or the end of the stream, and
// returns where it stopped: at limit or up to slop behind it, for which out
// must have room. Matches may refer to bytes from low on. It also stops, where
// a block begins, once it stands at bit inLimit of the input.
func (d *decoder) decode(out []byte, o, low, limit int, inLimit int64) (int, error) {
	for o < limit {
		var err error
		switch d.mode {
		case done:
			return o, nil
		case atHeader:
			if d.at() >= inLimit {
				return o, nil
			}
			err = d.blockHeader()
		case inStored:
			o, err = d.copyStored(out, o, limit)
		case inCodes:
			o, err = d.codes(out, o, low, limit)
		}
		if err == nil && d.overrun() {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func (d *decoder) endOfBlock() {
	d.mode = atHeader
	if d.final {
		d.mode = done
	}
}

// blockHeader reads the header of a block, with its code tables.
func (d *decoder) blockHeader() error {
	d.header = d.at()
	if err := d.refill(); err != nil {
		return err
	}
	d.final = d.take(1) == 1
	switch d.take(2) {
	case 0:
		return d.storedHeader()
	case 1:
		d.cur, d.mode = fixed(), inCodes
		return nil
	case 2:
		d.cur, d.mode = &d.dyn, inCodes
		return d.dynamicHeader()
	}
	return d.corrupt("a block of a type that does not exist")
}

func (d *decoder) storedHeader() error {
	d.align()
	if err := d.refill(); err != nil {
		return err
	}
	n, inverse := d.take(16), d.take(16)
	if n != ^inverse&0xffff {
		if d.overrun() {
			return io.ErrUnexpectedEOF
		}
		return d.corrupt("the length of a stored block contradicts itself")
	}
	d.align()
	d.stored, d.mode = int(n), inStored
	if n == 0 {
		d.endOfBlock()
	}
	return nil
}

func (d *decoder) copyStored(out []byte, o, limit int) (int, error) {
	if d.pos >= d.end {
		if err := d.fill(); err != nil {
			return o, err
		}
		if d.pos >= d.end {
			return o, io.ErrUnexpectedEOF
		}
	}
	n := copy(out[o:min(limit, o+d.stored)], d.in[d.pos:d.end])
	d.pos += n
	if d.stored -= n; d.stored == 0 {
		d.endOfBlock()
	}
	return o + n, nil
}

// preOrder is the order in which the lengths of the code for code lengths stand.
var preOrder = [19]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (d *decoder) dynamicHeader() error {
	nlit, ndist, npre := int(d.take(5))+257, int(d.take(5))+1, int(d.take(4))+4
	if nlit > 286 || ndist > 30 {
		return d.corrupt("a block with more symbols than there are")
	}
	var pre [19]uint8
	for i := range npre {
		if d.nbits < 3 {
			if err := d.refill(); err != nil {
				return err
			}
		}
		pre[preOrder[i]] = uint8(d.take(3))
	}
	var table [1 << preBits]uint32
	if err := build(table[:], preBits, pre[:], preSymbols[:]); err != nil {
		return d.corrupt("code of the code lengths: " + err.Error())
	}
	var lengths [286 + 30 + 138]uint8
	for i := 0; i < nlit+ndist; {
		if err := d.refill(); err != nil {
			return err
		}
		if d.overrun() {
			return io.ErrUnexpectedEOF
		}
		e := table[d.bits&(1<<preBits-1)]
		if e&entryOther != 0 {
			return d.corrupt("a code length that no code stands for")
		}
		d.take(uint(e & 0xf))
		value, repeat := uint8(e>>16), 1
		switch value {
		case 16:
			if i == 0 {
				return d.corrupt("the first code length repeats one before it")
			}
			value, repeat = lengths[i-1], 3+int(d.take(2))
		case 17:
			value, repeat = 0, 3+int(d.take(3))
		case 18:
			value, repeat = 0, 11+int(d.take(7))
		}
		for range repeat {
			lengths[i] = value
			i++
		}
		if i > nlit+ndist {
			return d.corrupt("more code lengths than announced")
		}
	}
	if lengths[256] == 0 {
		return d.corrupt("a block that has no code for its end")
	}
	if err := build(d.dyn.lit[:], litBits, lengths[:nlit], litSymbols[:]); err != nil {
		return d.corrupt("literals: " + err.Error())
	}
	if err := build(d.dyn.dist[:], distBits, lengths[nlit:nlit+ndist], distSymbols[:]); err != nil {
		return d.corrupt("distances: " + err.Error())
	}
	return nil
}
