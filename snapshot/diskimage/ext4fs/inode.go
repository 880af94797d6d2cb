package ext4fs

import (
	"time"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// Flags of an inode.
const (
	flagEncrypted = 0x800
	flagExtents   = 0x80000
	flagInline    = 0x10000000
)

// An Inode is a file, directory or link.
type Inode struct {
	attr    imagefs.Attr
	f       *FS
	flags   uint32
	mapping [60]byte // i_block: the root of the extents, or a short link's target
}

// Attr returns what is known of the inode.
func (i *Inode) Attr() imagefs.Attr { return i.attr }

// Root returns the root directory.
func (f *FS) Root() (imagefs.Node, error) { return f.Node(rootInode) }

// Node reads one inode.
func (f *FS) Node(number uint64) (imagefs.Node, error) {
	i, err := f.inode(number)
	if err != nil {
		return nil, err // and no Node that is a nil *Inode
	}
	return i, nil
}

func (f *FS) inode(number uint64) (*Inode, error) {
	if number == 0 || number > uint64(f.inodes) {
		return nil, damaged("inode %d of %d is referred to", number, f.inodes)
	}
	n := uint32(number)
	group, index := (n-1)/f.perGroup, int64((n-1)%f.perGroup)
	table, err := f.inodeTable(group)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 128)
	if err := f.readBlocks(b, table, index*f.inodeSize); err != nil {
		return nil, err
	}
	size := int64(le.Uint32(b[4:]))
	i := &Inode{
		attr: imagefs.Attr{
			Number: number, Mode: imagefs.Mode(le.Uint16(b)), Links: int(le.Uint16(b[26:])),
			ModTime: time.Unix(int64(int32(le.Uint32(b[16:]))), 0).UTC(),
		},
		f:     f,
		flags: le.Uint32(b[32:]),
	}
	copy(i.mapping[:], b[40:100])
	if mode := i.attr.Mode; mode.IsRegular() || mode.IsDir() {
		size |= int64(le.Uint32(b[108:])) << 32
		switch {
		case i.flags&flagInline != 0:
			return nil, unsupported("inode %d holds its data inside", n)
		case i.flags&flagEncrypted != 0:
			return nil, unsupported("inode %d is encrypted", n)
		}
	}
	if size < 0 || size > 1<<50 {
		return nil, damaged("inode %d has an impossible size", n)
	}
	i.attr.Size = size
	return i, nil
}

// inodeTable returns the first block of a group's inode table.
func (f *FS) inodeTable(group uint32) (uint64, error) {
	perBlock := uint32(f.block / f.descSize)
	metaGroup := group / perBlock
	at := uint64(superblockAt/f.block) + 1 + uint64(metaGroup) // behind the superblock's own block
	if f.hasMeta && metaGroup >= f.metaBG {
		first := metaGroup * perBlock
		at = f.firstData + uint64(first)*f.groupSize
		if f.hasSuperblock(first) {
			at++
		}
		if first == 0 && f.firstData == 0 && f.block == superblockAt {
			at++ // the superblock is not in the group's first block
		}
	}
	d := make([]byte, f.descSize)
	if err := f.readBlocks(d, at, int64(group%perBlock)*f.descSize); err != nil {
		return 0, err
	}
	table := uint64(le.Uint32(d[8:]))
	if f.descSize >= 64 {
		table |= uint64(le.Uint32(d[40:])) << 32
	}
	if table == 0 || table >= f.blocks {
		return 0, damaged("the inode table of group %d is at block %d of %d", group, table, f.blocks)
	}
	return table, nil
}

// hasSuperblock says whether a group begins with a superblock or a copy of it.
func (f *FS) hasSuperblock(group uint32) bool {
	switch {
	case group == 0:
		return true
	case f.sparse2:
		return group == f.backups[0] || group == f.backups[1]
	case f.sparse == 0 || group == 1:
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		n := base
		for n < uint64(group) {
			n *= base
		}
		if n == uint64(group) {
			return true
		}
	}
	return false
}
