package incremental

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/snapview/snapview/snapshot"
)

const (
	magic     = 0xd3ae1f0d
	blockSize = 8192
	maxBlocks = 131072 // of a segment: 1 GiB
)

// A delta is a file INCREMENTAL.<name>: the blocks of <name> that changed.
//
//	u32 magic, u32 number of blocks, u32 truncation length, u32 block number...
//
// little-endian; then, if there are blocks, zeros up to a multiple of 8192 and
// the blocks themselves. (PostgreSQL 17, src/bin/pg_combinebackup/reconstruct.c
// and src/backend/backup/basebackup.c)
type delta struct {
	r      io.ReaderAt
	name   string   // for errors
	blocks []uint32 // ascending
	trunc  uint32   // blocks from here on are in this file or were never in an older one
	data   int64    // offset of the first block
}

// readDelta reads the header of an incremental file of size bytes.
func readDelta(r io.ReaderAt, size int64, name string) (*delta, error) {
	damaged := func(why string) error {
		return snapshot.Errorf(snapshot.ErrDamaged, "%s: %s: not an incremental file of PostgreSQL 17 or later, or damaged", name, why)
	}
	var head [12]byte
	if err := readFull(r, head[:], 0); err != nil {
		return nil, damaged("shorter than its header")
	}
	le := binary.LittleEndian
	n := le.Uint32(head[4:])
	d := &delta{r: r, name: name, trunc: le.Uint32(head[8:])}
	if le.Uint32(head[0:]) != magic || n > maxBlocks || d.trunc > maxBlocks {
		return nil, damaged("impossible header")
	}
	if n > 0 {
		d.data = (12 + 4*int64(n) + blockSize - 1) / blockSize * blockSize
	} else {
		d.data = 12
	}
	if size != d.data+int64(n)*blockSize {
		return nil, damaged("its size does not fit its header")
	}
	list := make([]byte, 4*n)
	if err := readFull(r, list, 12); err != nil {
		return nil, err
	}
	d.blocks = make([]uint32, n)
	for i := range d.blocks {
		d.blocks[i] = le.Uint32(list[4*i:])
		if d.blocks[i] >= maxBlocks || i > 0 && d.blocks[i] <= d.blocks[i-1] {
			return nil, damaged("block numbers out of order or range")
		}
	}
	return d, nil
}

func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// length returns how many blocks the reconstructed file has if d is the newest.
func (d *delta) length() int64 {
	n := int64(d.trunc)
	if len(d.blocks) > 0 {
		n = max(n, int64(d.blocks[len(d.blocks)-1])+1)
	}
	return n
}

// An older file of the chain: one of its fields is set.
type older struct {
	delta *delta
	full  io.ReaderAt
	size  int64 // of full
}

// merged is a file put together from the newest delta and what older backups
// hold. It is a snapshot.Content. Headers of older deltas are read when the
// file is first read, and joined to one map of all blocks that any delta has: a
// read looks a block up in a step or two, however long the chain is. The map
// takes 4 bytes for each of them and a bit and a half for every block of the
// file, 536 KiB at most.
type merged struct {
	newest *delta
	load   func() ([]older, error) // newest first, a full file last

	joined atomic.Bool
	mu     sync.Mutex // of join
	groups []group    // of 64 blocks each
	places []uint32   // of each block that a delta has, in order: the delta's number, and the block's in it
	deltas []*delta
	full   io.ReaderAt // nil if there is none
	size   int64       // of full
}

// A group says which of 64 blocks a delta has.
type group struct {
	bits   uint64
	before uint32 // blocks in all groups before
}

const (
	placeBits = 17 // maxBlocks numbers
	maxDeltas = 1<<(32-placeBits) - 1
)

// join makes the list. An error is not kept: the next read tries again.
func (m *merged) join() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.joined.Load() {
		return nil
	}
	rest, err := m.load()
	if err != nil {
		return err
	}
	if len(rest) >= maxDeltas {
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s: a chain of %d backups", m.newest.name, len(rest)+1)
	}
	m.deltas, m.full = []*delta{m.newest}, nil
	for _, o := range rest {
		if o.full != nil {
			m.full, m.size = o.full, o.size
			break
		}
		m.deltas = append(m.deltas, o.delta)
	}
	found := make([]uint32, m.newest.length()) // 0, or one more than the delta's number, and the block's
	n := 0
	for i, d := range m.deltas {
		for k, b := range d.blocks {
			if i > 0 && b >= m.newest.trunc {
				break // cut off since
			}
			if found[b] == 0 {
				found[b] = uint32(i+1)<<placeBits | uint32(k)
				n++
			}
		}
	}
	m.groups, m.places = make([]group, (len(found)+63)/64), make([]uint32, 0, n)
	for b, place := range found {
		g := &m.groups[b/64]
		if b%64 == 0 {
			g.before = uint32(len(m.places))
		}
		if place != 0 {
			g.bits |= 1 << (b % 64)
			m.places = append(m.places, place-1<<placeBits)
		}
	}
	for _, d := range m.deltas[1:] {
		d.blocks = nil // in the list now
	}
	m.joined.Store(true)
	return nil
}

// source returns where block b is, r == nil for a block of zeros.
func (m *merged) source(b uint32) (r io.ReaderAt, off, limit int64) {
	const none = int64(1) << 62
	if g := m.groups[b/64]; g.bits>>(b%64)&1 != 0 {
		place := m.places[int(g.before)+bits.OnesCount64(g.bits&(1<<(b%64)-1))]
		d := m.deltas[place>>placeBits]
		return d.r, d.data + int64(place&(1<<placeBits-1))*blockSize, none
	}
	off = int64(b) * blockSize
	if b >= m.newest.trunc || m.full == nil || off >= m.size {
		return nil, 0, 0
	}
	return m.full, off, m.size
}

// ReadAt reads runs of blocks that lie behind each other in one file with one
// read.
func (m *merged) ReadAt(p []byte, off int64) (int, error) {
	if !m.joined.Load() {
		if err := m.join(); err != nil {
			return 0, err
		}
	}
	size := m.newest.length() * blockSize
	if off >= size {
		return 0, io.EOF
	}
	atEnd := int64(len(p)) > size-off
	if atEnd {
		p = p[:size-off]
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		b, skip := uint32(at/blockSize), at%blockSize
		r, from, limit := m.source(b)
		n := min(blockSize-skip, int64(len(p)-done))
		for next := b + 1; done+int(n) < len(p); next++ {
			r2, from2, _ := m.source(next)
			if r2 != r || r != nil && from2 != from+int64(next-b)*blockSize {
				break
			}
			n = min(n+blockSize, int64(len(p)-done))
		}
		part := p[done : done+int(n)]
		if r == nil {
			clear(part)
		} else if err := readShort(r, part, from+skip, limit); err != nil {
			return done, err
		}
		done += int(n)
	}
	if atEnd {
		return done, io.EOF
	}
	return done, nil
}

// readShort reads p at off; bytes from limit on are zeros (a full file whose
// last block was not whole).
func readShort(r io.ReaderAt, p []byte, off, limit int64) error {
	if off+int64(len(p)) > limit {
		k := max(limit-off, 0)
		clear(p[k:])
		p = p[:k]
	}
	return readFull(r, p, off)
}

// Prefetch passes the hint on to the files that hold the range, for the first
// and last block only when it spans more: hints need not be exact.
func (m *merged) Prefetch(off, n int64) {
	b := uint32(off / blockSize)
	last := uint32((off + n - 1) / blockSize)
	i := sort.Search(len(m.newest.blocks), func(i int) bool { return m.newest.blocks[i] >= b })
	if p, ok := m.newest.r.(interface{ Prefetch(off, n int64) }); ok && i < len(m.newest.blocks) && m.newest.blocks[i] <= last {
		p.Prefetch(m.newest.data+int64(i)*blockSize, n)
	}
}
