package hostdir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/snapshot"
)

// A File is a regular file below a Root: a snapshot.Content.
type File struct {
	root *Root
	name string
	size int64
	time time.Time
	dev  uint64
	ino  uint64
	away *away // nil: near
}

var _ snapshot.Content = (*File)(nil)

// File returns the file at name, relative to the root. It is opened when it
// is first read.
func (r *Root) File(name string) (*File, int64, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(r.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, 0, &os.PathError{Op: "stat", Path: r.name + "/" + name, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, 0, snapshot.Errorf(snapshot.ErrNotABackup, "%s/%s is not a regular file", r.name, name)
	}
	return r.file(name, &st), st.Size, nil
}

func (r *Root) file(name string, st *unix.Stat_t) *File {
	f := &File{root: r, name: name, size: st.Size, time: time.Unix(st.Mtim.Unix()), dev: st.Dev, ino: st.Ino}
	if r.cache != nil {
		f.away = &away{status: time.Unix(st.Ctim.Unix()).UnixNano()}
	}
	return f
}

// acquire returns an open handle; release must follow.
func (f *File) acquire() (*handle, error) {
	p := f.root.pool
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, os.ErrClosed
	}
	p.inUse++
	if h, ok := p.open.Get(f); ok {
		h.refs++
		p.mu.Unlock()
		return h, nil
	}
	p.mu.Unlock()

	fd, err := f.root.openBeneath(f.name, 0)
	if err == nil {
		err = f.unchanged(fd)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		p.leave()
		return nil, err
	}
	if h, ok := p.open.Get(f); ok { // another reader was faster
		_ = unix.Close(fd)
		h.refs++
		return h, nil
	}
	h := &handle{fd: fd, refs: 1}
	p.open.Add(f, h)
	return h, nil
}

// unchanged fails if the name leads to another file than the walk saw, or to
// one that has another size now: a backup that is being replaced. What is far
// away is known by its time of change: FUSE may number the same file anew.
func (f *File) unchanged(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	same := st.Ino == f.ino
	if f.away != nil {
		same = f.time.Equal(time.Unix(st.Mtim.Unix()))
	}
	if st.Dev != f.dev || !same || st.Size != f.size {
		return snapshot.Errorf(snapshot.ErrDamaged,
			"%s/%s was changed since the snapshot was opened (size %d, now %d): is the backup being replaced, or a server running on it?",
			f.root.name, f.name, f.size, st.Size)
	}
	return nil
}

func (f *File) release(h *handle) {
	p := f.root.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(h)
	p.leave()
}

// drop gives back a handle, but not the use of the pool.
func (p *Pool) drop(h *handle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(h)
}

// put gives back a handle; p.mu is held.
func (p *Pool) put(h *handle) {
	h.refs--
	if h.refs == 0 && h.evicted {
		_ = unix.Close(h.fd)
	}
}

// leave ends a use of the pool; p.mu is held.
func (p *Pool) leave() {
	if p.inUse--; p.inUse == 0 {
		p.idle.Broadcast()
	}
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(b []byte, off int64) (int, error) {
	if f.away != nil {
		return f.cached().ReadAt(b, off)
	}
	h, err := f.acquire()
	if err != nil {
		return 0, err
	}
	defer f.release(h)
	return f.pread(h, b, off)
}

func (f *File) pread(h *handle, b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		m, err := unix.Pread(h.fd, b[n:], off+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("read %s/%s at %d: %w", f.root.name, f.name, off+int64(n), err)
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
		f.root.pool.counter.Add(m)
	}
	return n, nil
}

// Prefetch asks the kernel, or what the file is read through, to read a range in
// the background. It returns at once; when too many are under way the hint is
// dropped.
func (f *File) Prefetch(off, n int64) {
	if f.away != nil {
		f.cached().Prefetch(off, n)
		return
	}
	p := f.root.pool
	select {
	case p.prefetch <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-p.prefetch }()
		h, err := f.acquire()
		if err != nil {
			return
		}
		defer f.release(h)
		_ = unix.Fadvise(h.fd, off, n, unix.FADV_WILLNEED) // a hint
	}()
}

// Size returns the size that the file had when it was found.
func (f *File) Size() int64 { return f.size }

// Changed returns when the file was changed last, as of when it was found.
func (f *File) Changed() time.Time { return f.time }
