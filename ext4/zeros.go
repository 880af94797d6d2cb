package ext4

import (
	"fmt"

	"github.com/snapview/snapview/block"
)

// Extents implements block.ExtentMapper. Free space, unused inodes, bitmaps of
// free groups and the holes of sparse files are block.ExtentZero. Neighbouring
// extents have different states.
func (m *Image) Extents(off, n int64, yield func(block.Extent) bool) error {
	if err := m.checkOpen(); err != nil {
		return err
	}
	if err := block.CheckRange(off, n, m.Size()); err != nil {
		return fmt.Errorf("ext4: %w", err)
	}
	e := extentMerger{at: off, yield: yield}
	start := int64(0)
	for _, r := range m.md.regions() {
		from, to := max(off, start), min(off+n, r.end)
		start = r.end
		if from >= to {
			continue
		}
		if !r.files {
			if !e.add(to-from, r.state) {
				return nil
			}
			continue
		}
		if err := m.fileExtents(from, to, &e); err != nil {
			return err
		}
		if e.stopped {
			return nil
		}
	}
	e.flush()
	return nil
}

// region is a stretch of the image of one state, or the data of files.
type region struct {
	end   int64 // bytes
	state block.ExtentState
	files bool
}

// regions lists the image's regions in order, without gap. Inode bitmaps are
// never zeros: their padding is ones.
func (md *metadata) regions() []region {
	return []region{
		{end: (md.blockBitmaps + ceilDiv(md.free, blocksPerGroup)) * blockSize},
		{end: md.inodeBitmaps * blockSize, state: block.ExtentZero},
		{end: (md.inodeTables + blocksFor(md.usedInodes*inodeSize)) * blockSize},
		{end: md.geometry.meta * blockSize, state: block.ExtentZero},
		{end: md.data * blockSize},
		{end: md.free * blockSize, files: true},
		{end: md.end * blockSize, state: block.ExtentZero},
	}
}

// fileExtents adds [from, to) of the data. Only files that the tree calls
// sparse are opened and asked.
func (m *Image) fileExtents(from, to int64, e *extentMerger) error {
	for i := m.md.fileAt(from); from < to; i++ {
		f := &m.md.files[i]
		end := min(to, f.blocksEnd())
		inFile := min(end, f.start+f.size)
		if f.sparse && from < inFile {
			if err := m.sparseExtents(i, from-f.start, inFile-from, e); err != nil || e.stopped {
				return err
			}
			from = inFile
		}
		// The zeros after a file's end take the state of what is before: not
		// worth an extent of less than a block.
		if !e.add(end-from, e.state(f.sparse)) {
			return nil
		}
		from = end
	}
	return nil
}

// sparseExtents adds n bytes at off of file i as the file itself maps them.
func (m *Image) sparseExtents(i int, off, n int64, e *extentMerger) error {
	path := m.md.files[i].path
	h, err := m.handles.acquire(i)
	if err != nil {
		return fmt.Errorf("ext4: opening %q to ask for its holes: %w", path, err)
	}
	defer m.handles.release(h)
	em, ok := h.file.(block.ExtentMapper)
	if !ok {
		e.add(n, 0)
		return nil
	}
	at, end := off, off+n
	var broken error
	err = em.Extents(off, n, func(x block.Extent) bool {
		if x.Offset != at || x.Length <= 0 || x.Length > end-at {
			broken = fmt.Errorf("ext4: %q maps %d bytes at %d where %d was next", path, x.Length, x.Offset, at)
			return false
		}
		at += x.Length
		return e.add(x.Length, x.State&block.ExtentZero)
	})
	switch {
	case err != nil:
		return fmt.Errorf("ext4: asking %q for its holes: %w", path, err)
	case broken != nil:
		return broken
	case at < end && !e.stopped:
		return fmt.Errorf("ext4: %q maps its bytes up to %d only, not %d", path, at, end)
	}
	return nil
}

// extentMerger joins neighbours of one state before it yields them.
type extentMerger struct {
	at      int64 // where the next one begins
	pending block.Extent
	yield   func(block.Extent) bool
	stopped bool
}

// add appends length bytes of a state; it returns false when the caller wants
// no more.
func (e *extentMerger) add(length int64, state block.ExtentState) bool {
	switch {
	case e.stopped:
		return false
	case length == 0:
		return true
	case e.pending.Length > 0 && e.pending.State == state:
		e.pending.Length += length
	default:
		e.flush()
		e.pending = block.Extent{Offset: e.at, Length: length, State: state}
	}
	e.at += length
	return !e.stopped
}

func (e *extentMerger) flush() {
	if e.pending.Length > 0 && !e.stopped {
		e.stopped = !e.yield(e.pending)
	}
	e.pending = block.Extent{}
}

// state returns that of the last bytes added, if they may be zeros at all.
func (e *extentMerger) state(sparse bool) block.ExtentState {
	if sparse {
		return e.pending.State
	}
	return 0
}
