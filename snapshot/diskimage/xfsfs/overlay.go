package xfsfs

import (
	"bytes"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// maxOverlay bounds what is kept of the log in memory, in bytes.
const maxOverlay = 1 << 30

// An overlay holds the sectors that differ from the image, since the log has
// them.
type overlay struct {
	sectors map[int64][]byte // by number, without the zeros at the end
	bytes   int64
	fresh   map[uint64]bool   // blocks that the log fills with unused inodes
	adopted map[uint64]bool   // inodes whose blocks may still name another owner
	steps   map[uint64][]step // changes of files' extents that are still to be made
}

// patch replaces what p, read from off, has of the overlay's sectors.
func (o *overlay) patch(p []byte, off int64) (changed bool) {
	if len(o.sectors) == 0 || len(p) == 0 {
		return false
	}
	last := (off + int64(len(p)) - 1) / sector
	for n := off / sector; n <= last; n++ {
		s, ok := o.sectors[n]
		if !ok {
			continue
		}
		changed = true
		from, at := int64(0), n*sector-off
		if at < 0 {
			from, at = -at, 0
		}
		part := p[at:min(int64(len(p)), at+sector-from)]
		clear(part)
		if from < int64(len(s)) {
			copy(part, s[from:])
		}
	}
	return changed
}

// put stores whole sectors, from sector number at on.
func (o *overlay) put(at int64, b []byte) error {
	if o.sectors == nil {
		o.sectors = map[int64][]byte{}
	}
	for ; len(b) >= sector; at, b = at+1, b[sector:] {
		s := bytes.TrimRight(b[:sector], "\x00")
		o.bytes += int64(len(s)) - int64(len(o.sectors[at]))
		o.sectors[at] = bytes.Clone(s)
	}
	if o.bytes+int64(len(o.sectors))*64 > maxOverlay {
		return unsupported("the log holds more than %d MiB that are not in their places: %s", maxOverlay>>20, remedy)
	}
	return nil
}

// Replayed implements imagefs.FS.
func (f *FS) Replayed() imagefs.Replay {
	return imagefs.Replay{Pieces: len(f.overlay.sectors), Unit: "sectors", Torn: f.torn}
}

// drop forgets a sector.
func (o *overlay) drop(at int64) {
	o.bytes -= int64(len(o.sectors[at]))
	delete(o.sectors, at)
}
