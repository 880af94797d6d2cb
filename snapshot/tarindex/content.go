package tarindex

import (
	"io"
	"sort"

	"github.com/snapview/snapview/snapshot"
)

// Content gives a File's bytes, read from the archive as they are asked for.
func (m *Member) Content(archive io.ReaderAt) snapshot.Content {
	if len(m.Segments) == 1 && m.Segments[0].Length == m.Size {
		return &run{archive, m.Segments[0].At, m.Size}
	}
	return &sparse{archive, m.Size, m.Segments}
}

// PhysicalOrder is where the file's data begins in the archive.
func (m *Member) PhysicalOrder() int64 {
	if len(m.Segments) > 0 {
		return m.Segments[0].At
	}
	return m.Header
}

type prefetcher interface{ Prefetch(off, n int64) }

// A run is a file whose bytes lie in one piece.
type run struct {
	r    io.ReaderAt
	at   int64
	size int64
}

func (c *run) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	if int64(len(p)) > c.size-off {
		n, err := c.r.ReadAt(p[:c.size-off], c.at+off)
		if err == nil {
			err = io.EOF
		}
		return n, err
	}
	return c.r.ReadAt(p, c.at+off)
}

func (c *run) Prefetch(off, n int64) {
	if p, ok := c.r.(prefetcher); ok && off < c.size {
		p.Prefetch(c.at+off, min(n, c.size-off))
	}
}

// A sparse is a file with holes.
type sparse struct {
	r    io.ReaderAt
	size int64
	segs []Segment // ordered, without overlap
}

// from returns the index of the first segment that ends after off.
func (c *sparse) from(off int64) int {
	return sort.Search(len(c.segs), func(i int) bool { return c.segs[i].Offset+c.segs[i].Length > off })
}

func (c *sparse) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > c.size-off
	if short {
		p = p[:c.size-off]
	}
	clear(p)
	end := off + int64(len(p))
	for _, g := range c.segs[c.from(off):] {
		if g.Offset >= end {
			break
		}
		lo, hi := max(off, g.Offset), min(end, g.Offset+g.Length)
		n, err := c.r.ReadAt(p[lo-off:hi-off], g.At+lo-g.Offset)
		if n < int(hi-lo) {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return int(lo-off) + n, err
		}
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

func (c *sparse) Prefetch(off, n int64) {
	p, ok := c.r.(prefetcher)
	if !ok {
		return
	}
	for _, g := range c.segs[c.from(off):] {
		if g.Offset >= off+n {
			return
		}
		lo, hi := max(off, g.Offset), min(off+n, g.Offset+g.Length)
		p.Prefetch(g.At+lo-g.Offset, hi-lo)
	}
}
