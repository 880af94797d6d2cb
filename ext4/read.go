package ext4

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/snapview/snapview/block"
)

// ReadAt implements block.Reader. A read error of a file carries its path and
// the offset in it; it fails this call only, and a later one tries again.
func (m *Image) ReadAt(p []byte, off int64) (int, error) {
	if err := m.checkOpen(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("ext4: %w", block.CheckRange(off, int64(len(p)), m.Size()))
	}
	if len(p) == 0 {
		return 0, nil
	}
	if off >= m.Size() {
		return 0, io.EOF
	}
	want := len(p)
	p = p[:min(int64(want), m.Size()-off)]
	for n := 0; n < len(p); {
		got, err := m.readPart(p[n:], off+int64(n))
		n += got
		if err != nil {
			return n, err
		}
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return len(p), nil
}

// readPart reads from off, to the end of p or of the region there, whichever
// comes first. It reads at least one byte unless it fails.
func (m *Image) readPart(p []byte, off int64) (int, error) {
	md := m.md
	switch blk := off / blockSize; {
	case blk >= md.free:
		clear(p)
		return len(p), nil
	case blk >= md.data:
		return m.readData(p[:min(int64(len(p)), md.free*blockSize-off)], off)
	case blk >= md.geometry.meta:
		return copy(p, md.meta[off-md.geometry.meta*blockSize:]), nil
	case blk >= md.inodeTables:
		p = p[:min(int64(len(p)), md.geometry.meta*blockSize-off)]
		n := 0
		if at := off - md.inodeTables*blockSize; at < int64(len(md.inodes)) {
			n = copy(p, md.inodes[at:])
		}
		clear(p[n:])
		return len(p), nil
	case blk >= md.inodeBitmaps:
		return readBitmap(p, off, blk-md.inodeBitmaps, md.usedInodes, md.inodesPerGroup), nil
	case blk >= md.blockBitmaps:
		return readBitmap(p, off, blk-md.blockBitmaps, md.free, blocksPerGroup), nil
	default:
		return copy(p, md.head[off:]), nil
	}
}

// readBitmap makes one group's bitmap and copies from it.
func readBitmap(p []byte, off, group, used, size int64) int {
	in := off % blockSize
	if in == 0 && len(p) >= blockSize {
		putBitmap(p[:blockSize], usedIn(group, used, size), size)
		return blockSize
	}
	var b [blockSize]byte
	putBitmap(b[:], usedIn(group, used, size), size)
	return copy(p, b[in:])
}

// fileAt returns the index of the file whose blocks hold off, which must be in
// the data.
func (md *metadata) fileAt(off int64) int {
	return sort.Search(len(md.files), func(i int) bool { return md.files[i].start > off }) - 1
}

// blocksEnd returns the offset in the image after the file's last block.
func (f *dataFile) blocksEnd() int64 { return f.start + blocksFor(f.size)*blockSize }

// readData reads from one file, and the zeros between its end and that of its
// last block.
func (m *Image) readData(p []byte, off int64) (int, error) {
	i := m.md.fileAt(off)
	f := &m.md.files[i]
	p = p[:min(int64(len(p)), f.blocksEnd()-off)]
	at := off - f.start
	inFile := p[:min(int64(len(p)), max(f.size-at, 0))]
	if len(inFile) > 0 {
		if n, err := m.readFile(i, inFile, at); err != nil {
			return n, err
		}
	}
	clear(p[len(inFile):])
	return len(p), nil
}

// readFile fills p, which lies within the file, with one call of the file's
// ReadAt.
func (m *Image) readFile(i int, p []byte, at int64) (int, error) {
	f := &m.md.files[i]
	h, err := m.handles.acquire(i)
	if err != nil {
		return 0, fmt.Errorf("ext4: opening %q to read %d bytes at %d: %w", f.path, len(p), at, err)
	}
	defer m.handles.release(h)
	n, err := h.file.ReadAt(p, at)
	switch {
	case n == len(p):
		return n, nil
	case err == nil || errors.Is(err, io.EOF):
		n = max(min(n, len(p)), 0) // a reader that breaks its contract must not break ours
		return n, fmt.Errorf("ext4: reading %q at %d: it ends at %d, but had %d bytes: %w",
			f.path, at, at+int64(n), f.size, ErrSourceChanged)
	default:
		n = max(min(n, len(p)), 0)
		return n, fmt.Errorf("ext4: reading %d bytes of %q at %d: %w", len(p), f.path, at, err)
	}
}
