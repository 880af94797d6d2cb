package attach

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// A File is what Files tells of each file, directory and link of the mount.
type File struct {
	Path    string // relative to the mount point, with slashes, "." for its root
	Mode    fs.FileMode
	Inode   uint64
	Links   uint64 // names of the inode; a file with several comes once for each
	Size    int64
	Extents []Extent // of regular files and directories
}

// errStop ends a walk that its caller has seen enough of.
var errStop = errors.New("stop")

// Files calls yield for every file and directory of the mount, parents first,
// names in order, until yield returns false. What vanishes meanwhile is left
// out: the server may be running. Reading a directory reads the device; the
// contents of files are not read.
func (a *Attachment) Files(ctx context.Context, yield func(File) bool) error {
	root, err := os.OpenRoot(a.mountPoint)
	if err != nil {
		return err
	}
	defer root.Close()
	req := new(fiemapRequest)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return gone(err)
		}
		info, err := d.Info()
		if err != nil {
			return gone(err)
		}
		f := File{Path: path, Mode: info.Mode(), Size: info.Size()}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			f.Inode, f.Links = st.Ino, uint64(st.Nlink)
		}
		if info.Mode().IsRegular() || info.IsDir() {
			if f.Extents, err = rootExtents(root, path, req); err != nil {
				return gone(err)
			}
		}
		if !yield(f) {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// gone drops the error of a file that was removed while it was looked at.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
