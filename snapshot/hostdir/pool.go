// Package hostdir reads files of this host for the sources: a bounded pool of
// file descriptors, opened on demand and read-only, and a walk that records a
// directory in a snapshot.Builder without reading data.
//
// A path below a Root is resolved by the kernel with RESOLVE_BENEATH and
// RESOLVE_NO_SYMLINKS: a link put where the walk saw a directory cannot lead a
// later read out of the backup. Files are opened with O_NOATIME where the
// kernel allows it, so that not even access times of the backup change.
//
// Lock order: Pool.mu only; no call into the kernel is made under it besides
// close.
package hostdir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/snapshot"
)

// A Pool keeps at most a number of files open that are not being read right
// now. All methods may be called concurrently.
type Pool struct {
	counter  *snapshot.Counter
	prefetch chan struct{} // bounds goroutines of Prefetch

	mu     sync.Mutex
	idle   *sync.Cond // signalled when inUse falls to 0
	open   *simplelru.LRU[*File, *handle]
	inUse  int
	closed bool
	roots  []int
}

// A handle is an open descriptor. It is closed when it has left the pool and
// nobody reads from it.
type handle struct {
	fd      int
	refs    int
	evicted bool
}

// NewPool returns a pool of at most size open files, 0 for the default. Bytes
// read are added to counter.
func NewPool(size int, counter *snapshot.Counter) *Pool {
	if size <= 0 {
		size = snapshot.DefaultMaxOpenFiles
	}
	p := &Pool{counter: counter, prefetch: make(chan struct{}, 16)}
	p.idle = sync.NewCond(&p.mu)
	p.open, _ = simplelru.NewLRU(size, func(_ *File, h *handle) { // fails only for size < 1
		h.evicted = true
		if h.refs == 0 {
			_ = unix.Close(h.fd) // read-only: nothing to lose
		}
	})
	return p
}

// Close waits for reads under way and closes every file. Later reads fail with
// os.ErrClosed. It may be called twice.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for p.inUse > 0 {
		p.idle.Wait()
	}
	p.open.Purge()
	for _, fd := range p.roots {
		_ = unix.Close(fd)
	}
	p.roots = nil
	return nil
}

// A Root is a directory below which files are opened.
type Root struct {
	pool *Pool
	fd   int
	name string
}

// Root opens a directory of the host; dir may itself be a link.
func (p *Pool) Root(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "open", Path: dir, Err: os.ErrClosed}
	}
	p.roots = append(p.roots, fd)
	return &Root{p, fd, dir}, nil
}

// openBeneath opens name, relative to the root, without following any link.
func (r *Root) openBeneath(name string, flags int) (int, error) {
	flags |= unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_NOATIME),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(r.fd, name, &how)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.EPERM) && how.Flags&unix.O_NOATIME != 0:
			how.Flags &^= unix.O_NOATIME // only the owner may ask for it
			continue
		case errors.Is(err, unix.ENOSYS): // before Linux 5.6
			fd, err = unix.Openat(r.fd, name, flags, 0)
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: r.name + "/" + name, Err: err}
		}
		return fd, nil
	}
}

// A File is a regular file below a Root: a snapshot.Content.
type File struct {
	root *Root
	name string
	size int64
	time time.Time
	dev  uint64
	ino  uint64
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
	return &File{root: r, name: name, size: st.Size, time: time.Unix(st.Mtim.Unix()), dev: st.Dev, ino: st.Ino}
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
// one that has another size now: a backup that is being replaced.
func (f *File) unchanged(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Dev != f.dev || st.Ino != f.ino || st.Size != f.size {
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
	h.refs--
	if h.refs == 0 && h.evicted {
		_ = unix.Close(h.fd)
	}
	p.leave()
}

// leave ends a use of the pool; p.mu is held.
func (p *Pool) leave() {
	if p.inUse--; p.inUse == 0 {
		p.idle.Broadcast()
	}
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(b []byte, off int64) (int, error) {
	h, err := f.acquire()
	if err != nil {
		return 0, err
	}
	defer f.release(h)
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

// Prefetch asks the kernel to read a range in the background. It returns at
// once; when too many are under way the hint is dropped.
func (f *File) Prefetch(off, n int64) {
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
