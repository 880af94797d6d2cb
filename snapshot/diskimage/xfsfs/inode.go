package xfsfs

import (
	"bytes"
	"time"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// Layout of an inode.
const (
	inodeCRC   = 100
	inodeLSN   = 112
	core4      = 100 // bytes before the data fork
	core5      = 176
	nextUnused = 96 // the field that is logged in buffers of inodes

	formatLocal   = 1
	formatExtents = 2
	formatTree    = 3

	flagRealtime    = 0x1
	flag2BigTime    = 0x8
	flag2ManyExtent = 0x10
)

// An Inode is a file, directory or link.
type Inode struct {
	attr   imagefs.Attr
	f      *FS
	format byte
	flags  uint16
	count  uint64 // of the data fork's extents
	fork   []byte // the data fork
}

// Attr implements imagefs.Node.
func (i *Inode) Attr() imagefs.Attr { return i.attr }

// Root implements imagefs.FS.
func (f *FS) Root() (imagefs.Node, error) { return f.Node(f.rootInode) }

// Node implements imagefs.FS. A number that belongs to no inode in use is an
// error of class snapshot.ErrDamaged.
func (f *FS) Node(number uint64) (imagefs.Node, error) {
	i, err := f.inode(number)
	if err != nil {
		return nil, err // and no Node that is a nil *Inode
	}
	return i, nil
}

// place is where an inode lies, in bytes: its number says it.
func (f *FS) place(number uint64) (block uint64, at int64, err error) {
	block, err = f.linear(number>>f.inodeBits, 1)
	if err != nil {
		return 0, 0, damaged("inode %d: %w", number, err)
	}
	return block, int64(block)*f.block + int64(number&(1<<f.inodeBits-1))*f.inodeSize, nil
}

// rawInode reads an inode's bytes. replayed says whether the log has them.
func (f *FS) rawInode(number uint64) (b []byte, replayed bool, err error) {
	block, at, err := f.place(number)
	if err != nil {
		return nil, false, err
	}
	b = make([]byte, f.inodeSize)
	replayed, err = f.readThrough(b, at)
	if err == nil && !replayed && f.overlay.fresh[block] {
		return f.blank(number), true, nil
	}
	return b, replayed, err
}

// blank is an inode that is not in use yet, as the item inode create makes it.
func (f *FS) blank(number uint64) []byte {
	b := make([]byte, f.inodeSize)
	be.PutUint16(b, magicInode)
	b[4] = 3
	be.PutUint32(b[nextUnused:], 0xFFFFFFFF)
	be.PutUint64(b[152:], number)
	copy(b[160:], f.metaUUID)
	return b
}

func (f *FS) inode(number uint64) (*Inode, error) {
	b, replayed, err := f.rawInode(number)
	if err != nil {
		return nil, err
	}
	version := b[4]
	switch {
	case be.Uint16(b) != magicInode:
		return nil, damaged("inode %d, which is referred to, has no magic number", number)
	case f.v5 != (version == 3) || version == 0 || version > 3:
		return nil, damaged("inode %d is of version %d", number, version)
	case f.v5 && !replayed && !matches(b, inodeCRC):
		return nil, damaged("inode %d does not match its checksum", number)
	case f.v5 && (be.Uint64(b[152:]) != number || !bytes.Equal(b[160:176], f.metaUUID)):
		return nil, damaged("in the place of inode %d is inode %d of %x", number, be.Uint64(b[152:]), b[160:176])
	case be.Uint16(b[2:]) == 0:
		return nil, damaged("inode %d, which is referred to, is not in use", number)
	}
	i := &Inode{
		attr: imagefs.Attr{
			Number: number, Mode: imagefs.Mode(be.Uint16(b[2:])), Size: int64(be.Uint64(b[56:])),
			Links: int(be.Uint32(b[16:])),
		},
		f: f, format: b[5], flags: be.Uint16(b[90:]), count: uint64(be.Uint32(b[76:])),
	}
	if version == 1 {
		i.attr.Links = int(be.Uint16(b[6:]))
	}
	if i.attr.Size < 0 {
		return nil, damaged("inode %d has an impossible size", number)
	}
	var flags2 uint64
	core := core4
	if f.v5 {
		core, flags2 = core5, be.Uint64(b[120:])
	}
	if flags2&flag2ManyExtent != 0 {
		i.count = be.Uint64(b[24:])
	}
	i.attr.ModTime = timestamp(b[40:], flags2)
	end := len(b)
	if fork := int(b[82]) * 8; fork != 0 {
		end = core + fork // where the attributes begin
	}
	if end > len(b) {
		return nil, damaged("inode %d: its data fork ends at byte %d of %d", number, end, len(b))
	}
	i.fork = bytes.Clone(i.used(b[core:end]))
	return i, nil
}

// used is the part of a data fork that says something: trees keep many inodes.
func (i *Inode) used(fork []byte) []byte {
	n := uint64(len(fork))
	switch i.format {
	case formatLocal:
		n = min(n, uint64(i.attr.Size))
	case formatExtents:
		n = min(n, 16*min(i.count, n))
	case formatTree:
	default:
		n = 0
	}
	return fork[:n]
}

// timestamp reads a time: nanoseconds since the earliest time of 32 bits, or
// seconds and nanoseconds.
func timestamp(b []byte, flags2 uint64) time.Time {
	if flags2&flag2BigTime == 0 {
		return time.Unix(int64(int32(be.Uint32(b))), int64(be.Uint32(b[4:]))).UTC()
	}
	n := be.Uint64(b)
	return time.Unix(int64(n/1e9)-1<<31, int64(n%1e9)).UTC()
}
