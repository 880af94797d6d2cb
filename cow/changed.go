package cow

import (
	"fmt"
	"os"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/snapview/snapview/block"
)

// Changed calls yield for every extent that the layers between two points have
// written, in order, until yield returns false. from and to are layers or the
// base (the zero LayerID); tops count as of their last Sync. When neither lies
// above the other, what either branch wrote since they parted counts. An
// extent's State is that of to: Held, Held|Zero, or 0 where to reads the base.
//
// Only the maps are read: a block counts as changed when it was written,
// whatever it was written with. Changed(parent, layer) is what the layer holds,
// so that its Held extents add up to what du counts for its data.
func (s *Store) Changed(from, to LayerID, yield func(block.Extent) bool) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	a, err := s.readChain(from)
	if err != nil {
		unlock()
		return err
	}
	b, err := s.readChain(to)
	unlock()
	if err != nil {
		return err
	}
	m := newBlockMap(s.size)
	for _, l := range b {
		m.load(l.held, l.zero, srcLayer, srcZeroBelow)
	}
	yieldChanged(m, s.size, changedBlocks(a, b), yield)
	return nil
}

// Changed is Store.Changed from a layer below the overlay (or the base) to its
// disk of this moment, what is not synced yet included.
func (o *Overlay) Changed(from LayerID, yield func(block.Extent) bool) error {
	if o.closed.Load() {
		return os.ErrClosed
	}
	changed, err := o.changedSince(from)
	if err != nil {
		return err
	}
	yieldChanged(o.m, o.size, changed, yield)
	return nil
}

func (o *Overlay) changedSince(from LayerID) (*roaring.Bitmap, error) {
	o.sync.Lock() // no Sync and no Checkpoint moves blocks meanwhile
	defer o.sync.Unlock()
	s := o.store
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	a, err := s.readChain(from)
	if err != nil {
		return nil, err
	}
	// The log's file is what readChain reads of the top.
	b, err := s.readChain(o.log.m.id)
	if err != nil {
		return nil, err
	}
	if len(a) > len(b) || len(a) > 0 && a[len(a)-1].id != b[len(a)-1].id {
		return nil, fmt.Errorf("layer %s is not below %s: compare by Store.Changed", from, o.log.m.id)
	}
	changed := changedBlocks(a, b)
	if from == o.log.m.id {
		return changed, nil
	}
	p := o.m.pending
	p.mu.Lock()
	changed.Or(p.held)
	changed.Or(p.zero)
	p.mu.Unlock()
	return changed, nil
}

// changedBlocks returns what the layers of two chains hold that they do not
// share.
func changedBlocks(a, b []*layerMap) *roaring.Bitmap {
	for len(a) > 0 && len(b) > 0 && a[0].id == b[0].id {
		a, b = a[1:], b[1:]
	}
	changed := roaring.New()
	for _, l := range append(a[:len(a):len(a)], b...) {
		changed.Or(l.held)
		changed.Or(l.zero)
	}
	return changed
}

func yieldChanged(m *blockMap, size int64, changed *roaring.Bitmap, yield func(block.Extent) bool) {
	more := true
	for first, end := range changed.Ranges() {
		m.extents(uint64(first), end-uint64(first), func(b, n uint64, src source) bool {
			off := int64(b) * BlockSize
			more = yield(block.Extent{
				Offset: off,
				Length: min(int64(n)*BlockSize, size-off),
				State:  extentState(src),
			})
			return more
		})
		if !more {
			return
		}
	}
}
