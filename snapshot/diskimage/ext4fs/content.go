package ext4fs

import "github.com/snapview/snapview/snapshot/diskimage/imagefs"

// Bounds on a file's map.
const (
	maxDepth = 5       // of a tree of extents
	maxNodes = 1 << 16 // of a tree of extents, or blocks of numbers
)

// A mapping finds the extents of one file.
type mapping struct {
	f     *FS
	in    *Inode
	list  imagefs.Extents
	nodes int // that were read
}

// Content returns the contents of a regular file or directory.
func (i *Inode) Content() *imagefs.Content {
	return imagefs.NewContent(imagefs.Layout{
		Size: i.attr.Size, Block: i.f.block, Load: i.extents, Read: i.f.readBlocks, Place: i.place(),
	})
}

// place is where the data of a file with few extents begins, in bytes, else -1.
func (i *Inode) place() int64 {
	if list, leaf, err := i.f.parseNode(i.mapping[:], 0); err == nil && i.flags&flagExtents != 0 && leaf && len(list) > 0 {
		return int64(list[0].Physical) * i.f.block
	}
	return -1
}

func (i *Inode) extents() (imagefs.Extents, error) {
	m := &mapping{f: i.f, in: i}
	var err error
	if i.flags&flagExtents != 0 {
		err = m.extents(i.mapping[:], 0, -1)
	} else {
		err = m.blockMap()
	}
	return m.list, err
}

func (m *mapping) add(e imagefs.Extent) error {
	if e.Physical == 0 || e.Physical+e.Count > m.f.blocks || e.Physical+e.Count < e.Physical {
		return damaged("inode %d has an extent at block %d, of %d", m.in.attr.Number, e.Physical, m.f.blocks)
	}
	if err := m.list.Add(e); err != nil {
		return damaged("inode %d: %w", m.in.attr.Number, err)
	}
	return nil
}

// extents adds the extents of a node and of those below it. depth is what the
// node above says, -1 at the root.
func (m *mapping) extents(node []byte, level, depth int) error {
	entries, leaf, err := m.f.parseNode(node, level)
	if err != nil {
		return damaged("inode %d: %w", m.in.attr.Number, err)
	}
	own := int(le.Uint16(node[6:]))
	if depth >= 0 && own != depth-1 {
		return damaged("inode %d: a node of depth %d below one of depth %d", m.in.attr.Number, own, depth)
	}
	for _, e := range entries {
		if leaf {
			if e.Count == 0 {
				continue // allocated, never written
			}
			if err := m.add(e); err != nil {
				return err
			}
			continue
		}
		below, err := m.node(e.Physical)
		if err != nil {
			return err
		}
		if err := m.extents(below, level+1, own); err != nil {
			return err
		}
	}
	return nil
}

// node reads a block of the map.
func (m *mapping) node(block uint64) ([]byte, error) {
	if m.nodes++; m.nodes > maxNodes {
		return nil, damaged("the map of inode %d has more than %d blocks", m.in.attr.Number, maxNodes)
	}
	b := make([]byte, m.f.block)
	return b, m.f.readBlocks(b, block, 0)
}

// parseNode reads the entries of a node of a tree of extents: extents in a leaf,
// where a count of 0 means not written; else nodes below, by their block.
func (f *FS) parseNode(b []byte, level int) (entries []imagefs.Extent, leaf bool, err error) {
	if le.Uint16(b) != 0xF30A {
		return nil, false, damaged("a node of extents without its magic number")
	}
	count, depth := int(le.Uint16(b[2:])), int(le.Uint16(b[6:]))
	if 12+12*count > len(b) || depth > maxDepth || level > maxDepth {
		return nil, false, damaged("a node of %d extents, depth %d", count, depth)
	}
	for e := b[12 : 12+12*count]; len(e) > 0; e = e[12:] {
		r := imagefs.Extent{Logical: uint64(le.Uint32(e))}
		if depth == 0 {
			r.Count = uint64(le.Uint16(e[4:]))
			r.Physical = uint64(le.Uint16(e[6:]))<<32 | uint64(le.Uint32(e[8:]))
			if r.Count > 32768 {
				r.Count = 0
			}
		} else {
			r.Physical = uint64(le.Uint16(e[8:]))<<32 | uint64(le.Uint32(e[4:]))
		}
		entries = append(entries, r)
	}
	return entries, depth == 0, nil
}

// blockMap reads the map of ext2 and ext3: twelve blocks, then one, two and
// three levels of blocks of numbers.
func (m *mapping) blockMap() error {
	last := uint64((m.in.attr.Size + m.f.block - 1) / m.f.block)
	logical := uint64(0)
	for i := range 15 {
		number := le.Uint32(m.in.mapping[4*i:])
		if logical >= last {
			return nil
		}
		if err := m.indirect(number, max(0, i-11), &logical, last); err != nil {
			return err
		}
	}
	return nil
}

// indirect adds a block, or what a block of numbers leads to, levels deep.
func (m *mapping) indirect(number uint32, levels int, logical *uint64, last uint64) error {
	span := uint64(1)
	for range levels {
		span *= uint64(m.f.block / 4)
	}
	if number == 0 {
		*logical += span
		return nil
	}
	if levels == 0 {
		r := imagefs.Extent{Logical: *logical, Physical: uint64(number), Count: 1}
		*logical++
		return m.add(r)
	}
	b, err := m.node(uint64(number))
	if err != nil {
		return err
	}
	for ; len(b) > 0 && *logical < last; b = b[4:] {
		if err := m.indirect(le.Uint32(b), levels-1, logical, last); err != nil {
			return err
		}
	}
	return nil
}
