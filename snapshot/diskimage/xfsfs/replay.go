package xfsfs

import (
	"errors"
	"fmt"

	"github.com/snapview/snapview/snapshot"
)

// Kinds of items.
const (
	itemFreeIntent  = 0x1236 // the first of those that are known, without
	itemFreeDone    = 0x1237 // those between
	itemInode       = 0x123B
	itemBuffer      = 0x123C
	itemInodeCreate = 0x123F
	itemMapIntent   = 0x1244
	itemMapDone     = 0x1245
	itemSwapIntent  = 0x1248
	itemSwapDone    = 0x1249
	itemLast        = 0x124F // the last, of realtime devices
)

// A replayer applies transactions to the overlay, in two passes over the log:
// the first finds the buffers that are cancelled.
type replayer struct {
	f         *FS
	cancelled map[span]int
	intents   map[intent][]step // those without a done item
	turn      int
}

// A span is a buffer's place on disk, in sectors.
type span struct{ at, count int64 }

// replay reads the log and remembers what it replaces.
func (f *FS) replay() error {
	j := &journal{f: f, n: f.logSectors}
	err := j.replay()
	switch {
	case err == nil || errors.Is(err, snapshot.ErrUnsupported):
		return err
	case errors.Is(err, snapshot.ErrDamaged):
		return damaged("the log cannot be replayed: %w; %s", err, remedy)
	}
	return fmt.Errorf("XFS: reading the log: %w", err)
}

func (j *journal) replay() error {
	tail, head, clean, err := j.ends()
	if err != nil || clean {
		return err
	}
	r := &replayer{f: j.f, cancelled: map[span]int{}, intents: map[intent][]step{}}
	for _, commit := range []func(*transaction) error{r.cancels, r.apply} {
		var at int64
		a := &assembler{open: map[uint32]*transaction{}, commit: commit}
		if err := j.walk(tail, head, &at, a.record); err != nil {
			return err
		}
	}
	return r.finish()
}

// cancels counts cancelled buffers, and refuses what is not known.
func (r *replayer) cancels(t *transaction) error {
	for _, i := range t.items {
		switch kind := i.kind(); {
		case kind == itemBuffer:
			b, err := r.parseBuffer(i)
			if err != nil {
				return err
			}
			if b.flags&bufferCancel != 0 {
				r.cancelled[b.span]++
			}
		case kind < itemFreeIntent || kind > itemFreeDone && kind < itemInode || kind > itemLast:
			return unsupported("the log holds items of a kind that this build does not know (%#x): %s", kind, remedy)
		}
	}
	return nil
}

// apply replays a transaction: buffers first, since inodes are put into them,
// then the rest, cancellations last.
func (r *replayer) apply(t *transaction) error {
	for _, i := range t.items {
		if i.kind() != itemBuffer {
			continue
		}
		b, err := r.parseBuffer(i)
		if err != nil {
			return err
		}
		if b.flags&(bufferCancel|bufferInodes) != 0 || r.cancelled[b.span] > 0 {
			continue // of buffers of inodes only the list of unlinked ones is logged
		}
		if err := r.buffer(b, i.regions[1:], t.lsn); err != nil {
			return fmt.Errorf("the buffer at sector %d: %w", b.at, err)
		}
	}
	for _, i := range t.items {
		if err := r.other(i, t.lsn); err != nil {
			return err
		}
	}
	for _, i := range t.items {
		if i.kind() != itemBuffer {
			continue
		}
		if b, err := r.parseBuffer(i); err == nil && b.flags&bufferCancel != 0 {
			// From here on the place may hold another buffer.
			if r.cancelled[b.span]--; r.cancelled[b.span] <= 0 {
				delete(r.cancelled, b.span)
			}
		}
	}
	return nil
}

// other replays what is no buffer. Items about free space, quotas, reverse maps,
// reference counts and attributes change nothing that is read.
func (r *replayer) other(i *item, lsn uint64) error {
	b := i.regions[0]
	switch i.kind() {
	case itemInode:
		return r.inode(i, lsn)
	case itemInodeCreate:
		return r.inodeCreate(b)
	case itemMapIntent:
		return r.mapIntent(b)
	case itemSwapIntent:
		if len(b) < 24 {
			return broken("an intent of %d bytes", len(b))
		}
		r.intents[intent{itemSwapIntent, le.Uint64(b[8:])}] = []step{{inode: le.Uint64(b[16:])}}
	case itemMapDone, itemSwapDone:
		if len(b) < 16 {
			return broken("a done item of %d bytes", len(b))
		}
		delete(r.intents, intent{i.kind() - 1, le.Uint64(b[8:])})
	}
	return nil
}
