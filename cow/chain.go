package cow

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/snapview/snapview/block"
)

// dataFile is a layer's data file, open for as long as somebody needs it: the
// chain itself, or a caller of MapFile.
type dataFile struct {
	f       *os.File
	fd      uintptr
	refs    atomic.Int32
	release func() // unref, made once so that MapFile does not allocate
}

func newDataFile(f *os.File) *dataFile {
	d := &dataFile{f: f, fd: f.Fd()}
	d.refs.Store(1)
	d.release = d.unref
	return d
}

// ref keeps the file open until unref; it fails when it is closed already.
func (d *dataFile) ref() bool {
	for {
		n := d.refs.Load()
		if n == 0 {
			return false
		}
		if d.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (d *dataFile) unref() {
	if d.refs.Add(-1) == 0 {
		d.f.Close()
	}
}

// chain is a base and the layers over it, resolved for reading. Reads take no
// lock but those of the map.
type chain struct {
	base block.Reader
	size int64
	m    *blockMap
	// files has the data files by layer; a layer that was merged away is nil.
	// The slice is replaced, never changed.
	files  atomic.Pointer[[]*dataFile]
	closed atomic.Bool

	baseRead, read atomic.Int64
}

// Size returns the disk's size in bytes.
func (c *chain) Size() int64 { return c.size }

// file returns the data file that src names.
func (c *chain) file(src source) *dataFile { return (*c.files.Load())[src-srcLayer] }

// ReadAt implements io.ReaderAt: one read for each run of blocks that lie in
// one place, without locks or copies in between.
func (c *chain) ReadAt(p []byte, off int64) (int, error) {
	if c.closed.Load() {
		return 0, os.ErrClosed
	}
	if off < 0 {
		return 0, fmt.Errorf("%w: offset %d", block.ErrRange, off)
	}
	short := false
	if left := c.size - off; int64(len(p)) > left {
		p, short = p[:max(left, 0)], true
	}
	n, err := c.readAll(p, off)
	c.read.Add(int64(n))
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// readAll reads len(p) bytes, all of which the disk has.
func (c *chain) readAll(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		at := off + int64(done)
		src, n := c.run(at, int64(len(p)-done))
		q := p[done : done+int(n)]
		k, err := c.readRun(q, at, src)
		done += k
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// run returns the source of the byte at off and for how many bytes, at most n,
// it goes on.
func (c *chain) run(off, n int64) (source, int64) {
	in := off % BlockSize
	blocks := min((in+n+BlockSize-1)/BlockSize, 1<<30)
	src, k := c.m.span(uint64(off/BlockSize), int(blocks))
	return src, min(n, int64(k)*BlockSize-in)
}

// readRun fills q from one source.
func (c *chain) readRun(q []byte, off int64, src source) (int, error) {
	switch {
	case src == srcBase:
		n, err := c.base.ReadAt(q, off)
		c.baseRead.Add(int64(n))
		if n == len(q) {
			return n, nil
		}
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return n, fmt.Errorf("overlay: reading %d bytes at %d of the base: %w", len(q), off, err)
	case isZeroSource(src):
		clear(q)
		return len(q), nil
	}
	f := c.file(src)
	if f == nil { // merged away since the map was asked: ask again
		return 0, nil
	}
	n, err := f.f.ReadAt(q, off)
	switch {
	case n == len(q):
		return n, nil
	case errors.Is(err, os.ErrClosed):
		if c.closed.Load() {
			return n, os.ErrClosed
		}
		return n, nil
	case err == io.EOF:
		// The file was made as long as the device: somebody cut it.
		return n, fmt.Errorf("overlay: %s ends at byte %d of %d: %w", f.f.Name(), off+int64(n), c.size, ErrDamaged)
	}
	return n, fmt.Errorf("overlay: %w", err)
}

// Extents implements block.ExtentMapper. Blocks that no layer holds are
// described by the base, if it can.
func (c *chain) Extents(off, n int64, yield func(block.Extent) bool) error {
	if c.closed.Load() {
		return os.ErrClosed
	}
	if err := block.CheckRange(off, n, c.size); err != nil {
		return err
	}
	below, _ := c.base.(block.ExtentMapper)
	for n > 0 {
		src, k := c.run(off, n)
		if src == srcBase && below != nil {
			more := true
			err := below.Extents(off, k, func(e block.Extent) bool {
				e.State &^= block.ExtentHeld
				more = yield(e)
				return more
			})
			if err != nil || !more {
				return err
			}
		} else if !yield(block.Extent{Offset: off, Length: k, State: extentState(src)}) {
			return nil
		}
		off, n = off+k, n-k
	}
	return nil
}

// Prefetch implements block.Prefetcher for what would be read from the base.
func (c *chain) Prefetch(off, n int64) {
	below, ok := c.base.(block.Prefetcher)
	if !ok || c.closed.Load() || off < 0 {
		return
	}
	for n = min(n, c.size-off); n > 0; {
		src, k := c.run(off, n)
		if src == srcBase {
			below.Prefetch(off, k)
		}
		off, n = off+k, n-k
	}
}

// MapFile implements block.FileMapper: held blocks lie in a layer's data file,
// the base's perhaps in files of its own.
func (c *chain) MapFile(off, n int64) (block.FileRange, func(), bool) {
	if c.closed.Load() || off < 0 || n <= 0 || off >= c.size {
		return block.FileRange{}, nil, false
	}
	src, n := c.run(off, min(n, c.size-off))
	switch {
	case src == srcBase:
		if below, ok := c.base.(block.FileMapper); ok {
			return below.MapFile(off, n)
		}
	case !isZeroSource(src):
		if f := c.file(src); f != nil && f.ref() {
			return block.FileRange{FD: f.fd, Offset: off, Length: n}, f.release, true
		}
	}
	return block.FileRange{}, nil, false
}

// closeFiles lets go of all data files.
func (c *chain) closeFiles() {
	for _, f := range *c.files.Load() {
		if f != nil {
			f.unref()
		}
	}
}

// A View is a layer's disk, read-only. It implements block.Reader,
// block.ExtentMapper, block.Prefetcher and block.FileMapper, all safe for
// concurrent use.
type View struct{ chain }

// Close releases the view. Calling it again is harmless.
func (v *View) Close() error {
	if !v.closed.Swap(true) {
		v.closeFiles()
	}
	return nil
}

var (
	_ block.Device       = (*Overlay)(nil)
	_ block.ExtentMapper = (*Overlay)(nil)
	_ block.Prefetcher   = (*Overlay)(nil)
	_ block.FileMapper   = (*Overlay)(nil)
	_ block.FileMapper   = (*View)(nil)
	_ Source             = (*View)(nil)
	_ Source             = (*Overlay)(nil)
)
