package ext4fs

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

var be = binary.BigEndian

// Layout of the journal (include/linux/jbd2.h); its numbers are big-endian.
const (
	journalMagic = 0xC03B3998

	typeDescriptor = 1
	typeCommit     = 2
	typeSuper1     = 3
	typeSuper2     = 4
	typeRevoke     = 5

	feature64Bit      = 0x2
	featureCSum2      = 0x8
	featureCSum3      = 0x10
	featureFastCommit = 0x20
	featuresKnown     = 0x1 | feature64Bit | 0x4 | featureCSum2 | featureCSum3 | featureFastCommit

	tagEscape   = 1
	tagSameUUID = 2
	tagLast     = 8
)

// maxReplay bounds the transactions of a journal: its largest is some GiB.
const maxReplay = 16 << 20

// A journaled block is one whose contents are in the journal.
type journaled struct {
	at      uint64 // the copy's block in the file system
	escaped bool   // its first four bytes were the journal's magic number
}

func (j journaled) read(f *FS, p []byte, off int64) error {
	if err := imagefs.ReadFull(f.r, p, int64(j.at)*f.block+off); err != nil {
		return err
	}
	if j.escaped {
		var first [4]byte
		be.PutUint32(first[:], journalMagic)
		if off < 4 {
			copy(p, first[off:])
		}
	}
	return nil
}

// Replayed implements imagefs.FS.
func (f *FS) Replayed() imagefs.Replay {
	return imagefs.Replay{Pieces: len(f.journal), Unit: "blocks"}
}

// A log is a journal that is being read.
type log struct {
	f        *FS
	content  *imagefs.Content
	extents  imagefs.Extents
	first    uint32 // block of the journal that the log begins with
	end      uint32 // behind its last
	features uint32
	seed     uint32
	sums     bool
}

// replay reads the journal of the inode and remembers what it replaces.
func (f *FS) replay(inode uint32) error {
	in, err := f.inode(uint64(inode))
	if err != nil {
		return damaged("the journal: %w", err)
	}
	c := in.Content()
	list, err := c.Extents()
	if err != nil {
		return damaged("the journal: %w", err)
	}
	l := &log{f: f, content: c, extents: list}
	start, sequence, err := l.superblock()
	if err != nil || start == 0 {
		return err
	}
	transactions, err := l.scan(start, sequence)
	if err != nil {
		return err
	}
	f.journal = transactions.replacements()
	return nil
}

// superblock reads the journal's own; start is 0 if the log is empty.
func (l *log) superblock() (start, sequence uint32, err error) {
	b := make([]byte, 1024)
	if n, err := l.content.ReadAt(b, 0); n < len(b) {
		return 0, 0, damaged("the journal has no superblock: %w", err)
	}
	if be.Uint32(b) != journalMagic || be.Uint32(b[4:]) != typeSuper1 && be.Uint32(b[4:]) != typeSuper2 {
		return 0, 0, damaged("the journal has no superblock")
	}
	start, sequence = be.Uint32(b[28:]), be.Uint32(b[24:])
	if start == 0 {
		return 0, 0, nil
	}
	l.first, l.end = be.Uint32(b[20:]), be.Uint32(b[16:])
	if be.Uint32(b[4:]) == typeSuper2 {
		l.features = be.Uint32(b[40:])
	}
	switch {
	case l.features&^featuresKnown != 0:
		return 0, 0, unsupported("the journal has features that this build does not know (%#x)", l.features)
	case l.features&featureFastCommit != 0:
		return 0, 0, unsupported("the journal has fast commits, which this build does not replay: mount a copy of the disk once, and unmount it")
	case int64(be.Uint32(b[12:])) != l.f.block, l.first == 0, l.end <= l.first, int64(l.end)*l.f.block > l.content.Size, start < l.first || start >= l.end:
		return 0, 0, damaged("the journal's superblock is impossible: blocks of %d bytes, log from %d to %d, begun at %d", be.Uint32(b[12:]), l.first, l.end, start)
	}
	if l.features&(featureCSum2|featureCSum3) != 0 {
		l.sums = true
		l.seed = crc(^uint32(0), b[48:64])
		sum := be.Uint32(b[252:])
		clear(b[252:256])
		if crc(^uint32(0), b) != sum {
			return 0, 0, damaged("the journal's superblock does not match its checksum")
		}
	}
	return start, sequence, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc is the kernel's crc32c, which inverts neither its beginning nor its end.
func crc(seed uint32, b []byte) uint32 { return ^crc32.Update(^seed, castagnoli, b) }

// history is what complete transactions say, in their order.
type history struct {
	writes  []write
	revoked map[uint64]uint32 // block to the last transaction that revoked it
}

type write struct {
	block       uint64
	copy        journaled
	transaction uint32
	sum         uint32 // of the copy
}

// replacements applies the rule of revocation: a block revoked by a later
// transaction, or the same, is not replayed from an earlier one.
func (h *history) replacements() map[uint64]journaled {
	m := map[uint64]journaled{}
	for _, w := range h.writes {
		if last, ok := h.revoked[w.block]; ok && int32(last-w.transaction) >= 0 {
			continue
		}
		m[w.block] = w.copy
	}
	return m
}

// next is the block after at in the log's ring.
func (l *log) next(at uint32) uint32 {
	if at++; at >= l.end {
		return l.first
	}
	return at
}

// scan reads complete transactions from start on. A transaction is complete
// with its commit block; the log ends with the first that is not.
func (l *log) scan(start, sequence uint32) (*history, error) {
	h := &history{revoked: map[uint64]uint32{}}
	var writes []write // of the transaction that is not complete yet
	revoked := map[uint64]bool{}
	b := make([]byte, l.f.block)
	at := start
	for steps := uint32(0); steps <= l.end-l.first; {
		if n, err := l.content.ReadAt(b, int64(at)*l.f.block); n < len(b) {
			return nil, damaged("the journal cannot be read at its block %d: %w", at, err)
		}
		if be.Uint32(b) != journalMagic || be.Uint32(b[8:]) != sequence {
			return h, nil
		}
		steps++
		at = l.next(at)
		switch be.Uint32(b[4:]) {
		case typeDescriptor:
			if !l.tail(b) {
				return h, nil // torn: it was being written
			}
			tags, err := l.tags(b)
			if err != nil {
				return nil, err
			}
			for _, t := range tags {
				t.transaction = sequence
				place, err := l.place(at)
				if err != nil {
					return nil, err
				}
				t.copy.at = place
				writes = append(writes, t)
				at = l.next(at)
				steps++
			}
			if len(h.writes)+len(writes) > maxReplay {
				return nil, damaged("the journal has more than %d blocks to replay", maxReplay)
			}
		case typeRevoke:
			if !l.tail(b) {
				return h, nil
			}
			if err := l.revokes(b, revoked); err != nil {
				return nil, err
			}
		case typeCommit:
			if !l.committed(b) {
				return h, nil
			}
			if err := l.verify(writes); err != nil {
				return nil, err
			}
			h.writes = append(h.writes, writes...)
			for block := range revoked {
				h.revoked[block] = sequence
			}
			writes = nil
			clear(revoked)
			sequence++
		default:
			return h, nil
		}
	}
	return h, nil
}

// place is where a block of the journal lies in the file system.
func (l *log) place(at uint32) (uint64, error) {
	if place, ok := l.extents.Find(uint64(at)); ok {
		return place, nil
	}
	return 0, damaged("the journal has a hole at its block %d", at)
}

// tail compares the checksum at the end of a descriptor or revoke block.
func (l *log) tail(b []byte) bool {
	if !l.sums {
		return true
	}
	n := len(b) - 4
	return crc(crc(l.seed, b[:n]), make([]byte, 4)) == be.Uint32(b[n:])
}

// committed compares the checksum of a commit block.
func (l *log) committed(b []byte) bool {
	if !l.sums {
		return true
	}
	c := bytes.Clone(b)
	clear(c[16:20])
	return crc(l.seed, c) == be.Uint32(b[16:])
}

// verify compares the checksums of a complete transaction's blocks.
func (l *log) verify(writes []write) error {
	if !l.sums {
		return nil
	}
	b := make([]byte, l.f.block)
	for _, w := range writes {
		if err := imagefs.ReadFull(l.f.r, b, int64(w.copy.at)*l.f.block); err != nil {
			return err
		}
		var sequence [4]byte
		be.PutUint32(sequence[:], w.transaction)
		got := crc(crc(l.seed, sequence[:]), b)
		if l.features&featureCSum3 == 0 {
			got &= 0xFFFF
		}
		if got != w.sum {
			return damaged("the journal's copy of block %d does not match its checksum", w.block)
		}
	}
	return nil
}

// tags reads which blocks a descriptor describes.
func (l *log) tags(b []byte) ([]write, error) {
	size, end := 8, len(b)
	if l.features&feature64Bit != 0 {
		size += 4
	}
	switch {
	case l.features&featureCSum3 != 0:
		size = 16
	case l.features&featureCSum2 != 0:
		size += 2
	}
	if l.sums {
		end -= 4
	}
	var tags []write
	for at := 12; at+size <= end; at += size {
		var t write
		t.block = uint64(be.Uint32(b[at:]))
		flags := uint32(be.Uint16(b[at+6:]))
		if l.features&featureCSum3 != 0 {
			flags = be.Uint32(b[at+4:])
		}
		switch {
		case l.features&featureCSum3 != 0:
			t.sum = be.Uint32(b[at+12:])
		case l.features&featureCSum2 != 0:
			t.sum = uint32(be.Uint16(b[at+4:]))
		}
		if l.features&feature64Bit != 0 {
			t.block |= uint64(be.Uint32(b[at+8:])) << 32
		}
		if t.block >= l.f.blocks {
			return nil, damaged("the journal replaces block %d of %d", t.block, l.f.blocks)
		}
		t.copy.escaped = flags&tagEscape != 0
		tags = append(tags, t)
		if flags&tagSameUUID == 0 {
			at += 16
		}
		if flags&tagLast != 0 {
			break
		}
	}
	return tags, nil
}

// revokes reads the blocks that a revoke block names.
func (l *log) revokes(b []byte, into map[uint64]bool) error {
	used, size := int(be.Uint32(b[12:])), 4
	if l.features&feature64Bit != 0 {
		size = 8
	}
	if used < 16 || used > len(b) {
		return damaged("a revoke block of %d bytes", used)
	}
	for at := 16; at+size <= used; at += size {
		block := uint64(be.Uint32(b[at:]))
		if size == 8 {
			block = be.Uint64(b[at:])
		}
		into[block] = true
	}
	return nil
}
