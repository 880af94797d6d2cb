package cow

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// openRaw opens a file without offering it to Go's poller: a store may lie on
// a FUSE file system that this very process serves, and polling it would wait
// for ourselves.
func openRaw(path string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

// retry calls a system call again while signals interrupt it.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// punch frees n bytes at off, which then read as zeros. The caller keeps f
// open for as long as it runs.
func punch(f *os.File, off, n int64) error {
	return retry(func() error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
}

// datasync puts a file's bytes, and the metadata needed to read them back, on
// stable storage.
func datasync(f *os.File) error {
	if err := retry(func() error { return unix.Fdatasync(int(f.Fd())) }); err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
	}
	return nil
}

// syncDir makes creations, renames and removals in a directory durable.
func syncDir(dir string) error {
	d, err := openRaw(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	err = retry(func() error { return unix.Fsync(int(d.Fd())) })
	d.Close()
	if err != nil {
		return fmt.Errorf("fsync %s: %w", dir, err)
	}
	return nil
}

// replaceFile gives path new contents in one step that a crash cannot split.
// between runs when the new contents are durable beside the old. A file that is
// returned is the new one, in place and open; with an error it means that the
// change of the directory may not be durable yet.
func replaceFile(path string, data []byte, between func() error) (*os.File, error) {
	tmp := path + ".tmp"
	f, err := openRaw(tmp, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = retry(func() error { return unix.Fsync(int(f.Fd())) })
	}
	if err == nil {
		err = between()
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		f.Close()
		if !errors.Is(err, errCrash) {
			os.Remove(tmp)
		}
		return nil, fmt.Errorf("replacing %s: %w", path, err)
	}
	return f, syncDir(filepath.Dir(path))
}

// putFile is replaceFile for files that nobody keeps open.
func putFile(path string, data []byte, between func() error) error {
	f, err := replaceFile(path, data, between)
	if f != nil {
		f.Close()
	}
	return err
}

// errCrash is what tests return from a hook to stop like a killed process:
// nothing is cleaned up after it.
var errCrash = errors.New("crash of a test")

// tryLock takes an advisory lock that ends with the open file, kill -9
// included. ok is false when another open file has it.
func tryLock(f *os.File, how int) (ok bool, err error) {
	err = retry(func() error { return unix.Flock(int(f.Fd()), how|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("flock %s: %w", f.Name(), err)
	}
	return true, nil
}

// allocatedBytes returns what du counts for a file.
func allocatedBytes(fi os.FileInfo) int64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return 0
}

// hostRoom returns the free bytes of the file system that dir lies on, for an
// ordinary user, and its size.
func hostRoom(dir string) (free, size int64, err error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Frsize, int64(st.Blocks) * st.Frsize, nil
}

// isNoRoom reports whether a write failed because the host has no room for it.
func isNoRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// dataRuns calls yield for each run of a sparse file that is not a hole.
func dataRuns(f *os.File, size int64, yield func(off, end int64) error) error {
	for off := int64(0); off < size; {
		start, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil
		}
		if err != nil {
			return yield(off, size) // cannot tell holes from data
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			end = size
		}
		if err := yield(start, min(end, size)); err != nil {
			return err
		}
		off = end
	}
	return nil
}

// copyRange copies n bytes at off from one file to the same place in another,
// inside the kernel where it can.
func copyRange(dst, src *os.File, off, n int64) error {
	for n > 0 {
		so, do := off, off
		k, err := unix.CopyFileRange(int(src.Fd()), &so, int(dst.Fd()), &do, int(min(n, 1<<30)), 0)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || k == 0:
			_, err := io.Copy(io.NewOffsetWriter(dst, off), io.NewSectionReader(src, off, n))
			return err
		}
		off, n = off+int64(k), n-int64(k)
	}
	return nil
}
