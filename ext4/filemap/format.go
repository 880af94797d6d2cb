package filemap

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// The format is described in the kernel's Documentation/filesystems/ext4.
// Offsets are those of struct ext4_super_block, ext4_group_desc, ext4_inode,
// ext4_extent_header and ext4_dir_entry_2.
const (
	blockSize   = 4096
	superOffset = 1024
	superSize   = 1024
	superMagic  = 0xef53
	rootInode   = 2

	incompatKnown    = 0x2 | 0x40 | 0x80 | 0x200 // filetype, extents, 64bit, flex_bg
	incompatNeeded   = 0x2 | 0x40 | 0x80
	compatDirIndex   = 0x20
	roMetadataCsum   = 0x400
	inodeFlagExtents = 0x80000
	inodeFlagInline  = 0x10000000

	modeType = 0o170000
	modeDir  = 0o040000

	extentMagic  = 0xf30a
	maxDepth     = 5     // of an extent tree, as the kernel has it
	unwritten    = 32768 // is added to the length of an extent without data yet
	treeChecksum = blockSize - 4
	dirTail      = blockSize - 12
	dirTailType  = 0xde
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// crc32c continues a checksum without the inversions at its ends.
func crc32c(crc uint32, p []byte) uint32 { return ^crc32.Update(^crc, castagnoli, p) }

// fileSystem reads one image.
type fileSystem struct {
	r         io.ReaderAt
	blocks    int64
	perGroup  uint32 // inodes
	inodes    uint32
	inodeSize int64
	descSize  int64
	seed      uint32
	reads     int  // of blocks of trees and directories
	unchecked bool // checksums may be wrong: fuzzing would end at each

	cached int64 // block that cache holds, 0: none
	cache  [blockSize]byte
}

func open(r io.ReaderAt, size int64) (*fileSystem, error) {
	sb := make([]byte, superSize)
	if _, err := r.ReadAt(sb, superOffset); err != nil {
		return nil, fmt.Errorf("reading the superblock: %w", err)
	}
	if le.Uint16(sb[0x38:]) != superMagic {
		return nil, fmt.Errorf("%w: no ext4 superblock", ErrDamaged)
	}
	if crc32c(^uint32(0), sb[:0x3fc]) != le.Uint32(sb[0x3fc:]) {
		return nil, fmt.Errorf("%w: the superblock's checksum is wrong", ErrDamaged)
	}
	fs := &fileSystem{
		r:         r,
		blocks:    int64(le.Uint32(sb[0x04:])) | int64(le.Uint32(sb[0x150:]))<<32,
		inodes:    le.Uint32(sb[0x00:]),
		perGroup:  le.Uint32(sb[0x28:]),
		inodeSize: int64(le.Uint16(sb[0x58:])),
		descSize:  int64(le.Uint16(sb[0xfe:])),
		seed:      crc32c(^uint32(0), sb[0x68:0x78]),
	}
	compat, incompat, ro := le.Uint32(sb[0x5c:]), le.Uint32(sb[0x60:]), le.Uint32(sb[0x64:])
	switch {
	case le.Uint32(sb[0x18:]) != 2 || le.Uint32(sb[0x14:]) != 0:
		return nil, fmt.Errorf("the file system has no blocks of %d bytes", blockSize)
	case incompat&^incompatKnown != 0 || incompat&incompatNeeded != incompatNeeded || compat&compatDirIndex != 0 || ro&roMetadataCsum == 0:
		return nil, fmt.Errorf("the file system has features that are not known here: compat %#x, incompat %#x, ro_compat %#x", compat, incompat, ro)
	case fs.blocks <= 0 || fs.blocks > size/blockSize || fs.perGroup == 0 || fs.inodeSize < 160 || fs.inodeSize > blockSize || blockSize%fs.inodeSize != 0 || fs.descSize != 64:
		return nil, fmt.Errorf("%w: the superblock's sizes make no sense", ErrDamaged)
	}
	return fs, nil
}

// block reads a block of metadata.
func (fs *fileSystem) block(p []byte, n int64) error {
	if n <= 0 || n >= fs.blocks {
		return fmt.Errorf("%w: block %d lies outside", ErrDamaged, n)
	}
	if _, err := fs.r.ReadAt(p[:blockSize], n*blockSize); err != nil {
		return fmt.Errorf("block %d: %w", n, err)
	}
	return nil
}

// treeBlock is block for those whose number the image itself decides.
func (fs *fileSystem) treeBlock(p []byte, n int64) error {
	if fs.reads++; fs.reads > maxTreeReads {
		return fmt.Errorf("%w: more than %d blocks of directories and extents", ErrDamaged, maxTreeReads)
	}
	return fs.block(p, n)
}

// inode is what matters here of an inode.
type inode struct {
	mode    uint16
	links   uint16
	size    int64
	extents bool
	root    [60]byte // i_block
	seed    uint32   // of the checksums of its blocks
}

func (fs *fileSystem) inode(ino uint32) (*inode, error) {
	if ino == 0 || ino > fs.inodes {
		return nil, fmt.Errorf("%w: there is no such inode", ErrDamaged)
	}
	group, index := int64((ino-1)/fs.perGroup), int64((ino-1)%fs.perGroup)
	var desc [64]byte
	if _, err := fs.r.ReadAt(desc[:], blockSize+group*fs.descSize); err != nil {
		return nil, fmt.Errorf("descriptor of group %d: %w", group, err)
	}
	table := int64(le.Uint32(desc[0x08:])) | int64(le.Uint32(desc[0x28:]))<<32
	at := index * fs.inodeSize
	// Inodes that were made together lie together.
	if n := table + at/blockSize; n != fs.cached {
		fs.cached = 0
		if err := fs.block(fs.cache[:], n); err != nil {
			return nil, err
		}
		fs.cached = n
	}
	b := fs.cache[at%blockSize:][:fs.inodeSize]
	i := &inode{
		mode:    le.Uint16(b[0x00:]),
		links:   le.Uint16(b[0x1a:]),
		size:    int64(le.Uint32(b[0x04:])) | int64(le.Uint32(b[0x6c:]))<<32,
		extents: le.Uint32(b[0x20:])&inodeFlagExtents != 0,
	}
	copy(i.root[:], b[0x28:])
	var id [8]byte
	le.PutUint32(id[:], ino)
	copy(id[4:], b[0x64:0x68]) // generation
	i.seed = crc32c(fs.seed, id[:])
	// The checksum's two halves count as zeros.
	var zero [2]byte
	sum := crc32c(i.seed, b[:0x7c])
	sum = crc32c(crc32c(sum, zero[:]), b[0x7e:0x82])
	sum = crc32c(crc32c(sum, zero[:]), b[0x84:])
	switch {
	case !fs.unchecked && sum != uint32(le.Uint16(b[0x7c:]))|uint32(le.Uint16(b[0x82:]))<<16:
		return nil, fmt.Errorf("%w: the inode's checksum is wrong", ErrDamaged)
	case i.links == 0 || i.size < 0:
		return nil, fmt.Errorf("%w: a name leads to an inode that is not in use", ErrDamaged)
	case le.Uint32(b[0x20:])&inodeFlagInline != 0 || !i.extents && i.mode&modeType == modeDir:
		return nil, fmt.Errorf("%w: the inode has no extents", ErrDamaged)
	}
	return i, nil
}

// extentsOf returns where a file's bytes lie, and its extent tree.
func (fs *fileSystem) extentsOf(i *inode) (data, tree []Extent, err error) {
	err = fs.readExtents(i, i.root[:], -1, &data, &tree)
	return data, tree, err
}

// readExtents reads a node of an extent tree and those below it. depth is what
// its parent says; -1 is the root's.
func (fs *fileSystem) readExtents(i *inode, node []byte, depth int, data, tree *[]Extent) error {
	entries, height := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	if le.Uint16(node) != extentMagic || height > maxDepth || depth >= 0 && height != depth || 12+12*entries > len(node) {
		return fmt.Errorf("%w: a node of the extent tree makes no sense", ErrDamaged)
	}
	for k := range entries {
		e := node[12+12*k:]
		if height == 0 {
			start := int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:]))
			n := int64(le.Uint16(e[4:]))
			if n > unwritten {
				n -= unwritten
			}
			if n == 0 || start <= 0 || start > fs.blocks-n {
				return fmt.Errorf("%w: an extent of %d blocks at block %d", ErrDamaged, n, start)
			}
			*data = append(*data, Extent{start * blockSize, n * blockSize})
			continue
		}
		at := int64(le.Uint16(e[8:]))<<32 | int64(le.Uint32(e[4:]))
		b := make([]byte, blockSize)
		if err := fs.treeBlock(b, at); err != nil {
			return err
		}
		if !fs.unchecked && crc32c(i.seed, b[:treeChecksum]) != le.Uint32(b[treeChecksum:]) {
			return fmt.Errorf("%w: the checksum of block %d of the extent tree is wrong", ErrDamaged, at)
		}
		*tree = append(*tree, Extent{at * blockSize, blockSize})
		if err := fs.readExtents(i, b[:treeChecksum], height-1, data, tree); err != nil {
			return err
		}
	}
	return nil
}

// readDir calls each for the entries of a directory but . and .. .
func (fs *fileSystem) readDir(i *inode, extents []Extent, each func(ino uint32, name string) error) error {
	b := make([]byte, blockSize)
	for _, x := range extents {
		for n := x.Offset / blockSize; n < (x.Offset+x.Length)/blockSize; n++ {
			if err := fs.treeBlock(b, n); err != nil {
				return err
			}
			if !fs.unchecked && (b[dirTail+7] != dirTailType || crc32c(i.seed, b[:dirTail]) != le.Uint32(b[dirTail+8:])) {
				return fmt.Errorf("%w: the checksum of the directory's block %d is wrong", ErrDamaged, n)
			}
			if err := readDirBlock(b[:dirTail], each); err != nil {
				return err
			}
		}
	}
	return nil
}

func readDirBlock(b []byte, each func(ino uint32, name string) error) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return fmt.Errorf("%w: a directory's entry is cut off", ErrDamaged)
		}
		ino, size, length := le.Uint32(b), int(le.Uint16(b[4:])), int(b[6])
		if size < 8+length || size%4 != 0 || size > len(b) {
			return fmt.Errorf("%w: a directory's entry of %d bytes", ErrDamaged, size)
		}
		name := string(b[8 : 8+length])
		b = b[size:]
		if ino == 0 || name == "." || name == ".." {
			continue // free, or known
		}
		if name == "" {
			return fmt.Errorf("%w: a directory's entry without a name", ErrDamaged)
		}
		if err := each(ino, name); err != nil {
			return err
		}
	}
	return nil
}
