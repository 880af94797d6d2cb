package ext4

import (
	"github.com/snapview/snapview/block"
)

// PathAt returns which file of the tree the byte at off belongs to, and its
// offset in that file. ok is false for metadata, free space and what follows
// a file's end in its last block. Of a file with several names it is the
// first.
func (m *Image) PathAt(off int64) (path string, fileOff int64, ok bool) {
	i, ok := m.locate(off)
	if !ok {
		return "", 0, false
	}
	f := &m.md.files[i]
	return f.path, off - f.start, true
}

// locate returns the file that the byte at off belongs to.
func (m *Image) locate(off int64) (file int, ok bool) {
	if off < m.md.data*blockSize || off >= m.md.free*blockSize {
		return 0, false
	}
	i := m.md.fileAt(off)
	return i, off-m.md.files[i].start < m.md.files[i].size
}

// MapFile implements block.FileMapper for files of the tree that do.
func (m *Image) MapFile(off, n int64) (r block.FileRange, release func(), ok bool) {
	i, ok := m.locate(off)
	if !ok || n <= 0 || m.checkOpen() != nil {
		return block.FileRange{}, nil, false
	}
	f := &m.md.files[i]
	h, err := m.handles.acquire(i)
	if err != nil {
		return block.FileRange{}, nil, false // the read that follows tells why
	}
	fm, ok := h.file.(block.FileMapper)
	if !ok {
		m.handles.release(h)
		return block.FileRange{}, nil, false
	}
	at := off - f.start
	n = min(n, f.size-at)
	r, inner, ok := fm.MapFile(at, n)
	if !ok {
		m.handles.release(h)
		return block.FileRange{}, nil, false
	}
	r.Length = min(r.Length, n)
	return r, func() {
		inner()
		m.handles.release(h)
	}, true
}

// Prefetch implements block.Prefetcher: it tells the files of the range that
// implement it. Opening them may take a while, so that it happens beside.
func (m *Image) Prefetch(off, n int64) {
	from, to := max(off, m.md.data*blockSize), m.md.free*blockSize
	if off < 0 || n <= 0 || from >= to || m.checkOpen() != nil {
		return
	}
	if n < to-off { // no overflow: both are within the image
		to = off + n
	}
	if from >= to {
		return
	}
	select {
	case m.prefetch <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-m.prefetch }()
		m.prefetchRange(from, to)
	}()
}

func (m *Image) prefetchRange(from, to int64) {
	for i := m.md.fileAt(from); i < len(m.md.files) && m.md.files[i].start < to; i++ {
		f := &m.md.files[i]
		at := max(from-f.start, 0)
		n := min(to-f.start, f.size) - at
		if n <= 0 {
			continue
		}
		h, err := m.handles.acquire(i)
		if err != nil {
			return // the read that follows tells why
		}
		if p, ok := h.file.(block.Prefetcher); ok {
			p.Prefetch(at, n)
		}
		m.handles.release(h)
	}
}
