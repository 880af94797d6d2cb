package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

// file is an open regular file of a tree. It holds no resource of its own:
// sources open what they need when it is read.
type file struct {
	t      *tree
	info   info
	path   string
	closed atomic.Bool

	mu  sync.Mutex // guards off, for Read and Seek
	off int64
}

var (
	_ io.ReaderAt   = (*file)(nil)
	_ io.ReadSeeker = (*file)(nil)
)

func (f *file) Stat() (fs.FileInfo, error) {
	if err := f.check("stat"); err != nil {
		return nil, err
	}
	return f.info, nil
}

func (f *file) check(op string) error {
	if f.closed.Load() || f.t.closed.Load() {
		return &fs.PathError{Op: op, Path: f.path, Err: os.ErrClosed}
	}
	return nil
}

// ReadAt reads through to the content. A content that ends before the size
// that the tree shows is damage, never a silent end of file.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.path, Err: fs.ErrInvalid}
	}
	size := f.info.n.size
	if off >= size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	want, end := p, false
	if int64(len(want)) > size-off {
		want, end = want[:size-off], true
	}
	if len(want) == 0 {
		return 0, nil
	}
	n, err := f.info.n.content.ReadAt(want, off)
	switch {
	case n == len(want) && end:
		return n, io.EOF
	case n == len(want):
		return n, nil
	case err == nil || errors.Is(err, io.EOF):
		return n, Errorf(ErrDamaged, "%s: the store ends %d bytes before the file does (size %d)",
			f.path, size-off-int64(n), size)
	default:
		return n, &fs.PathError{Op: "read", Path: f.path, Err: err}
	}
}

func (f *file) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.ReadAt(p, f.off)
	f.off += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f *file) Seek(off int64, whence int) (int64, error) {
	if err := f.check("seek"); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		off += f.off
	case io.SeekEnd:
		off += f.info.n.size
	default:
		return 0, &fs.PathError{Op: "seek", Path: f.path, Err: fs.ErrInvalid}
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "seek", Path: f.path, Err: fs.ErrInvalid}
	}
	f.off = off
	return off, nil
}

// Prefetch passes the hint on; see Tree.
func (f *file) Prefetch(off, n int64) {
	if f.check("prefetch") != nil || off < 0 || n <= 0 || off >= f.info.n.size {
		return
	}
	if p, ok := f.info.n.content.(interface{ Prefetch(off, n int64) }); ok {
		p.Prefetch(off, min(n, f.info.n.size-off))
	}
}

func (f *file) Close() error {
	if f.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: f.path, Err: os.ErrClosed}
	}
	return nil
}

// dirFile is an open directory.
type dirFile struct {
	info    info
	entries []fs.DirEntry
	next    int
	closed  bool
}

func (d *dirFile) Stat() (fs.FileInfo, error) { return d.info, nil }

func (d *dirFile) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

func (d *dirFile) Close() error { d.closed = true; return nil }

func (d *dirFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if d.closed {
		return nil, &fs.PathError{Op: "readdir", Path: d.info.name, Err: os.ErrClosed}
	}
	rest := d.entries[d.next:]
	if n <= 0 {
		d.next = len(d.entries)
		return rest, nil
	}
	if len(rest) == 0 {
		return nil, io.EOF
	}
	rest = rest[:min(n, len(rest))]
	d.next += len(rest)
	return rest, nil
}
