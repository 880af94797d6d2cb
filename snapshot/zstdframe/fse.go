package zstdframe

import (
	"errors"
	"math/bits"
	"slices"
)

// Kinds of the codes in sequences.
const (
	literalLengths = iota
	offsets
	matchLengths
	kinds
)

const (
	minTableLog = 5
	maxTableLog = 9
	maxSymbols  = 53
)

// A codeSet says what a kind's codes mean: a value of a base and as many
// extra bits (RFC 8878, 3.1.1.3.2.1.1).
type codeSet struct {
	maxLog int
	base   []uint32
	bits   []uint8
}

var codeSets = [kinds]codeSet{
	literalLengths: {9, bases(0, llBits), llBits},
	offsets:        {8, offsetBases(), offsetBits()},
	matchLengths:   {9, bases(3, mlBits), mlBits},
}

var (
	llBits = append(make([]uint8, 16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	mlBits = append(make([]uint8, 32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
)

// bases of codes that follow each other without a gap.
func bases(first uint32, extra []uint8) (b []uint32) {
	for _, n := range extra {
		b = append(b, first)
		first += 1 << n
	}
	return b
}

// offsetBits: code n is a bit n and n extra bits.
func offsetBits() (b []uint8) {
	for n := range uint8(32) {
		b = append(b, n)
	}
	return b
}

func offsetBases() (b []uint32) {
	for n := range 32 {
		b = append(b, 1<<n)
	}
	return b
}

// A dist is the distribution of a kind's codes, from which a table is built.
// It is not changed once it is made.
type dist struct {
	norm []int16 // of each code; -1 is less than one
	log  int
	desc []byte // as it stands in the file, for restarts; nil for an rle and a predefined one
	rle  bool   // one code only, symbol
	symbol,
	kind uint8
}

var errTable = errors.New("a code table that is impossible")

// predefined are the distributions of blocks that have none of their own
// (RFC 8878, 3.1.1.3.2.2).
var predefined = [kinds]*dist{
	literalLengths: {log: 6, kind: literalLengths, norm: []int16{
		4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
	}},
	offsets: {log: 5, kind: offsets, norm: []int16{
		1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
	}},
	matchLengths: {log: 6, kind: matchLengths, norm: []int16{
		1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
	}},
}

// rleDist is the distribution of one code.
func rleDist(kind int, symbol byte) (*dist, error) {
	if int(symbol) >= len(codeSets[kind].base) {
		return nil, errTable
	}
	return &dist{rle: true, symbol: symbol, kind: uint8(kind)}, nil
}

// readDist reads a description of a distribution at the beginning of b and
// returns how long it is (RFC 8878, 4.1.1).
func readDist(kind int, b []byte) (*dist, int, error) {
	at, overrun := 0, false // in bits
	peek := func(n int) int {
		v := 0
		for i := range 3 { // at most 10 bits and 7 before them
			if k := at/8 + i; k < len(b) {
				v |= int(b[k]) << (8 * i)
			}
		}
		return v >> (at % 8) & (1<<n - 1)
	}
	take := func(n int) {
		at += n
		overrun = at > 8*len(b)
	}
	d := &dist{log: peek(4) + minTableLog, kind: uint8(kind)}
	take(4)
	if d.log > codeSets[kind].maxLog {
		return nil, 0, errTable
	}
	symbols := len(codeSets[kind].base)
	left := 1 << d.log
	d.norm = make([]int16, 0, symbols)
	for left > 0 && !overrun {
		if len(d.norm) >= symbols {
			return nil, 0, errTable
		}
		// A value of 0 to left+1; the lower ones take a bit less.
		n := bits.Len(uint(left + 1))
		short := 1<<n - 2 - left
		v := peek(n)
		if low := v & (1<<(n-1) - 1); low < short {
			v = low
			take(n - 1)
		} else {
			if v >= 1<<(n-1) {
				v -= short
			}
			take(n)
		}
		p := v - 1
		d.norm = append(d.norm, int16(p))
		if p < 0 {
			left--
		} else {
			left -= p
		}
		for more := p == 0; more && !overrun; { // how many zeros follow
			zeros := peek(2)
			take(2)
			if len(d.norm)+zeros > symbols {
				return nil, 0, errTable
			}
			d.norm = append(d.norm, make([]int16, zeros)...)
			more = zeros == 3
		}
	}
	n := (at + 7) / 8
	if left != 0 || overrun {
		return nil, 0, errTable
	}
	d.desc = slices.Clone(b[:n])
	return d, n, nil
}

// An entry of a table says what a state stands for: bits 0 to 7 are the number
// of the value's extra bits, 8 to 15 those of the next state, 16 to 31 the next
// state's base, and 32 to 63 the value's.
type entry uint64

func (e entry) extra() uint { return uint(e & 0xff) }
func (e entry) bits() uint  { return uint(e >> 8 & 0xff) }
func (e entry) next() uint  { return uint(e >> 16 & 0xffff) }
func (e entry) base() uint  { return uint(e >> 32) }

// A table decodes the codes of one distribution.
type table struct {
	entries [1 << maxTableLog]entry
	log     uint
	of      *dist // which one this is
}

// load builds the table of d, unless it is there (RFC 8878, 4.1.1: from
// normalized distribution to decoding tables).
func (t *table) load(d *dist) {
	if t.of == d {
		return
	}
	set := &codeSets[d.kind]
	t.of = d
	if d.rle {
		t.log = 0
		t.entries[0] = entry(set.base[d.symbol])<<32 | entry(set.bits[d.symbol])
		return
	}
	t.log = uint(d.log)
	size := 1 << d.log
	var symbol [1 << maxTableLog]uint8
	var next [maxSymbols]uint16
	high := size - 1
	for s, p := range d.norm {
		next[s] = uint16(p)
		if p < 0 { // less than one: a place at the end
			next[s] = 1
			symbol[high] = uint8(s)
			high--
		}
	}
	at, step := 0, size>>1+size>>3+3
	for s, p := range d.norm {
		for range p {
			symbol[at] = uint8(s)
			for at = (at + step) & (size - 1); at > high; at = (at + step) & (size - 1) {
			}
		}
	}
	for i, s := range symbol[:size] {
		n := next[s]
		next[s]++
		k := d.log - bits.Len16(n) + 1
		t.entries[i] = entry(set.base[s])<<32 | entry(int(n)<<k-size)<<16 | entry(k)<<8 | entry(set.bits[s])
	}
}
