package zstdframe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/klauspost/compress/huff0"
)

// A sequence copies literals, and then a match from a place in the output
// before. The offset is as it stands in the file: 1 to 3 are repeated ones.
type sequence struct{ literals, match, offset uint32 }

// An entropy decoder decodes the literals and sequences of blocks, one at a
// time. Blocks need nothing of each other but the tables that the parser has
// found, so several decoders can work on a frame.
type entropy struct {
	tables [kinds]table
	huff   *huff0.Scratch
	tree   []byte // that huff holds
}

var (
	errLiterals  = errors.New("literals that cannot be decoded")
	errSequences = errors.New("sequences that cannot be decoded")
)

// decode fills in the block's lits and seqs, or its err.
func (e *entropy) decode(b *block) {
	if b.kind != compressedBlock {
		return
	}
	if b.err = e.literals(b); b.err == nil && b.count > 0 {
		b.err = e.sequences(b)
	}
}

func (e *entropy) literals(b *block) (err error) {
	if b.litKind == rawLiterals {
		b.lits = b.literals.buf[b.literals.lo:b.literals.hi]
		return nil
	}
	if cap(b.litBuf) < b.litSize+slack {
		b.litBuf = make([]byte, maxBlock+slack)
	}
	dst := b.litBuf[:0:b.litSize]
	if b.litKind == rleLiterals {
		dst = dst[:b.litSize]
		c := b.literals.bytes()[0]
		for i := range dst {
			dst[i] = c
		}
	} else {
		// Two trees with the same description are the same.
		if e.huff == nil || !bytes.Equal(e.tree, b.tree) {
			e.tree = nil
			// The library wants to see that something follows.
			if e.huff, _, err = huff0.ReadTable(b.tree, e.huff); err != nil {
				return errors.Join(errLiterals, err)
			}
			e.tree = b.tree
		}
		src := b.literals.bytes()
		if len(src) == 0 || b.litSize == 0 {
			return errLiterals
		}
		if b.streams == 4 {
			dst, err = e.huff.Decoder().Decompress4X(dst, src)
		} else {
			dst, err = e.huff.Decoder().Decompress1X(dst, src)
		}
		if err != nil || len(dst) != b.litSize {
			return errors.Join(errLiterals, err)
		}
	}
	b.lits = b.litBuf[:b.litSize]
	return nil
}

// sequences decodes the codes (RFC 8878, 3.1.1.3.2.1.2). They are read from the
// end of the section backwards: value holds eight bytes of it, of which the
// upper used bits were taken.
func (e *entropy) sequences(b *block) error {
	for kind, d := range b.dists {
		e.tables[kind].load(d)
	}
	if cap(b.seqs) < b.count {
		b.seqs = make([]sequence, 1<<bits.Len(uint(b.count)))
	}
	seqs := b.seqs[:b.count]
	buf, lo, hi := b.codes.buf, b.codes.lo, b.codes.hi
	if lo == hi || buf[hi-1] == 0 {
		return errSequences
	}
	pos := hi - 8
	value := binary.LittleEndian.Uint64(buf[pos:])
	used := uint(bits.LeadingZeros8(buf[hi-1])) + 1
	ll, of, ml := &e.tables[literalLengths], &e.tables[offsets], &e.tables[matchLengths]
	take := func(n uint) uint { // up to 56 after a refill
		v := value << (used & 63) >> 1 >> ((63 - n) & 63)
		used += n
		return uint(v)
	}
	refill := func() bool {
		if pos -= int(used >> 3); pos < 0 {
			return false
		}
		used &= 7
		value = binary.LittleEndian.Uint64(buf[pos:])
		return true
	}
	le := ll.entries[take(ll.log)&(1<<maxTableLog-1)]
	oe := of.entries[take(of.log)&(1<<maxTableLog-1)]
	me := ml.entries[take(ml.log)&(1<<maxTableLog-1)]
	for i := range seqs {
		if !refill() {
			return errSequences
		}
		s := &seqs[i]
		s.offset = uint32(oe.base() + take(oe.extra()))
		if oe.extra() > 24 && !refill() {
			return errSequences
		}
		s.match = uint32(me.base() + take(me.extra()))
		s.literals = uint32(le.base() + take(le.extra()))
		if i == len(seqs)-1 {
			break
		}
		if used > 64-3*maxTableLog && !refill() {
			return errSequences
		}
		le = ll.entries[(le.next()+take(le.bits()))&(1<<maxTableLog-1)]
		me = ml.entries[(me.next()+take(me.bits()))&(1<<maxTableLog-1)]
		oe = of.entries[(oe.next()+take(oe.bits()))&(1<<maxTableLog-1)]
	}
	if pos*8+64-int(used) != lo*8 {
		return errSequences
	}
	b.seqs = seqs
	return nil
}
