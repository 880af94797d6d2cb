package ext4

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// randomFile is an open file that can be read at random.
type randomFile interface {
	fs.File
	io.ReaderAt
}

// handles keeps files of the tree open, the least recently used closed first.
//
// A handle pushed out while in use stays open until its last user releases
// it, so that the bound may be exceeded by the number of reads in flight. No
// lock is held while a file is opened, read or closed; those who want a file
// that is being opened wait for that opening and share its outcome.
type handles struct {
	open func(file int) (randomFile, error)

	mu     sync.Mutex // guards the rest, and refs and evicted of every handle
	lru    *simplelru.LRU[int, *handle]
	closed bool

	// dropped collects, under mu, what the cache pushed out, to be closed
	// after mu is released.
	dropped []*handle
}

type handle struct {
	opened chan struct{} // closed when file or err is set
	file   randomFile
	err    error

	refs    int
	evicted bool
}

func newHandles(limit int, open func(file int) (randomFile, error)) (*handles, error) {
	h := &handles{open: open}
	lru, err := simplelru.NewLRU(limit, func(_ int, x *handle) {
		x.evicted = true
		if x.refs == 0 {
			h.dropped = append(h.dropped, x)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("ext4: table of %d open files: %w", limit, err)
	}
	h.lru = lru
	return h, nil
}

// acquire returns the open file; release must follow unless there is an
// error. A failed opening is not kept: the next acquire tries again.
func (h *handles) acquire(file int) (*handle, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, os.ErrClosed
	}
	x, ok := h.lru.Get(file)
	if !ok {
		x = &handle{opened: make(chan struct{})}
		h.lru.Add(file, x)
	}
	x.refs++
	dropped := h.takeDropped()
	h.mu.Unlock()
	closeAll(dropped)

	if !ok {
		h.openInto(x, file)
	}
	<-x.opened
	if x.err != nil {
		err := x.err
		h.release(x)
		return nil, err
	}
	return x, nil
}

func (h *handles) openInto(x *handle, file int) {
	defer close(x.opened)
	if x.file, x.err = h.open(file); x.err == nil {
		return
	}
	x.file = nil
	h.mu.Lock()
	if cur, ok := h.lru.Peek(file); ok && cur == x {
		h.lru.Remove(file)
	}
	h.mu.Unlock()
}

func (h *handles) release(x *handle) {
	h.mu.Lock()
	x.refs--
	last := x.refs == 0 && x.evicted
	h.mu.Unlock()
	if last && x.file != nil {
		x.file.Close() // read only: there is nothing to lose
	}
}

func (h *handles) takeDropped() []*handle {
	d := h.dropped
	h.dropped = nil
	return d
}

// close drops every handle. Those in use are closed by their last release.
func (h *handles) close() error {
	h.mu.Lock()
	h.closed = true
	h.lru.Purge()
	dropped := h.takeDropped()
	h.mu.Unlock()
	return closeAll(dropped)
}

func closeAll(hs []*handle) error {
	var errs []error
	for _, x := range hs {
		if x.file != nil {
			errs = append(errs, x.file.Close())
		}
	}
	return errors.Join(errs...)
}
