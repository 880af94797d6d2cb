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
	"os"
	"strings"
	"sync"

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

	through *cache   // nil: files are read directly
	far     []string // roots that are read through it
	hurried bool     // Close waits for a moment only
}

// A handle is an open descriptor. It is closed when it has left the pool and
// nobody reads from it.
type handle struct {
	fd      int
	refs    int
	evicted bool
}

// defaultSize is snapshot.DefaultMaxOpenFiles, or an eighth of what the process
// may have open if that is less: there are more sessions than one, and servers.
func defaultSize() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 64
	}
	return int(min(snapshot.DefaultMaxOpenFiles, max(limit.Cur/8, 16)))
}

// NewPool returns a pool of at most size open files, 0 for the default. Bytes
// read are added to counter.
func NewPool(size int, counter *snapshot.Counter) *Pool {
	if size <= 0 {
		size = defaultSize()
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
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	var err error
	if first && p.through != nil {
		err = p.through.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait()
	p.open.Purge()
	if p.inUse > 0 {
		return err // a file is still being opened below the roots
	}
	for _, fd := range p.roots {
		_ = unix.Close(fd)
	}
	p.roots = nil
	return err
}

// A Root is a directory below which files are opened.
type Root struct {
	pool  *Pool
	fd    int
	name  string
	cache *cache // what its files are read through; nil: nothing
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
	r := &Root{pool: p, fd: fd, name: dir}
	if c := p.through; c != nil {
		if kind := farKind(fd); kind != "" || c.when == FarAlways {
			r.cache = c
			p.far = append(p.far, strings.TrimSpace(dir+" "+kind))
		}
	}
	return r, nil
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
