package ext4fs

import (
	"encoding/binary"
	"io"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

var le = binary.LittleEndian

// Places and values of the superblock.
const (
	superblockAt = 1024
	superblock   = 1024 // bytes
	magic        = 0xEF53

	compatJournal = 0x4

	incompatCompression = 0x1
	incompatRecover     = 0x4
	incompatJournalDev  = 0x8
	incompatMetaBG      = 0x10
	incompat64Bit       = 0x80
	incompatDirData     = 0x1000
	incompatInlineData  = 0x8000
	incompatEncrypt     = 0x10000
	// Those that change nothing for a reader: file types in directories,
	// extents, flexible groups, multi-mount protection, values of extended
	// attributes in inodes, the checksum's seed, large directories, names
	// without case.
	incompatHarmless = 0x2 | 0x40 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x20000

	rootInode = 2
)

// An FS is a file system that is open for reading. Its methods may be called
// concurrently.
type FS struct {
	r         io.ReaderAt
	size      int64
	block     int64 // bytes
	blocks    uint64
	inodes    uint32
	perGroup  uint32 // inodes in a group
	groups    uint32
	inodeSize int64
	descSize  int64
	firstData uint64 // the block that group 0 begins with
	groupSize uint64 // blocks in a group
	metaBG    uint32 // the first meta block group
	hasMeta   bool
	sparse    uint32 // ro_compat: which groups have a copy of the superblock
	backups   [2]uint32
	sparse2   bool

	journal map[uint64]journaled // blocks whose contents are in the journal
}

// Kind implements imagefs.FS.
func (f *FS) Kind() string { return "ext4" }

// Is says whether the beginning of a volume, 2048 bytes of it, is that of an
// ext2, ext3 or ext4 file system.
func Is(head []byte) bool {
	return len(head) >= superblockAt+58 && le.Uint16(head[superblockAt+56:]) == magic
}

func damaged(format string, args ...any) error {
	return snapshot.Errorf(snapshot.ErrDamaged, "ext4: "+format, args...)
}

func unsupported(format string, args ...any) error {
	return snapshot.Errorf(snapshot.ErrUnsupported, "ext4: "+format, args...)
}

// Open opens the file system that fills r, whose size is in bytes, and replays
// its journal.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	sb := make([]byte, superblock)
	if err := imagefs.ReadFull(r, sb, superblockAt); err != nil {
		return nil, damaged("no superblock: %w", err)
	}
	f, err := parseSuperblock(sb, size)
	if err != nil {
		return nil, err
	}
	f.r = r
	if le.Uint32(sb[92:])&compatJournal != 0 && le.Uint32(sb[96:])&incompatRecover != 0 {
		if err := f.replay(le.Uint32(sb[224:])); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func parseSuperblock(sb []byte, size int64) (*FS, error) {
	if le.Uint16(sb[56:]) != magic {
		return nil, damaged("the superblock has no magic number")
	}
	incompat := le.Uint32(sb[96:])
	for bit, what := range map[uint32]string{
		incompatCompression: "compression", incompatJournalDev: "a journal's own device", incompatDirData: "data in directories",
		incompatInlineData: "data inside of inodes (inline_data)", incompatEncrypt: "encryption (fscrypt)",
	} {
		if incompat&bit != 0 {
			return nil, unsupported("the file system uses %s, which this build does not read", what)
		}
	}
	if unknown := incompat &^ (incompatHarmless | incompatRecover | incompatMetaBG | incompat64Bit); unknown != 0 {
		return nil, unsupported("the file system has features that this build does not know (%#x)", unknown)
	}
	logBlock := le.Uint32(sb[24:])
	if logBlock > 6 {
		return nil, damaged("blocks of 2^%d KiB", logBlock)
	}
	f := &FS{
		size: size, block: 1024 << logBlock,
		blocks: uint64(le.Uint32(sb[4:])), inodes: le.Uint32(sb[0:]), perGroup: le.Uint32(sb[40:]),
		firstData: uint64(le.Uint32(sb[20:])), groupSize: uint64(le.Uint32(sb[32:])),
		inodeSize: 128, descSize: 32,
		hasMeta: incompat&incompatMetaBG != 0, metaBG: le.Uint32(sb[260:]),
		sparse: le.Uint32(sb[100:]) & 1, sparse2: le.Uint32(sb[92:])&0x200 != 0,
		backups: [2]uint32{le.Uint32(sb[588:]), le.Uint32(sb[592:])},
	}
	if le.Uint32(sb[76:]) >= 1 { // dynamic revision
		f.inodeSize = int64(le.Uint16(sb[88:]))
	}
	if incompat&incompat64Bit != 0 {
		f.blocks |= uint64(le.Uint32(sb[336:])) << 32
		f.descSize = int64(le.Uint16(sb[254:]))
	}
	switch {
	case f.inodeSize < 128 || f.inodeSize > f.block || f.inodeSize&(f.inodeSize-1) != 0:
		return nil, damaged("inodes of %d bytes", f.inodeSize)
	case f.descSize < 32 || f.descSize > 1024 || f.descSize&(f.descSize-1) != 0:
		return nil, damaged("group descriptors of %d bytes", f.descSize)
	case f.groupSize == 0 || f.perGroup == 0 || f.blocks <= f.firstData || f.firstData > 1:
		return nil, damaged("groups of %d blocks and %d inodes, %d blocks", f.groupSize, f.perGroup, f.blocks)
	case f.blocks > 1<<48 || int64(f.blocks)*f.block > size:
		return nil, damaged("the file system has %d blocks of %d bytes, its volume only %d bytes: the image is cut short", f.blocks, f.block, size)
	}
	groups := (f.blocks - f.firstData + f.groupSize - 1) / f.groupSize
	if groups > 1<<31 || uint64(f.inodes) > groups*uint64(f.perGroup) {
		return nil, damaged("%d groups of %d inodes, %d inodes", groups, f.perGroup, f.inodes)
	}
	f.groups = uint32(groups)
	return f, nil
}

// readBlocks reads whole blocks as the journal has them, n bytes from an offset
// inside of block first on.
func (f *FS) readBlocks(p []byte, first uint64, off int64) error {
	for len(p) > 0 {
		first, off = first+uint64(off/f.block), off%f.block
		if first >= f.blocks {
			return damaged("block %d of %d is referred to", first, f.blocks)
		}
		n := int64(len(p))
		j, replaced := f.journal[first]
		switch {
		case replaced:
			n = min(n, f.block-off)
			if err := j.read(f, p[:n], off); err != nil {
				return err
			}
		default:
			// As many as there are before one that the journal has.
			n = min(n, int64(f.blocks-first)*f.block-off)
			if len(f.journal) > 0 {
				n = min(n, f.untilJournaled(first, n+off)-off)
			}
			if err := imagefs.ReadFull(f.r, p[:n], int64(first)*f.block+off); err != nil {
				return err
			}
		}
		p, off = p[n:], off+n
	}
	return nil
}

// untilJournaled returns how many of the n bytes from block first on are in
// their places.
func (f *FS) untilJournaled(first uint64, n int64) int64 {
	for b := int64(1); b*f.block < n; b++ {
		if _, ok := f.journal[first+uint64(b)]; ok {
			return b * f.block
		}
	}
	return n
}
