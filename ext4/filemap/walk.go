package filemap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
)

// An Extent is a run of bytes of the image.
type Extent struct {
	Offset int64 // in bytes from the image's start
	Length int64 // in bytes
}

// A File is a regular file, a directory, or a symbolic link.
type File struct {
	Path    string // slash-separated, relative to the root, which is "."
	Dir     bool
	Size    int64    // in bytes, as stat has it
	Extents []Extent // where its bytes lie, in the file's order; holes have none
	Tree    []Extent // blocks of its extent tree, beside the inode
}

// What is followed in one image at most.
const (
	maxEntries   = 20 << 20 // names in directories
	maxTreeReads = 4 << 20  // blocks of directories and extent trees
	maxPath      = 64 << 10 // bytes
)

// ErrDamaged is in every error about bytes that are not what they should be.
var ErrDamaged = errors.New("the file system is damaged")

// Walk calls yield for every file of the image r of size bytes, directories
// before what they hold, until yield returns false. Nothing may write to the
// image meanwhile. It reads about 256 bytes for each file and returns ctx's
// error when that is done first.
func Walk(ctx context.Context, r io.ReaderAt, size int64, yield func(File) bool) error {
	fs, err := open(r, size)
	if err != nil {
		return err
	}
	return walk(ctx, fs, yield)
}

func walk(ctx context.Context, fs *fileSystem, yield func(File) bool) error {
	w := walker{fs: fs, yield: yield, dirs: map[uint32]bool{}, linked: map[uint32]bool{}}
	if err := w.walk(ctx); err != nil && !errors.Is(err, errStop) {
		return err
	}
	return nil
}

var errStop = errors.New("yield said stop")

type walker struct {
	fs      *fileSystem
	yield   func(File) bool
	dirs    map[uint32]bool // inodes of directories that were read
	linked  map[uint32]bool // inodes of files with several names that were told
	entries int
}

// name is a directory's entry that is still to be looked at.
type name struct {
	path string
	ino  uint32
}

func (w *walker) walk(ctx context.Context) error {
	todo := []name{{".", rootInode}}
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		found, err := w.visit(n)
		if err != nil {
			if errors.Is(err, errStop) {
				return err
			}
			return fmt.Errorf("%s, inode %d: %w", n.path, n.ino, err)
		}
		todo = append(todo, found...)
	}
	return nil
}

// visit tells a file, and returns what it holds if it is a directory.
func (w *walker) visit(n name) ([]name, error) {
	i, err := w.fs.inode(n.ino)
	if err != nil {
		return nil, err
	}
	dir := i.mode&modeType == modeDir
	switch {
	case dir && w.dirs[n.ino]:
		return nil, fmt.Errorf("%w: the directory has two names", ErrDamaged)
	case dir:
		w.dirs[n.ino] = true
	case i.links > 1 && w.linked[n.ino]:
		return nil, nil
	case i.links > 1:
		w.linked[n.ino] = true
	}
	f := File{Path: n.path, Dir: dir, Size: i.size}
	if i.extents {
		if f.Extents, f.Tree, err = w.fs.extentsOf(i); err != nil {
			return nil, err
		}
	}
	if !w.yield(f) {
		return nil, errStop
	}
	if !dir {
		return nil, nil
	}
	var found []name
	err = w.fs.readDir(i, f.Extents, func(ino uint32, entry string) error {
		if w.entries++; w.entries > maxEntries {
			return fmt.Errorf("more than %d files", maxEntries)
		}
		child := path.Join(n.path, entry)
		if len(child) > maxPath {
			return fmt.Errorf("%w: a path of more than %d bytes", ErrDamaged, maxPath)
		}
		found = append(found, name{child, ino})
		return nil
	})
	return found, err
}
