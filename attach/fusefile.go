package attach

import (
	"errors"
	"io"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/block"
)

const (
	diskName = "disk"
	diskIno  = 2
	// statBlock becomes the loop device's discard granularity.
	statBlock = 4096
	// forever is a validity in seconds: nothing about the one file changes.
	forever = 10 * 365 * 24 * 3600
)

// diskFS is a FUSE file system with one file, which is the device.
//
// It uses go-fuse's raw interface: there is no tree of nodes worth managing,
// and the raw Read gets the very buffer that is sent to the kernel.
type diskFS struct {
	fuse.RawFileSystem // ENOSYS for what is not defined here

	dev      block.Device
	size     int64
	readOnly bool
	mapper   block.FileMapper // nil: never splice

	// inflight counts requests inside the device, for tests and diagnosis.
	inflight atomic.Int64
}

func newDiskFS(dev block.Device, readOnly bool) *diskFS {
	f := &diskFS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		dev:           dev,
		size:          dev.Size(),
		readOnly:      readOnly,
	}
	f.mapper, _ = dev.(block.FileMapper)
	return f
}

func (f *diskFS) String() string { return "snapview" }

func (f *diskFS) attr(ino uint64, out *fuse.Attr) {
	*out = fuse.Attr{Ino: ino, Nlink: 1, Blksize: statBlock}
	if ino == diskIno {
		out.Mode = syscall.S_IFREG | 0o600
		out.Size = uint64(f.size)
		out.Blocks = uint64(f.size) / 512
		return
	}
	out.Mode = syscall.S_IFDIR | 0o700
	out.Nlink = 2
}

func (f *diskFS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if h.NodeId != fuse.FUSE_ROOT_ID || name != diskName {
		return fuse.ENOENT
	}
	out.NodeId = diskIno
	out.EntryValid, out.AttrValid = forever, forever
	f.attr(diskIno, &out.Attr)
	return fuse.OK
}

func (f *diskFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.AttrValid = forever
	f.attr(in.NodeId, &out.Attr)
	return fuse.OK
}

func (f *diskFS) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (f *diskFS) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.OK }

func (f *diskFS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if in.Offset == 0 {
		out.AddDirEntry(fuse.DirEntry{Name: diskName, Ino: diskIno, Mode: syscall.S_IFREG, Off: 1})
	}
	return fuse.OK
}

func (f *diskFS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize = statBlock, statBlock
	out.Blocks = uint64(f.size) / statBlock
	out.Files = 1
	out.NameLen = 255
	return fuse.OK
}

// Open asks the kernel for no page cache of its own (the ext4 above has one)
// and for writes side by side.
func (f *diskFS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.NodeId != diskIno {
		return fuse.EISDIR
	}
	if f.readOnly && in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return fuse.EROFS
	}
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_PARALLEL_DIRECT_WRITES | fuse.FOPEN_NOFLUSH
	return fuse.OK
}

func (f *diskFS) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (f *diskFS) Release(<-chan struct{}, *fuse.ReleaseIn) {}

func (f *diskFS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	f.inflight.Add(1)
	defer f.inflight.Add(-1)
	off, n := int64(in.Offset), int64(in.Size)
	if off < 0 || off >= f.size {
		return &memResult{}, fuse.OK
	}
	n = min(n, f.size-off)
	if f.mapper != nil && n >= spliceMin && n <= spliceMax {
		if r, release, ok := f.mapper.MapFile(off, n); ok {
			if r.Length >= n && reaches(r.FD, r.Offset+n) {
				return &fileResult{fd: r.FD, off: r.Offset, size: int(n), release: release}, fuse.OK
			}
			release()
		}
	}
	got, err := f.dev.ReadAt(buf[:n], off)
	if err != nil && (!errors.Is(err, io.EOF) || int64(got) < n) {
		return nil, status(err)
	}
	return &memResult{[1][]byte{buf[:got]}}, fuse.OK
}

func (f *diskFS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	f.inflight.Add(1)
	defer f.inflight.Add(-1)
	if f.readOnly {
		return 0, fuse.EROFS
	}
	n, err := f.dev.WriteAt(data, int64(in.Offset))
	if err != nil {
		return 0, status(err)
	}
	return uint32(n), fuse.OK
}

func (f *diskFS) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status {
	if f.readOnly {
		return fuse.OK
	}
	return status(f.dev.Sync())
}

// Fallocate gets the loop device's discards (punch hole) and write-zeroes
// (punch hole, or zero range when the space should stay allocated, which
// means nothing here).
func (f *diskFS) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	if f.readOnly {
		return fuse.EROFS
	}
	switch in.Mode {
	case unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE,
		unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE,
		unix.FALLOC_FL_ZERO_RANGE:
	default:
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	off, n := int64(in.Offset), int64(in.Length)
	if off < 0 || n < 0 || off > f.size {
		return fuse.EINVAL
	}
	n = min(n, f.size-off)
	if n == 0 {
		return fuse.OK
	}
	f.inflight.Add(1)
	defer f.inflight.Add(-1)
	return status(f.dev.Zero(off, n))
}

// status is the errno that the kernel gets for an error of the device. What
// carries none is an I/O error.
func status(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	var errno syscall.Errno
	if errors.As(err, &errno) && errno != 0 && errno != syscall.ENOSYS && errno != syscall.EINTR {
		// ENOSYS would make the kernel never ask again, and EINTR is for
		// interrupted callers, which a loop device is not.
		return fuse.Status(errno)
	}
	return fuse.EIO
}

// memResult is a reply whose bytes already lie in go-fuse's reply buffer. Its
// Slices method makes go-fuse write them from there, without trying to splice.
type memResult struct{ b [1][]byte }

func (r *memResult) Size() int                          { return len(r.b[0]) }
func (r *memResult) Done()                              {}
func (r *memResult) Bytes([]byte) ([]byte, fuse.Status) { return r.b[0], fuse.OK }
func (r *memResult) Slices() ([][]byte, fuse.Status)    { return r.b[:], fuse.OK }

// Reads of spliceMin to spliceMax bytes are spliced from the file in which they
// lie: 10 to 15 % less processor time in a sequential scan. Smaller ones are
// not worth the pipe, and the reply must fit in one: 1 MiB by default, with the
// header and a page to spare.
const (
	spliceMin = 128 << 10
	spliceMax = 1<<20 - 8<<10
)

// reaches says whether a file is at least size bytes long. go-fuse would answer
// with the bytes there are, and the loop device take what is missing for
// zeros: a truncated backup must be an error instead.
func reaches(fd uintptr, size int64) bool {
	var st unix.Stat_t
	return unix.Fstat(int(fd), &st) == nil && st.Size >= size
}

// fileResult is a reply whose bytes are spliced from a file of the host.
type fileResult struct {
	fd      uintptr
	off     int64
	size    int
	release func()
}

func (r *fileResult) Size() int { return r.size }

func (r *fileResult) Done() { r.release() }

func (r *fileResult) Seekable() (uintptr, int64, int) { return r.fd, r.off, r.size }

// Bytes is go-fuse's way out when splicing failed.
func (r *fileResult) Bytes(buf []byte) ([]byte, fuse.Status) {
	for n := 0; n < r.size; {
		k, err := unix.Pread(int(r.fd), buf[n:r.size], r.off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, status(err)
		case k == 0:
			return nil, fuse.EIO // the file is shorter than its mapping said
		default:
			n += k
		}
	}
	return buf[:r.size], fuse.OK
}
