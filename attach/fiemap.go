package attach

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Extent is a run of a file's bytes on the block device.
type Extent struct {
	Logical  int64  // offset in the file, in bytes
	Physical int64  // offset on the block device, in bytes; 0 when unknown
	Length   int64  // in bytes
	Flags    uint32 // FIEMAP_EXTENT_* of linux/fiemap.h
}

// Flags of an Extent (linux/fiemap.h).
const (
	ExtentLast      = 0x0001 // the file's last
	ExtentUnknown   = 0x0002 // place not known
	ExtentDelalloc  = 0x0004 // not yet allocated; implies unknown
	ExtentUnwritten = 0x0800 // allocated, reads as zeros
)

// fsIocFiemap is FS_IOC_FIEMAP of linux/fs.h: _IOWR('f', 11, struct fiemap).
const fsIocFiemap = 0xc020660b

// fiemapBatch is how many extents one call asks for: 56 bytes each, and few
// files have more.
const fiemapBatch = 256

// fiemapExtent and fiemapRequest are struct fiemap_extent and struct fiemap of
// linux/fiemap.h.
type fiemapExtent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

type fiemapRequest struct {
	start, length uint64
	flags         uint32
	mapped        uint32
	count         uint32
	_             uint32
	extents       [fiemapBatch]fiemapExtent
}

// fiemap asks where the bytes of an open file lie, without writing anything
// first. req is scratch memory.
func fiemap(fd int, req *fiemapRequest) ([]Extent, error) {
	var out []Extent
	for next := uint64(0); ; {
		req.start, req.length = next, ^uint64(0)-next
		req.flags, req.mapped, req.count = 0, 0, fiemapBatch
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fsIocFiemap, uintptr(unsafe.Pointer(req)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return nil, errno
		}
		got := req.extents[:min(req.mapped, fiemapBatch)]
		for _, e := range got {
			x := Extent{Logical: int64(e.logical), Physical: int64(e.physical), Length: int64(e.length), Flags: e.flags}
			if x.Flags&ExtentUnknown != 0 {
				x.Physical = 0
			}
			out = append(out, x)
			next = e.logical + e.length
			if e.flags&ExtentLast != 0 {
				return out, nil
			}
		}
		if len(got) < fiemapBatch {
			return out, nil
		}
	}
}

// FileExtents says where the bytes of a file or directory of the mount lie.
// path is relative to the mount point and may not lead out of it. A file that
// has no blocks yet (delayed allocation) has extents of unknown place; Sync
// first to know them. Extended attributes are not included, and what a
// symbolic link holds the kernel does not tell.
func (a *Attachment) FileExtents(path string) ([]Extent, error) {
	root, err := os.OpenRoot(a.mountPoint)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return rootExtents(root, path, new(fiemapRequest))
}

// rootExtents is FileExtents with the mount point open.
func rootExtents(root *os.Root, path string, req *fiemapRequest) ([]Extent, error) {
	// O_NONBLOCK: a named pipe must not make us wait.
	f, err := root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out, err := fiemap(int(f.Fd()), req)
	if err != nil {
		return nil, fmt.Errorf("extents of %s: %w", path, err)
	}
	return out, nil
}
