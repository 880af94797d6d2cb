package ext4fs

import (
	"io"
	"sort"
	"sync"
)

// Bounds on a file's map.
const (
	maxDepth = 5       // of a tree of extents
	maxNodes = 1 << 16 // of a tree of extents, or blocks of numbers
	maxRuns  = 1 << 20 // extents of one file
)

// A run is a piece of a file that lies in one piece. What lies between runs is
// zeros.
type run struct {
	logical  uint64 // block in the file
	physical uint64 // block in the file system
	count    uint64
}

// A Content reads one file. It is safe for concurrent use.
type Content struct {
	f  *FS
	in *Inode

	once  sync.Once
	runs  []run
	nodes int // that were read
	err   error
}

// Open returns the contents of a regular file or directory. Where they lie is
// found out at the first read.
func (f *FS) Open(in *Inode) *Content { return &Content{f: f, in: in} }

// Place is where the file's data begins, in bytes, or -1 if that is not to be
// told without reading.
func (c *Content) Place() int64 {
	if runs, leaf, err := c.f.parseNode(c.in.mapping[:], 0); err == nil && c.in.flags&flagExtents != 0 && leaf && len(runs) > 0 {
		return int64(runs[0].physical) * c.f.block
	}
	return -1
}

func (c *Content) load() error {
	c.once.Do(func() {
		if c.in.flags&flagExtents != 0 {
			c.err = c.extents(c.in.mapping[:], 0, -1)
		} else {
			c.err = c.blockMap()
		}
	})
	return c.err
}

// ReadAt implements io.ReaderAt.
func (c *Content) ReadAt(p []byte, off int64) (int, error) {
	if err := c.load(); err != nil {
		return 0, err
	}
	if off < 0 || off >= c.in.Size {
		return 0, io.EOF
	}
	end := min(off+int64(len(p)), c.in.Size)
	n := int(end - off)
	for off < end {
		k, err := c.piece(p[:end-off], off)
		if err != nil {
			return n - int(end-off), err
		}
		p, off = p[k:], off+k
	}
	if end == c.in.Size {
		return n, io.EOF
	}
	return n, nil
}

// piece reads as much as lies in one run, or in one hole.
func (c *Content) piece(p []byte, off int64) (int64, error) {
	block := uint64(off / c.f.block)
	i := sort.Search(len(c.runs), func(i int) bool { return c.runs[i].logical+c.runs[i].count > block })
	inside := off % c.f.block
	if i == len(c.runs) || c.runs[i].logical > block {
		n := int64(len(p))
		if i < len(c.runs) {
			n = min(n, int64(c.runs[i].logical-block)*c.f.block-inside)
		}
		clear(p[:n])
		return n, nil
	}
	r := c.runs[i]
	n := min(int64(len(p)), int64(r.logical+r.count-block)*c.f.block-inside)
	return n, c.f.readBlocks(p[:n], r.physical+(block-r.logical), inside)
}

func (c *Content) add(r run) error {
	if r.physical == 0 || r.physical+r.count > c.f.blocks || r.physical+r.count < r.physical {
		return damaged("inode %d has an extent at block %d, of %d", c.in.Number, r.physical, c.f.blocks)
	}
	if n := len(c.runs); n > 0 && c.runs[n-1].logical+c.runs[n-1].count > r.logical {
		return damaged("the extents of inode %d overlap", c.in.Number)
	}
	if n := len(c.runs); n > 0 && c.runs[n-1].logical+c.runs[n-1].count == r.logical && c.runs[n-1].physical+c.runs[n-1].count == r.physical {
		c.runs[n-1].count += r.count
		return nil
	}
	if len(c.runs) >= maxRuns {
		return damaged("inode %d has more than %d extents", c.in.Number, maxRuns)
	}
	c.runs = append(c.runs, r)
	return nil
}

// extents adds the extents of a node and of those below it. depth is what the
// node above says, -1 at the root.
func (c *Content) extents(node []byte, level, depth int) error {
	entries, leaf, err := c.f.parseNode(node, level)
	if err != nil {
		return damaged("inode %d: %w", c.in.Number, err)
	}
	own := int(le.Uint16(node[6:]))
	if depth >= 0 && own != depth-1 {
		return damaged("inode %d: a node of depth %d below one of depth %d", c.in.Number, own, depth)
	}
	for _, e := range entries {
		if leaf {
			if e.count == 0 {
				continue // allocated, never written
			}
			if err := c.add(e); err != nil {
				return err
			}
			continue
		}
		below, err := c.node(e.physical)
		if err != nil {
			return err
		}
		if err := c.extents(below, level+1, own); err != nil {
			return err
		}
	}
	return nil
}

// node reads a block of the map.
func (c *Content) node(block uint64) ([]byte, error) {
	if c.nodes++; c.nodes > maxNodes {
		return nil, damaged("the map of inode %d has more than %d blocks", c.in.Number, maxNodes)
	}
	b := make([]byte, c.f.block)
	return b, c.f.readBlocks(b, block, 0)
}

// parseNode reads the entries of a node of a tree of extents: runs in a leaf,
// where a count of 0 means not written; else nodes below, by their block.
func (f *FS) parseNode(b []byte, level int) (entries []run, leaf bool, err error) {
	if le.Uint16(b) != 0xF30A {
		return nil, false, damaged("a node of extents without its magic number")
	}
	count, depth := int(le.Uint16(b[2:])), int(le.Uint16(b[6:]))
	if 12+12*count > len(b) || depth > maxDepth || level > maxDepth {
		return nil, false, damaged("a node of %d extents, depth %d", count, depth)
	}
	for e := b[12 : 12+12*count]; len(e) > 0; e = e[12:] {
		r := run{logical: uint64(le.Uint32(e))}
		if depth == 0 {
			r.count = uint64(le.Uint16(e[4:]))
			r.physical = uint64(le.Uint16(e[6:]))<<32 | uint64(le.Uint32(e[8:]))
			if r.count > 32768 {
				r.count = 0
			}
		} else {
			r.physical = uint64(le.Uint16(e[8:]))<<32 | uint64(le.Uint32(e[4:]))
		}
		entries = append(entries, r)
	}
	return entries, depth == 0, nil
}

// blockMap reads the map of ext2 and ext3: twelve blocks, then one, two and
// three levels of blocks of numbers.
func (c *Content) blockMap() error {
	last := uint64((c.in.Size + c.f.block - 1) / c.f.block)
	logical := uint64(0)
	for i := range 15 {
		number := le.Uint32(c.in.mapping[4*i:])
		if logical >= last {
			return nil
		}
		if err := c.indirect(number, max(0, i-11), &logical, last); err != nil {
			return err
		}
	}
	return nil
}

// indirect adds a block, or what a block of numbers leads to, levels deep.
func (c *Content) indirect(number uint32, levels int, logical *uint64, last uint64) error {
	span := uint64(1)
	for range levels {
		span *= uint64(c.f.block / 4)
	}
	if number == 0 {
		*logical += span
		return nil
	}
	if levels == 0 {
		r := run{*logical, uint64(number), 1}
		*logical++
		return c.add(r)
	}
	b, err := c.node(uint64(number))
	if err != nil {
		return err
	}
	for ; len(b) > 0 && *logical < last; b = b[4:] {
		if err := c.indirect(le.Uint32(b), levels-1, logical, last); err != nil {
			return err
		}
	}
	return nil
}
