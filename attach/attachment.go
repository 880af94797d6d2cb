package attach

import (
	"context"
	"errors"
	"os"
)

// An Attachment is a mounted device. Its methods may be called concurrently.
type Attachment struct {
	method     Method
	mountPoint string
	device     string
}

// Method says how the device is attached: NBD or FUSE, never Auto.
func (a *Attachment) Method() Method { return a.method }

// MountPoint is the directory where the file system is mounted.
func (a *Attachment) MountPoint() string { return a.mountPoint }

// DeviceName is the block device's name as in /sys/block, "loop3" or "nbd0".
func (a *Attachment) DeviceName() string { return a.device }

// SetReadAhead sets how many bytes the kernel reads ahead of a sequential
// reader, in whole KiB. It counts for files opened from now on: the kernel
// copies it into each file when that is opened.
func (a *Attachment) SetReadAhead(bytes int64) error { return errors.ErrUnsupported }

// Freeze makes the file system on the device complete and still: dirty pages
// are written and writers wait until Thaw. Freezing twice is an error.
func (a *Attachment) Freeze() error { return errors.ErrUnsupported }

// Thaw ends Freeze. On a file system that is not frozen it does nothing.
func (a *Attachment) Thaw() error { return errors.ErrUnsupported }

// Sync writes the file system's dirty pages and metadata to the device.
func (a *Attachment) Sync() error { return errors.ErrUnsupported }

// Detach gives everything back in reverse order: the mount, the block device,
// the FUSE mount, the directories. All errors are joined. It goes on past an
// error where that is safe, and may be called again to retry what is left;
// once all is released it returns nil. When the mount is busy it is retried
// until ctx ends, then the error names who holds it (see BusyError).
func (a *Attachment) Detach(ctx context.Context) error { return errors.ErrUnsupported }

// An Extent is a run of a file's bytes on the block device.
type Extent struct {
	Logical  int64  // offset in the file, in bytes
	Physical int64  // offset on the block device, in bytes; 0 with FIEMAP_EXTENT_UNKNOWN
	Length   int64  // in bytes
	Flags    uint32 // FIEMAP_EXTENT_* of linux/fiemap.h
}

// FileExtents says where the bytes of a file or directory of the mount lie.
// path is relative to the mount point. A file that has no blocks yet (delayed
// allocation) has extents of unknown place; Sync first to know them.
// Symbolic links have no extents that the kernel would tell.
func (a *Attachment) FileExtents(path string) ([]Extent, error) { return nil, errors.ErrUnsupported }

// A File is what Files tells of each file, directory and link of the mount.
type File struct {
	Path    string // relative to the mount point, "." for its root
	Mode    os.FileMode
	Inode   uint64
	Size    int64
	Extents []Extent
}

// Files calls yield for every file and directory of the mount, parents first,
// names in order, until yield returns false. What vanishes meanwhile is left
// out. A file with several names comes once for each.
func (a *Attachment) Files(ctx context.Context, yield func(File) bool) error {
	return errors.ErrUnsupported
}

func attach(ctx context.Context, cfg Config) (*Attachment, error) {
	return nil, errors.ErrUnsupported
}
