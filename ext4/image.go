package ext4

import (
	"errors"
	"io/fs"

	"github.com/snapview/snapview/block"
)

var (
	_ block.Reader       = (*Image)(nil)
	_ block.Prefetcher   = (*Image)(nil)
	_ block.FileMapper   = (*Image)(nil)
	_ block.ExtentMapper = (*Image)(nil)
)

// ErrSourceChanged is wrapped by read errors of files that became shorter
// than they were when the image was laid out.
var ErrSourceChanged = errors.New("the file changed after the image was laid out")

// Image is an ext4 file system over a tree of files. All methods may be
// called concurrently.
type Image struct{}

// New lays tree out. It reads directories and file information only; it opens
// one file to see that files can be read at random, no more.
//
// Regular files of the tree must implement io.ReaderAt besides fs.File, and
// symlinks need a tree that implements fs.ReadLinkFS. Modes and times are
// those of the tree, directories' included. fs.FileInfo.Sys may tell more by
// implementing:
//
//	PhysicalOrder() int64  // position in the store: data is laid out in this order
//	LinkID() string        // files with equal, non-empty IDs are one inode
//	Sparse() bool          // the opened file implements block.ExtentMapper
//
// The tree must not change as long as the image is used, and may be closed
// after Close.
func New(tree fs.FS, opts Options) (*Image, error) {
	return nil, errors.New("ext4: not implemented yet")
}

// Size implements block.Reader. It is a multiple of 128 MiB.
func (m *Image) Size() int64 { return 0 }

// ReadAt implements block.Reader. A read error of a file carries its path and
// the offset in it; it fails this call only, and a later one tries again.
func (m *Image) ReadAt(p []byte, off int64) (int, error) { return 0, nil }

// Prefetch implements block.Prefetcher: it tells the files of the range that
// implement it.
func (m *Image) Prefetch(off, n int64) {}

// MapFile implements block.FileMapper for files of the tree that do.
func (m *Image) MapFile(off, n int64) (r block.FileRange, release func(), ok bool) {
	return block.FileRange{}, nil, false
}

// Extents implements block.ExtentMapper. Free space, unused inodes and the
// holes of sparse files are block.ExtentZero.
func (m *Image) Extents(off, n int64, yield func(block.Extent) bool) error { return nil }

// PathAt returns which file of the tree the byte at off belongs to, and its
// offset in that file. ok is false for metadata and free space.
func (m *Image) PathAt(off int64) (path string, fileOff int64, ok bool) { return "", 0, false }

// Identity returns a SHA-256 over all metadata of the image but the times in
// its superblock: names, sizes, modes, times, links, owner, order, geometry
// and UUID. Two images of equal identity are equal in every byte if the data
// of their files is.
func (m *Image) Identity() [32]byte { return [32]byte{} }

// UUID returns the file system's UUID, given or made.
func (m *Image) UUID() [16]byte { return [16]byte{} }

// Layout returns what the image is made of.
func (m *Image) Layout() Layout { return Layout{} }

// Close closes every file that the image holds open; one that is being read
// is closed when its read ends. Reads fail with os.ErrClosed afterwards.
// Closing again is harmless and returns nil.
func (m *Image) Close() error { return nil }

// Layout says what an image is made of. Sizes are in bytes.
type Layout struct {
	Size          int64 // of the whole image
	BlockSize     int64
	Blocks        int64
	Groups        int64
	MetadataBytes int64 // superblock to extent tree blocks
	DataBytes     int64 // blocks of files: their sizes rounded up to blocks
	FreeBytes     int64
	Inodes        int64 // all of them
	UsedInodes    int64 // with the 10 that ext4 reserves
	Files         int64 // regular files, each inode once
	Directories   int64 // with the root
	Symlinks      int64
	HardLinks     int64 // names of files beyond their first
	MemoryBytes   int64 // metadata held in memory
}
