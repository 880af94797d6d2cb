package attach

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/block"
)

// fileDevice is a device in a file, which it lets its reader splice from.
type fileDevice struct {
	*os.File
	size             int64
	mapped, released atomic.Int64
	reads            atomic.Int64 // of ReadAt
}

func (d *fileDevice) Size() int64 { return d.size }

func (d *fileDevice) ReadAt(p []byte, off int64) (int, error) {
	d.reads.Add(int64(len(p)))
	return d.File.ReadAt(p, off)
}

func (d *fileDevice) Zero(off, n int64) error {
	return unix.Fallocate(int(d.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func (d *fileDevice) MapFile(off, n int64) (block.FileRange, func(), bool) {
	d.mapped.Add(1)
	return block.FileRange{FD: d.Fd(), Offset: off, Length: n}, func() { d.released.Add(1) }, true
}

func TestAttach_SplicesLargeReads(t *testing.T) {
	needsKernel(t)
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, image(t, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	disk := &fileDevice{File: f, size: 64 << 20}
	a := mounted(t, disk, nil)
	data := make([]byte, 16<<20)
	rand.New(rand.NewSource(5)).Read(data)
	name := filepath.Join(a.MountPoint(), "f")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	disk.reads.Store(0)
	// Direct reads of 512 KiB come to the device as they are.
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	buf, err := unix.Mmap(-1, 0, 512<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(buf)
	for off := 0; off < len(data); off += len(buf) {
		n, err := unix.Pread(fd, buf, int64(off))
		if err != nil || n != len(buf) {
			t.Fatalf("read at %d: %d bytes, %v", off, n, err)
		}
		if !bytes.Equal(buf, data[off:off+n]) {
			t.Fatalf("the bytes at %d differ", off)
		}
	}
	if disk.mapped.Load() == 0 || disk.reads.Load() >= int64(len(data))/2 {
		t.Errorf("%d bytes of %d were copied, %d reads were spliced", disk.reads.Load(), len(data), disk.mapped.Load())
	}
	// A reply is released just after its reader has it.
	err = poll(soon(t), func() (bool, error) { return disk.mapped.Load() == disk.released.Load(), nil })
	if err != nil {
		t.Errorf("%d mappings, %d released", disk.mapped.Load(), disk.released.Load())
	}
}

// A backup that shrinks under us is an error, not zeros.
func TestDiskFS_TruncatedFileIsNotSpliced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 300<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if reaches(f.Fd(), 300<<10+1) || !reaches(f.Fd(), 300<<10) {
		t.Error("the file's length is judged wrongly")
	}
}

func TestStatus(t *testing.T) {
	for err, want := range map[error]int32{
		nil: 0, errors.New("x"): int32(unix.EIO), os.ErrClosed: int32(unix.EIO),
		&os.PathError{Err: unix.ENOSPC}: int32(unix.ENOSPC), unix.ENOSYS: int32(unix.EIO), unix.EINTR: int32(unix.EIO),
	} {
		if got := status(err); int32(got) != want {
			t.Errorf("%v: status %d, want %d", err, got, want)
		}
	}
}
