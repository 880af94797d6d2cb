package xfsfs

import (
	"cmp"
	"slices"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// An intent is work that a transaction leaves for later ones, as steps: where
// the log has its done item as well, it was done. Steps concern what is read
// only where they change the extents of a file.
type intent struct {
	kind uint16
	id   uint64
}

// A step is a change of one file's extents that is still to be made.
type step struct {
	turn      int // in the order of the log
	inode     uint64
	unmap     bool // else map: into a hole
	unwritten bool
	offset    uint64 // block in the file
	start     uint64 // block, by the number of its group and that inside of it
	count     uint64
}

// Layout of a step.
const (
	stepSize      = 32
	stepMap       = 1
	stepUnmap     = 2
	stepAttr      = 1 << 31 // it concerns the attributes' extents
	stepUnwritten = 1 << 30
	stepRealtime  = 1 << 29
)

// mapIntent notes the steps of an intent to change extents.
func (r *replayer) mapIntent(b []byte) error {
	if len(b) < 16+stepSize {
		return broken("an intent of %d bytes", len(b))
	}
	id := intent{itemMapIntent, le.Uint64(b[8:])}
	for b = b[16:]; len(b) >= stepSize; b = b[stepSize:] {
		flags := le.Uint32(b[28:])
		if flags&stepAttr != 0 {
			continue
		}
		s := step{
			turn: r.turn, inode: le.Uint64(b), start: le.Uint64(b[8:]), offset: le.Uint64(b[16:]), count: uint64(le.Uint32(b[24:])),
			unmap: flags&0xFF == stepUnmap, unwritten: flags&stepUnwritten != 0,
		}
		if flags&0xFF != stepMap && !s.unmap || flags&stepRealtime != 0 || s.count == 0 || s.offset > 1<<54 {
			return unsupported("the log holds a change of the extents of inode %d that this build does not know (%#x): %s", s.inode, flags, remedy)
		}
		if _, err := r.f.linear(s.start, s.count); err != nil {
			return err
		}
		r.turn++
		r.intents[id] = append(r.intents[id], s)
	}
	return nil
}

// finish keeps the steps that are still to be made for when their files are read.
func (r *replayer) finish() error {
	for id, steps := range r.intents {
		for _, s := range steps {
			if id.kind == itemSwapIntent {
				return unsupported("the log holds an exchange of the extents of inode %d that was begun and not finished: %s", s.inode, remedy)
			}
			if r.f.overlay.steps == nil {
				r.f.overlay.steps = map[uint64][]step{}
			}
			r.f.overlay.steps[s.inode] = append(r.f.overlay.steps[s.inode], s)
		}
	}
	for _, steps := range r.f.overlay.steps {
		slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.turn, b.turn) })
	}
	return nil
}

// remap makes a step in a list of extents.
func (f *FS) remap(list imagefs.Extents, s step) (imagefs.Extents, error) {
	at, err := f.linear(s.start, s.count)
	if err != nil {
		return nil, err
	}
	end := s.offset + s.count
	out := make(imagefs.Extents, 0, len(list)+2)
	for _, e := range list {
		switch {
		case e.Logical >= end || e.Logical+e.Count <= s.offset:
			out = append(out, e)
			continue
		case !s.unmap:
			return nil, broken("the log maps block %d of the file, which is mapped", max(e.Logical, s.offset))
		}
		if e.Logical < s.offset {
			out = append(out, imagefs.Extent{Logical: e.Logical, Physical: e.Physical, Count: s.offset - e.Logical})
		}
		if skip := end - e.Logical; skip < e.Count {
			out = append(out, imagefs.Extent{Logical: end, Physical: e.Physical + skip, Count: e.Count - skip})
		}
	}
	if !s.unmap && !s.unwritten {
		i, _ := slices.BinarySearchFunc(out, s.offset, func(e imagefs.Extent, at uint64) int { return cmp.Compare(e.Logical, at) })
		out = slices.Insert(out, i, imagefs.Extent{Logical: s.offset, Physical: at, Count: s.count})
	}
	return out, nil
}
