// Package blockmap reads the maps of pgBackRest's block incremental backups: of
// which blocks a file is made, and in which backup each lies.
//
// A file is cut into blocks of one size. Blocks that are stored together make a
// super block, which is compressed and encrypted as a whole. The map lists the
// file's blocks in order, as runs: so many blocks from this place on in a super
// block of that backup. All numbers are varints of 7 bits a byte, low bits first.
//
//	flags                                bit 0: version, 0
//	for each reference                   number<<3; bit 0: the last one
//	  first time: bit 1: bundle, bit 2: offset follow
//	  again:      bit 1: goes on in the super block left before; bit 2 then: it is
//	              the last of this reference; else bit 2: gap to the next offset follows
//	  for each super block               stored size<<3, after the first size in
//	                                     the map as a zigzag difference to the last;
//	                                     bit 0: last of the reference
//	    bit 1: size of the content follows: blocks<<1, bit 0: odd bytes follow
//	    bit 2: number of blocks follows: (n-1)<<1, bit 0: how many to skip follows
//	    a checksum for each block        the first bytes of its XXH3 (128 bits)
//
// (pgBackRest, src/command/backup/blockMap.c, since version 2.46)
package blockmap

import (
	"errors"
	"fmt"
	"math"
)

// ErrDamaged is in the chain of errors about a map's content.
var ErrDamaged = errors.New("damaged block map")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// Bounds on what a map may say.
const (
	maxReference = 1 << 16
	maxBundle    = 1 << 40
	maxOffset    = 1 << 50
	maxSuper     = 64 << 20 // bytes of a super block, stored or not
)

// A Super is a super block: a piece of a file in the repository.
type Super struct {
	Reference int   // index into the manifest's list of backups
	Bundle    int64 // 0: the file's own
	Offset    int64 // in the bundle or file
	Stored    int64 // bytes there
	Size      int64 // bytes of content
}

// A Block is one block of the file.
type Block struct {
	Super uint32 // index into Map.Supers
	Index uint32 // place in the super block, counted in blocks
}

// A Map tells where the blocks of a file are.
type Map struct {
	Supers []Super
	Blocks []Block // in the file's order

	sums    []byte
	sumSize int
}

// Sum returns the first bytes of the checksum of block i.
func (m *Map) Sum(i int) []byte { return m.sums[i*m.sumSize : (i+1)*m.sumSize] }

// Parse reads a map of a file of size bytes in blocks of blockSize, with
// checksums of sumSize bytes.
func Parse(data []byte, size, blockSize int64, sumSize int) (*Map, error) {
	if size <= 0 || blockSize <= 0 || blockSize > maxSuper || sumSize < 1 || sumSize > 16 {
		return nil, damaged("a file of %d bytes in blocks of %d with checksums of %d", size, blockSize, sumSize)
	}
	blocks := (size + blockSize - 1) / blockSize
	if blocks > int64(len(data)/sumSize) {
		return nil, damaged("%d bytes for %d blocks: it is cut short", len(data), blocks)
	}
	p := &parser{
		data: data, blockSize: blockSize, blocks: blocks, refs: map[int]*reference{},
		m: &Map{Blocks: make([]Block, 0, blocks), sums: make([]byte, 0, blocks*int64(sumSize)), sumSize: sumSize},
	}
	if flags := p.varint(); p.err == nil && flags&1 != 0 {
		return nil, damaged("of a later version (flags %#x)", flags)
	}
	for more := true; more && p.err == nil; {
		more = p.reference()
	}
	switch {
	case p.err != nil:
		return nil, p.err
	case len(p.data) > 0:
		return nil, damaged("%d bytes behind its end", len(p.data))
	case int64(len(p.m.Blocks)) != blocks:
		return nil, damaged("it has %d blocks, the file %d", len(p.m.Blocks), blocks)
	}
	return p.m, nil
}

// A reference is where the map was in one backup's blocks.
type reference struct {
	bundle int64
	super  int   // index of the last super block; -1: none
	size   int64 // of content, of the last super block
	offset int64 // of the last super block, or of the first one to come
	stored int64 // of the last super block
	block  int64 // next block in it
}

type parser struct {
	data      []byte
	err       error
	m         *Map
	blockSize int64
	blocks    int64
	refs      map[int]*reference
	last      int64 // stored size read last, 0: none yet
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = damaged(format, args...)
	}
}

func (p *parser) varint() uint64 {
	var v uint64
	for shift := 0; ; shift += 7 {
		if len(p.data) == 0 || shift > 63 {
			p.fail("it is cut short, or a number in it has no end")
			p.data = nil
			return 0
		}
		c := p.data[0]
		p.data = p.data[1:]
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
}

// number reads a varint that may be at most limit.
func (p *parser) number(what string, limit int64) int64 {
	v := p.varint()
	if v > uint64(limit) {
		p.fail("%s %d", what, v)
		return 0
	}
	return int64(v)
}

// reference reads one reference and its super blocks; more tells whether
// another one follows.
func (p *parser) reference() (more bool) {
	v := p.varint()
	if v>>3 > maxReference {
		p.fail("reference %d", v>>3)
	}
	if p.err != nil {
		return false
	}
	n := int(v >> 3)
	ref := p.refs[n]
	proceed := false
	switch {
	case ref == nil:
		ref = &reference{super: -1, size: p.blockSize}
		if v&2 != 0 {
			ref.bundle = p.number("bundle", maxBundle)
		}
		if v&4 != 0 {
			ref.offset = p.number("offset", maxOffset)
		}
		p.refs[n] = ref
	case v&2 != 0:
		proceed = true
	default:
		ref.offset += ref.stored
		if v&4 != 0 {
			ref.offset += p.number("gap", maxOffset)
		}
		ref.stored = 0
	}
	for more := true; more && p.err == nil; proceed = false {
		if proceed {
			more = v&4 == 0
			p.last = ref.stored
			p.run(ref, true)
		} else {
			more = p.super(n, ref)
		}
	}
	return v&1 == 0
}

// super reads one super block; more tells whether another one of the same
// reference follows.
func (p *parser) super(n int, ref *reference) (more bool) {
	v := p.varint()
	stored := int64(v >> 3)
	if p.last != 0 {
		stored = p.last + int64(v>>4)
		if v>>3&1 != 0 { // zigzag: negative
			stored = p.last - int64(v>>4) - 1
		}
	}
	if v&2 != 0 {
		w := p.varint()
		if w>>1 > uint64(maxSuper/p.blockSize) {
			p.fail("super block of %d blocks", w>>1)
			return false
		}
		ref.size = int64(w>>1) * p.blockSize
		if w&1 != 0 {
			ref.size += p.number("odd bytes", p.blockSize)
		}
	}
	ref.offset += ref.stored
	if stored <= 0 || stored > maxSuper || ref.size <= 0 || ref.size > maxSuper || ref.offset < 0 || ref.offset > math.MaxInt64/2 {
		p.fail("super block of %d bytes, %d stored, at %d", ref.size, stored, ref.offset)
		return false
	}
	ref.stored, ref.block, p.last = stored, 0, stored
	ref.super = len(p.m.Supers)
	p.m.Supers = append(p.m.Supers, Super{Reference: n, Bundle: ref.bundle, Offset: ref.offset, Stored: stored, Size: ref.size})
	p.run(ref, v&4 != 0)
	return v&1 == 0
}

// run reads which blocks of the current super block come next.
func (p *parser) run(ref *reference, told bool) {
	total := (ref.size + p.blockSize - 1) / p.blockSize
	if told {
		v := p.varint()
		if v&1 != 0 {
			ref.block += p.number("blocks skipped", p.blocks+maxSuper)
		}
		if v>>1 >= uint64(p.blocks) {
			p.fail("run of %d blocks", v>>1)
			return
		}
		total = int64(v>>1) + 1
	}
	switch in := (ref.size + p.blockSize - 1) / p.blockSize; {
	case p.err != nil:
		return
	case ref.super < 0:
		p.fail("it goes on in a super block that was not begun")
		return
	case ref.block+total > in:
		p.fail("blocks %d to %d of a super block of %d", ref.block, ref.block+total, in)
		return
	case int64(len(p.m.Blocks))+total > p.blocks:
		p.fail("more blocks than the file has (%d)", p.blocks)
		return
	}
	n := int(total) * p.m.sumSize
	if len(p.data) < n {
		p.fail("it is cut short")
		return
	}
	p.m.sums = append(p.m.sums, p.data[:n]...)
	p.data = p.data[n:]
	for range total {
		p.m.Blocks = append(p.m.Blocks, Block{uint32(ref.super), uint32(ref.block)})
		ref.block++
	}
}
