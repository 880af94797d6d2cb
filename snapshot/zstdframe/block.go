package zstdframe

import (
	"encoding/binary"
	"slices"
)

// Kinds of blocks, and of literals.
const (
	rawBlock = iota
	rleBlock
	compressedBlock
)

const (
	rawLiterals = iota
	rleLiterals
	compressedLiterals
	treelessLiterals
)

// maxTree bounds the description of a Huffman tree, in bytes.
const maxTree = 1 + 128

// tables are the code tables that a block uses, or that are left for the next
// one: nil where there are none yet.
type tables struct {
	tree  []byte // the description as it stands in the file
	dists [kinds]*dist
}

// A block is one of a frame, at first as its header and sections are, and then
// as they were decoded.
type block struct {
	frame *frame
	first bool // of the frame
	last  bool
	want  uint32 // checksum of the frame's content, with the last block
	at    int64  // of the block in the file
	input int64  // where the file goes on behind the block

	kind int
	size int // of what a block that is not compressed expands to
	raw  section

	// Of a compressed block:
	tables   // as they are behind it
	literals section
	litKind  int
	litSize  int
	streams  int
	count    int // of sequences
	codes    section

	// What is made of it by an entropy decoder.
	lits []byte // with slack behind, without it len(lits) = litSize
	seqs []sequence
	err  error
	done chan struct{}

	rawBuf, litBuf []byte
}

// A parser cuts the file into blocks.
type parser struct {
	in    input
	frame *frame // nil between two frames
	first bool
	tables
}

// next reads the next block to b; more is false at the end of the file.
func (p *parser) next(b *block) (more bool, err error) {
	if p.frame == nil {
		if p.frame, err = nextFrame(p.in); err != nil || p.frame == nil {
			return false, err
		}
		p.first, p.tables = true, tables{}
	}
	at := p.in.at()
	head, err := p.in.next(3, &b.rawBuf)
	if err != nil {
		return false, err
	}
	h := head.bytes()
	word := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	b.frame, b.first, b.last, b.kind, b.size = p.frame, p.first, word&1 != 0, word>>1&3, word>>3
	b.at = at
	b.lits, b.seqs, b.count, b.err = nil, b.seqs[:0], 0, nil
	p.first = false
	if b.size > p.frame.blockMax() {
		return false, corrupt(at, "a block that is larger than the frame allows")
	}
	n := b.size
	switch b.kind {
	case rawBlock:
	case rleBlock:
		n = 1
	case compressedBlock:
	default:
		return false, corrupt(at, "a block of a kind that does not exist")
	}
	if b.raw, err = p.in.next(n, &b.rawBuf); err != nil {
		return false, err
	}
	if b.kind == compressedBlock {
		if what := p.sections(b); what != "" {
			return false, corrupt(at, what)
		}
	}
	b.tables = p.tables
	if b.last {
		if p.frame.sum {
			var buf []byte
			sum, err := p.in.next(4, &buf)
			if err != nil {
				return false, err
			}
			b.want = binary.LittleEndian.Uint32(sum.bytes())
		}
		p.frame = nil
	}
	b.input = p.in.at()
	return true, nil
}

// sections finds the literals and the sequences of a compressed block (RFC
// 8878, 3.1.1.3) and reads the descriptions of distributions. It returns what
// is wrong, "" if nothing is.
func (p *parser) sections(b *block) (wrong string) {
	in := b.raw
	if wrong = p.literals(b, &in); wrong != "" {
		return wrong
	}
	// sequences
	s := in.bytes()
	if len(s) == 0 {
		return "a block without its sequences"
	}
	n := 1
	switch {
	case s[0] < 128:
		b.count = int(s[0])
	case s[0] < 255 && len(s) > 1:
		b.count, n = int(s[0]-128)<<8|int(s[1]), 2
	case s[0] == 255 && len(s) > 2:
		b.count, n = int(s[1])|int(s[2])<<8+0x7f00, 3
	default:
		return "a block that is cut short"
	}
	in.lo += n
	if b.count == 0 {
		if in.lo != in.hi {
			return "a block with bytes behind its end"
		}
		return ""
	}
	if s = in.bytes(); len(s) == 0 || b.count > maxBlock/3 { // no match is shorter
		return "a block with an impossible number of sequences"
	}
	modes := s[0]
	in.lo++
	if modes&3 != 0 {
		return "a block with bits that have no meaning"
	}
	for kind := range kinds {
		var err error
		switch modes >> (6 - 2*kind) & 3 {
		case 0:
			p.dists[kind] = predefined[kind]
		case 1:
			if in.lo == in.hi {
				return "a block that is cut short"
			}
			p.dists[kind], err = rleDist(kind, in.buf[in.lo])
			in.lo++
		case 2:
			p.dists[kind], n, err = readDist(kind, in.bytes())
			in.lo += n
		case 3:
			if p.dists[kind] == nil {
				return "a block that repeats a table, and there is none"
			}
		}
		if err != nil {
			return err.Error()
		}
	}
	b.codes = in
	return ""
}

// literals finds the literals and moves in behind them.
func (p *parser) literals(b *block, in *section) (wrong string) {
	s := in.bytes()
	if len(s) == 0 {
		return "a block without its literals"
	}
	const short = "literals that are cut short"
	b.litKind, b.streams = int(s[0]&3), 1
	format := s[0] >> 2 & 3
	var size, packed, n int
	if b.litKind == rawLiterals || b.litKind == rleLiterals {
		n = [4]int{1, 2, 1, 3}[format]
		if len(s) < n {
			return short
		}
		switch n {
		case 1:
			size = int(s[0] >> 3)
		case 2:
			size = int(s[0])>>4 | int(s[1])<<4
		case 3:
			size = int(s[0])>>4 | int(s[1])<<4 | int(s[2])<<12
		}
		packed = size
		if b.litKind == rleLiterals {
			packed = 1
		}
	} else {
		n = [4]int{3, 3, 4, 5}[format]
		if len(s) < n {
			return short
		}
		var word uint64
		for i, c := range s[:n] {
			word |= uint64(c) << (8 * i)
		}
		k := [4]int{10, 10, 14, 18}[format]
		size, packed = int(word>>4)&(1<<k-1), int(word>>(4+k))
		if format != 0 {
			b.streams = 4
		}
	}
	if len(s)-n < packed {
		return short
	}
	if b.litSize = size; size > b.frame.blockMax() {
		return "more literals than the frame allows"
	}
	b.literals = section{in.buf, in.lo + n, in.lo + n + packed}
	in.lo = b.literals.hi
	switch b.litKind {
	case compressedLiterals:
		t := b.literals.bytes()
		if len(t) == 0 {
			return short
		}
		tree := 1 + int(t[0]) // weights that are compressed, or one in four bits
		if t[0] >= 128 {
			tree = 1 + (int(t[0])-127+1)/2
		}
		if len(t) < tree {
			return short
		}
		p.tree = slices.Clone(t[:tree])
		b.literals.lo += tree
	case treelessLiterals:
		if p.tree == nil {
			return "literals without a Huffman tree"
		}
	}
	return ""
}
