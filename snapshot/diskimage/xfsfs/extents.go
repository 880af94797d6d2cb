package xfsfs

import (
	"bytes"
	"fmt"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// maxLevel bounds the depth of a tree of extents: XFS's own bound.
const maxLevel = 9

// Content implements imagefs.Node.
func (i *Inode) Content() *imagefs.Content {
	return imagefs.NewContent(imagefs.Layout{
		Size: i.attr.Size, Block: i.f.block, Load: i.extents, Read: i.f.readBlocks, Place: i.begin(),
	})
}

// begin is where the data of a file with few extents begins, in bytes, else -1.
func (i *Inode) begin() int64 {
	if i.format != formatExtents || i.count == 0 || i.flags&flagRealtime != 0 || len(i.fork) < 16 || len(i.f.overlay.steps[i.attr.Number]) > 0 {
		return -1
	}
	r := parseRecord(i.fork)
	at, err := i.f.linear(r.start, r.count)
	if err != nil {
		return -1
	}
	return int64(at) * i.f.block
}

// A record is an extent as XFS writes it: 128 bits.
type record struct {
	unwritten bool
	offset    uint64 // block in the file
	start     uint64 // block, by the number of its group and that inside of it
	count     uint64
}

func parseRecord(b []byte) record {
	hi, lo := be.Uint64(b), be.Uint64(b[8:])
	return record{
		unwritten: hi>>63 != 0,
		offset:    hi >> 9 & (1<<54 - 1),
		start:     hi&(1<<9-1)<<43 | lo>>21,
		count:     lo & (1<<21 - 1),
	}
}

// A mapping finds the extents of one file.
type mapping struct {
	f       *FS
	in      *Inode
	list    imagefs.Extents
	each    func(record) // is told of every record, nil if none has to be
	records uint64
	end     uint64 // of the last record in the file
}

func (i *Inode) extents() (imagefs.Extents, error) {
	m := &mapping{f: i.f, in: i}
	err := m.load()
	return m.list, err
}

func (m *mapping) load() error {
	i := m.in
	if i.flags&flagRealtime != 0 && i.attr.Mode.IsRegular() {
		return unsupported("inode %d has its data on a realtime device", i.attr.Number)
	}
	var err error
	switch i.format {
	case formatExtents:
		if i.count > uint64(len(i.fork)/16) {
			return damaged("inode %d: %d extents in %d bytes", i.attr.Number, i.count, len(i.fork))
		}
		err = m.leaf(i.fork[:16*i.count])
	case formatTree:
		if i.count > imagefs.MaxExtents {
			return unsupported("inode %d has %d extents; at most %d are read", i.attr.Number, i.count, imagefs.MaxExtents)
		}
		err = m.root(i.fork)
	default:
		return damaged("inode %d: a data fork of format %d", i.attr.Number, i.format)
	}
	for _, s := range i.f.overlay.steps[i.attr.Number] {
		if err != nil {
			break
		}
		m.list, err = i.f.remap(m.list, s)
	}
	if err == nil && m.records != i.count {
		err = broken("%d extents were found where there should be %d", m.records, i.count)
	}
	if err != nil {
		return fmt.Errorf("XFS: the extents of inode %d: %w", i.attr.Number, err)
	}
	return nil
}

func (m *mapping) leaf(b []byte) error {
	for ; len(b) >= 16; b = b[16:] {
		r := parseRecord(b)
		if m.records++; m.records > m.in.count {
			return broken("there are more than %d", m.in.count)
		}
		if r.count == 0 || r.offset < m.end {
			return broken("one of %d blocks at block %d of the file, behind one that ends at %d", r.count, r.offset, m.end)
		}
		m.end = r.offset + r.count
		at, err := m.f.linear(r.start, r.count)
		if err != nil {
			return err
		}
		if m.each != nil {
			m.each(r)
		}
		if r.unwritten {
			continue // reads as zeros
		}
		if err := m.list.Add(imagefs.Extent{Logical: r.offset, Physical: at, Count: r.count}); err != nil {
			return err
		}
	}
	return nil
}

// root reads the root of the tree, which is in the inode: level and count, then
// as many keys and as many blocks as there is room for.
func (m *mapping) root(b []byte) error {
	if len(b) < 4+16 {
		return broken("a root in %d bytes", len(b))
	}
	level, count, room := int(be.Uint16(b)), int(be.Uint16(b[2:])), (len(b)-4)/16
	if level == 0 || level > maxLevel || count == 0 || count > room {
		return broken("a root of level %d with %d entries", level, count)
	}
	return m.children(b[4+8*room:][:8*count], level)
}

func (m *mapping) children(numbers []byte, level int) error {
	for ; len(numbers) > 0; numbers = numbers[8:] {
		if err := m.node(be.Uint64(numbers), level-1); err != nil {
			return err
		}
	}
	return nil
}

// node reads a block of the tree. Its level falls by one from block to block,
// and no leaf may be empty or come twice, so that damage cannot make this long.
func (m *mapping) node(number uint64, level int) error {
	f := m.f
	at, err := f.linear(number, 1)
	if err != nil {
		return err
	}
	b := make([]byte, f.block)
	replayed, err := f.readThrough(b, int64(at)*f.block)
	if err != nil {
		return err
	}
	header := 24
	if f.v5 {
		header = 72
		if err := f.identify(b, identity{magicMap5, 0, 64, 24, 40, 56}, at, m.in.attr.Number, replayed); err != nil {
			return err
		}
	} else if be.Uint32(b) != magicMap4 {
		return broken("block %d is no part of a map of extents", at)
	}
	own, count, room := int(be.Uint16(b[4:])), int(be.Uint16(b[6:])), (len(b)-header)/16
	if own != level || count == 0 || count > room {
		return broken("block %d is of level %d with %d entries, where there should be level %d", at, own, count, level)
	}
	if level == 0 {
		return m.leaf(b[header:][:16*count])
	}
	return m.children(b[header+8*room:][:8*count], level)
}

// An identity is what a block of version 5 says of itself, and where.
type identity struct {
	magic, other              uint32 // which of two it may be
	crc, address, uuid, owner int
}

// identify compares what a block of version 5 says of itself with where it was
// found: the one at block number at, referred to by an inode. Owner -1 is not
// compared.
func (f *FS) identify(b []byte, id identity, at, inode uint64, replayed bool) error {
	magic := be.Uint32(b)
	switch {
	case magic != id.magic && (id.other == 0 || magic != id.other):
		return broken("block %d has the magic number %#x, not %#x", at, magic, id.magic)
	case !replayed && !matches(b, id.crc):
		return broken("block %d does not match its checksum", at)
	case be.Uint64(b[id.address:]) != at*uint64(f.block/sector):
		return broken("in the place of block %d is one that belongs to sector %d", at, be.Uint64(b[id.address:]))
	case !bytes.Equal(b[id.uuid:][:16], f.metaUUID):
		return broken("block %d belongs to another file system, %x", at, b[id.uuid:][:16])
	case be.Uint64(b[id.owner:]) != inode && !f.overlay.adopted[inode]:
		return broken("block %d belongs to inode %d", at, be.Uint64(b[id.owner:]))
	}
	return nil
}
