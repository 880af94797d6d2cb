package xfsfs

import (
	"bytes"
	"io"
	"math/bits"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// Values of the superblock.
const (
	superblockCRC = 224

	versionLogV2  = 0x0400
	versionDirV2  = 0x2000
	versionMore   = 0x8000
	features2Type = 0x200 // of version 4: file types in directories

	incompatType     = 0x1
	incompatMetaUUID = 0x4
	incompatRepair   = 0x10
	incompatMetaDir  = 0x100
	incompatZoned    = 0x200
	incompatZoneGaps = 0x400
	// Those that change nothing for a reader, or what an inode's own flags
	// tell: sparse inodes, times of 64 bits, large extent counts, exchange of
	// ranges, parent pointers.
	incompatHarmless = 0x2 | 0x8 | 0x20 | 0x40 | 0x80
)

// An FS is a file system that is open for reading. Its methods may be called
// concurrently.
type FS struct {
	r    io.ReaderAt
	size int64 // of the volume, in bytes

	v5         bool
	types      bool  // directories hold types of files
	block      int64 // bytes
	blocks     uint64
	agBlocks   uint64 // blocks in an allocation group; the last may be smaller
	agCount    uint64
	agBits     uint // of a block's number, that count inside of its group
	inodeSize  int64
	inodeBits  uint  // of an inode's number, that count inside of its block
	dirBlock   int64 // bytes
	rootInode  uint64
	uuid       []byte // of the file system, as its user sees it
	metaUUID   []byte // what metadata is stamped with
	logV2      bool
	logStart   int64 // bytes
	logSectors int64

	overlay overlay
	torn    string // what of the log was left out
}

// Kind implements imagefs.FS.
func (f *FS) Kind() string { return "XFS" }

// Is says whether the beginning of a volume is that of an XFS file system.
func Is(head []byte) bool { return len(head) >= 4 && be.Uint32(head) == magicSuperblock }

// Open opens the file system that fills r, whose size is in bytes, and replays
// its log.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	f := &FS{r: r, size: size}
	if err := f.superblock(); err != nil {
		return nil, err
	}
	if err := f.replay(); err != nil {
		return nil, err
	}
	if len(f.overlay.sectors) > 0 {
		// It may have grown in what was replayed.
		return f, f.superblock()
	}
	return f, nil
}

// superblock reads the first one: the copies in other groups are repair's.
func (f *FS) superblock() error {
	b := make([]byte, sector)
	if _, err := f.readThrough(b, 0); err != nil {
		return damaged("no superblock: %w", err)
	}
	if !Is(b) {
		return damaged("the superblock has no magic number")
	}
	// Its checksum is over a sector of the device.
	if n := int64(be.Uint16(b[102:])); n > sector && n <= 32768 && n&(n-1) == 0 {
		b = make([]byte, n)
	}
	replayed, err := f.readThrough(b, 0)
	if err != nil {
		return damaged("no superblock: %w", err)
	}
	version := be.Uint16(b[100:])
	switch version & 0xF {
	case 4:
		if version&versionDirV2 == 0 {
			return unsupported("the file system has directories of version 1")
		}
		f.types = version&versionMore != 0 && be.Uint32(b[200:])&features2Type != 0
		f.logV2 = version&versionLogV2 != 0
	case 5:
		if !replayed && !matches(b, superblockCRC) {
			return damaged("the superblock does not match its checksum")
		}
		f.v5, f.types, f.logV2 = true, true, true
		if err := features(be.Uint32(b[216:])); err != nil {
			return err
		}
	default:
		return unsupported("the file system is of version %d; 4 and 5 are read", version&0xF)
	}
	f.uuid = bytes.Clone(b[32:48])
	f.metaUUID = f.uuid
	if f.v5 && be.Uint32(b[216:])&incompatMetaUUID != 0 {
		f.metaUUID = bytes.Clone(b[248:264])
	}
	if err := f.geometry(b); err != nil {
		return err
	}
	return f.logPlace(b)
}

// features refuses those of version 5 that would change what is read.
func features(incompat uint32) error {
	for _, no := range []struct {
		bit  uint32
		what string
	}{{incompatMetaDir, "metadata directories (metadir)"}, {incompatZoned, "zones"}, {incompatZoneGaps, "gaps between zones"}} {
		if incompat&no.bit != 0 {
			return unsupported("the file system uses %s, which this build does not read", no.what)
		}
	}
	switch {
	case incompat&incompatRepair != 0:
		return damaged("the file system is marked as needing xfs_repair: repair a copy of the image first")
	case incompat&incompatType == 0:
		return damaged("version 5 without types of files in its directories")
	}
	known := uint32(incompatHarmless | incompatType | incompatMetaUUID)
	if unknown := incompat &^ known; unknown != 0 {
		return unsupported("the file system has features that this build does not know (%#x)", unknown)
	}
	return nil
}

// geometry reads and checks sizes and counts.
func (f *FS) geometry(b []byte) error {
	f.block, f.blocks = int64(be.Uint32(b[4:])), be.Uint64(b[8:])
	f.rootInode = be.Uint64(b[56:])
	f.agBlocks, f.agCount = uint64(be.Uint32(b[84:])), uint64(be.Uint32(b[88:]))
	f.inodeSize = int64(be.Uint16(b[104:]))
	f.agBits = uint(b[124])
	switch {
	case f.block < 512 || f.block > 65536 || f.block&(f.block-1) != 0:
		return damaged("blocks of %d bytes", f.block)
	case f.inodeSize < 256 || f.inodeSize > 2048 || f.inodeSize > f.block || f.inodeSize&(f.inodeSize-1) != 0,
		f.v5 && f.inodeSize < 512:
		return damaged("inodes of %d bytes", f.inodeSize)
	case f.agBlocks == 0 || f.agCount == 0 || f.agBits > 32 || f.agBlocks > 1<<f.agBits:
		return damaged("%d allocation groups of %d blocks, counted in %d bits", f.agCount, f.agBlocks, f.agBits)
	case f.blocks <= (f.agCount-1)*f.agBlocks || f.blocks > f.agCount*f.agBlocks:
		return damaged("%d blocks in %d groups of %d", f.blocks, f.agCount, f.agBlocks)
	case f.blocks > uint64(f.size/f.block):
		return damaged("the file system has %d blocks of %d bytes, its volume only %d bytes: the image is cut short", f.blocks, f.block, f.size)
	case b[126] != 0:
		return damaged("mkfs did not finish making it")
	case b[192] > 7 || f.block<<b[192] > 65536:
		return damaged("directory blocks of 2^%d blocks", b[192])
	}
	f.dirBlock = f.block << b[192]
	f.inodeBits = uint(bits.TrailingZeros64(uint64(f.block / f.inodeSize)))
	return nil
}

// logPlace reads where the log is.
func (f *FS) logPlace(b []byte) error {
	start, blocks := be.Uint64(b[48:]), uint64(be.Uint32(b[96:]))
	if start == 0 {
		return unsupported("the file system's log is on another device, so nobody can tell here whether it was empty: mount the disk with its log once, unmount it, and take the image then")
	}
	at, err := f.linear(start, max(1, blocks))
	if err != nil {
		return damaged("the log: %w", err)
	}
	f.logStart, f.logSectors = int64(at)*f.block, int64(blocks)*(f.block/sector)
	if f.logSectors < 256 || f.logSectors > 1<<31 {
		return damaged("a log of %d sectors", f.logSectors)
	}
	return nil
}

// linear turns the number of a block, which has the number of its group in its
// high bits, into its place in the file system, for a run of blocks that has to
// lie in that group.
func (f *FS) linear(number, count uint64) (uint64, error) {
	group, inside := number>>f.agBits, number&(1<<f.agBits-1)
	if group >= f.agCount || count > f.agBlocks || inside+count > min(f.agBlocks, f.blocks-group*f.agBlocks) {
		return 0, broken("%d blocks from %d of group %d on are referred to; there are %d groups of %d, %d blocks in all", count, inside, group, f.agCount, f.agBlocks, f.blocks)
	}
	return group*f.agBlocks + inside, nil
}

// readBlocks reads bytes of blocks that follow one another, n bytes from an
// offset inside of block first on.
func (f *FS) readBlocks(p []byte, first uint64, off int64) error {
	if first >= f.blocks || uint64(off)+uint64(len(p)) > (f.blocks-first)*uint64(f.block) {
		return damaged("block %d of %d is referred to", first, f.blocks)
	}
	_, err := f.readThrough(p, int64(first)*f.block+off)
	return err
}

// readThrough reads bytes of the volume as the log has them, and says whether
// the log has any of them.
func (f *FS) readThrough(p []byte, off int64) (replayed bool, err error) {
	if err := imagefs.ReadFull(f.r, p, off); err != nil {
		return false, err
	}
	return f.overlay.patch(p, off), nil
}
