package ext4

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

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
type Image struct {
	md       *metadata
	uuid     [16]byte
	tree     fs.FS
	handles  *handles
	closed   atomic.Bool
	prefetch chan struct{} // a slot for each prefetch under way
	identity func() [32]byte
}

// maxPrefetches bounds the prefetches under way; more are dropped, as hints
// may be.
const maxPrefetches = 8

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
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	nodes, err := scan(tree)
	if err != nil {
		return nil, err
	}
	md, err := build(nodes, &opts)
	if err != nil {
		return nil, err
	}
	m := &Image{
		md:       md,
		uuid:     opts.UUID,
		tree:     tree,
		prefetch: make(chan struct{}, maxPrefetches),
	}
	m.identity = sync.OnceValue(m.computeIdentity)
	m.handles, err = newHandles(opts.OpenFiles, m.openFile)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Image) openFile(i int) (randomFile, error) { return openRandom(m.tree, m.md.files[i].path) }

// Size implements block.Reader. It is a multiple of 128 MiB.
func (m *Image) Size() int64 { return m.md.layout.Size }

// UUID returns the file system's UUID, given or made.
func (m *Image) UUID() [16]byte { return m.uuid }

// Layout returns what the image is made of.
func (m *Image) Layout() Layout { return m.md.layout }

// Identity returns a SHA-256 over all metadata of the image but the times in
// its superblock: names, sizes, modes, times, links, owner, order, geometry
// and UUID. Two images of equal identity are equal in every byte if the data
// of their files is.
func (m *Image) Identity() [32]byte { return m.identity() }

func (m *Image) computeIdentity() [32]byte {
	h := sha256.New()
	h.Write([]byte("snapview ext4 layout 1\n"))
	super := [blockSize]byte{}
	copy(super[:], m.md.head)
	for _, r := range superTimes {
		clear(super[superOffset+r[0] : superOffset+r[0]+r[1]])
	}
	for _, part := range [][]byte{super[:], m.md.head[blockSize:], m.md.inodes, m.md.meta} {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	return [32]byte(h.Sum(nil))
}

// Close closes every file that the image holds open; one that is being read
// is closed when its read ends. Reads fail with os.ErrClosed afterwards.
// Closing again is harmless and returns nil.
func (m *Image) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	if err := m.handles.close(); err != nil {
		return fmt.Errorf("ext4: closing files of the tree: %w", err)
	}
	return nil
}

// checkOpen returns os.ErrClosed after Close.
func (m *Image) checkOpen() error {
	if m.closed.Load() {
		return fmt.Errorf("ext4: %w", os.ErrClosed)
	}
	return nil
}

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
