// Package imagefs is what the readers of file systems in disk images have in
// common: the interface that package diskimage finds its data directory by, and
// reading a file by its extents.
//
// A file system is read as it was at the instant when the image was taken, what
// its journal holds included; nothing is mounted, nothing is written. Opening
// one reads its superblock and its journal, all else is read when it is asked
// for. The image is input: every reader checks numbers against the size of the
// image before it uses them, bounds depths, counts and lengths, and answers a
// file system that contradicts itself with an error of class
// snapshot.ErrDamaged that names the object.
package imagefs

import (
	"errors"
	"io"
	"io/fs"
	"time"
)

// An FS is a file system that is open for reading. Its methods, and those of
// its nodes, may be called concurrently.
type FS interface {
	// Kind is the file system's name, such as "ext4".
	Kind() string
	// Root returns the root directory.
	Root() (Node, error)
	// Node returns the file, directory or link that has an inode's number.
	Node(number uint64) (Node, error)
	// Replayed says what of the journal is read.
	Replayed() Replay
}

// A Replay is what of a journal is read instead of what is in its place.
type Replay struct {
	Pieces int    // 0 if the journal was empty
	Unit   string // what a piece is, such as "blocks"
	// Torn says what of the journal's end was left out, since it was being
	// written when the image was taken; "" if nothing was.
	Torn string
}

// A Node is a file, directory or symbolic link, or something else, of which
// there is nothing but its attributes.
type Node interface {
	Attr() Attr
	// ReadDir calls each for every name in a directory but "." and "..", in
	// the order in which they lie there. An error from each ends it and is
	// returned.
	ReadDir(each func(Dirent) error) error
	// Readlink returns the target of a symbolic link.
	Readlink() (string, error)
	// Content returns the contents of a regular file.
	Content() *Content
}

// Attr is what is known of a node without reading further.
type Attr struct {
	Number  uint64 // of its inode
	Mode    fs.FileMode
	Size    int64 // in bytes
	ModTime time.Time
	Links   int
}

// A Dirent is a name in a directory.
type Dirent struct {
	Name   string
	Number uint64 // of its inode
}

// Mode turns the mode of an inode of Unix into Go's: type and permissions. What
// is neither file, directory nor link is irregular.
func Mode(m uint16) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & 0xF000 {
	case 0x8000:
	case 0x4000:
		mode |= fs.ModeDir
	case 0xA000:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}

// ReadFull fills p from off on; the end of r before that is
// io.ErrUnexpectedEOF.
func ReadFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
