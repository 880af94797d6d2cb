package imagefs

import (
	"fmt"
	"io"
	"sort"
	"sync"
)

// MaxExtents bounds the extents of one file.
const MaxExtents = 1 << 22

// An Extent is a part of a file that lies in one piece. What lies between
// extents is zeros.
type Extent struct {
	Logical  uint64 // block in the file
	Physical uint64 // block in the file system
	Count    uint64 // blocks
}

// A Layout is how a file's reader knows its file system.
type Layout struct {
	Size  int64 // of the file, in bytes
	Block int64 // of the file system, in bytes
	// Load finds the extents, at the first read.
	Load func() (Extents, error)
	// Read reads bytes of blocks that follow one another, from an offset
	// inside of the first on.
	Read func(p []byte, first uint64, off int64) error
	// Place is where the file's data begins, or -1 if that is not to be told
	// without reading.
	Place int64
}

// A Content reads one file. It is safe for concurrent use.
type Content struct {
	Layout
	once sync.Once
	list Extents
	err  error
}

// NewContent returns the reader of a file. Where it lies is found out at the
// first read.
func NewContent(l Layout) *Content { return &Content{Layout: l} }

// Place is where the file's data begins in the file system, in bytes, or -1 if
// that is not to be told without reading.
func (c *Content) Place() int64 { return c.Layout.Place }

// Extents returns where the file lies, in the order of the file.
func (c *Content) Extents() (Extents, error) {
	c.once.Do(func() { c.list, c.err = c.Load() })
	return c.list, c.err
}

// ReadAt implements io.ReaderAt.
func (c *Content) ReadAt(p []byte, off int64) (int, error) {
	if _, err := c.Extents(); err != nil {
		return 0, err
	}
	if off < 0 || off >= c.Size {
		return 0, io.EOF
	}
	end := min(off+int64(len(p)), c.Size)
	n := int(end - off)
	for off < end {
		k, err := c.piece(p[:end-off], off)
		if err != nil {
			return n - int(end-off), err
		}
		p, off = p[k:], off+k
	}
	if end == c.Size {
		return n, io.EOF
	}
	return n, nil
}

// piece reads as much as lies in one extent, or in one hole.
func (c *Content) piece(p []byte, off int64) (int64, error) {
	block, inside := uint64(off/c.Block), off%c.Block
	i := c.list.after(block)
	if i == len(c.list) || c.list[i].Logical > block {
		n := int64(len(p))
		if i < len(c.list) {
			// A division first: the next extent may be far beyond what bytes count.
			if gap := c.list[i].Logical - block; gap <= uint64(n/c.Block)+1 {
				n = min(n, int64(gap)*c.Block-inside)
			}
		}
		clear(p[:n])
		return n, nil
	}
	e := c.list[i]
	n := int64(len(p))
	if left := e.Logical + e.Count - block; left <= uint64(n/c.Block)+1 {
		n = min(n, int64(left)*c.Block-inside)
	}
	return n, c.Read(p[:n], e.Physical+(block-e.Logical), inside)
}

// Extents are those of one file, in its order.
type Extents []Extent

// after is the first extent that ends behind a block of the file.
func (x Extents) after(block uint64) int {
	return sort.Search(len(x), func(i int) bool { return x[i].Logical+x[i].Count > block })
}

// Find returns the place of a block of the file; false if that is in a hole.
func (x Extents) Find(block uint64) (uint64, bool) {
	if i := x.after(block); i < len(x) && x[i].Logical <= block {
		return x[i].Physical + block - x[i].Logical, true
	}
	return 0, false
}

// Blocks is how many blocks there are in all.
func (x Extents) Blocks() uint64 {
	n := uint64(0)
	for _, e := range x {
		n += e.Count
	}
	return n
}

// Add appends an extent; one that carries the last one on makes it longer. It
// fails where extents overlap or are too many. Where they lie in the file
// system is for the caller to check.
func (x *Extents) Add(e Extent) error {
	if n := len(*x); n > 0 {
		last := &(*x)[n-1]
		end := last.Logical + last.Count
		switch {
		case end > e.Logical:
			return fmt.Errorf("extents overlap at block %d of the file", e.Logical)
		case end == e.Logical && last.Physical+last.Count == e.Physical:
			last.Count += e.Count
			return nil
		}
	}
	if e.Logical+e.Count < e.Logical {
		return fmt.Errorf("an extent of %d blocks at block %d of the file", e.Count, e.Logical)
	}
	if len(*x) >= MaxExtents {
		return fmt.Errorf("more than %d extents", MaxExtents)
	}
	*x = append(*x, e)
	return nil
}
