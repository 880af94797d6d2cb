package cow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/RoaringBitmap/roaring/v2"
	"golang.org/x/sys/unix"
)

// Merge folds the parent of a sealed layer into that layer, and the parent is
// gone, its name with it. The layer keeps its id, and every disk over it its
// bytes. The parent must have no other child and no reference.
//
// What only the parent holds is copied to its place in the layer's data, where
// nothing refers to it yet; then the layer's map is replaced, which is the one
// step that counts. The copying does not keep the store locked.
//
// progress, if given, is told how many bytes have been copied of how many, the
// first time before the first byte. When ctx is done before the last step, the
// layers are as they were.
func (s *Store) Merge(ctx context.Context, id LayerID, progress func(done, total int64)) error {
	child, parent, dst, err := s.beginMerge(id)
	if err != nil {
		return err
	}
	defer dst.Close() // and with it the lock that keeps GC from our copies
	abandon := func(err error) error {
		if errors.Is(err, errCrash) {
			return err
		}
		unlock, lerr := s.lock()
		if lerr != nil {
			return err
		}
		defer unlock()
		if m, rerr := s.readLayer(id); rerr == nil {
			_, _ = s.reclaimSealed(m, dst)
		}
		return fmt.Errorf("merging layer %s into %s: %w", parent.id, id, err)
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if err := s.copyHeld(ctx, child, parent, dst, progress); err != nil {
		return abandon(err)
	}
	unlock, err := s.lock()
	if err != nil {
		return abandon(err)
	}
	// The tree may have changed while we copied.
	again, parentAgain, err := s.mergeable(id)
	if err == nil && (again.parent != parent.id || parentAgain.salt != parent.salt || again.salt != child.salt) {
		err = fmt.Errorf("%w: somebody else changed it", ErrInUse)
	}
	if err != nil {
		unlock()
		return abandon(err)
	}
	defer unlock()
	merged := *child
	merged.parent = parent.parent
	merged.held, merged.zero = parent.held, parent.zero
	merged.apply(child.held, child.zero)
	b, err := encodeMap(&merged)
	if err != nil {
		return err
	}
	if err := putFile(s.mapPath(id), b, func() error { return s.hook("merge-map") }); err != nil {
		return err
	}
	s.account.merged(parent.id, id, int64(merged.held.GetCardinality()))
	s.forgetMerged(parent.id, id)
	if err := s.hook("merge-done"); err != nil {
		return err
	}
	if err := s.removeLayer(parent.id); err != nil {
		return err
	}
	return syncDir(filepath.Join(s.dir, layersDir))
}

// beginMerge checks that a layer can be merged, and opens and locks its data.
func (s *Store) beginMerge(id LayerID) (child, parent *layerMap, dst *os.File, err error) {
	unlock, err := s.lock()
	if err != nil {
		return nil, nil, nil, err
	}
	defer unlock()
	if child, parent, err = s.mergeable(id); err != nil {
		return nil, nil, nil, err
	}
	if dst, err = s.openData(id, unix.O_RDWR); err != nil {
		return nil, nil, nil, err
	}
	ok, err := tryLock(dst, unix.LOCK_EX)
	if err == nil && !ok {
		err = fmt.Errorf("merging layer %s of overlay store %s: %w: somebody else merges it", id, s.dir, ErrInUse)
	}
	if err != nil {
		dst.Close()
		return nil, nil, nil, err
	}
	return child, parent, dst, nil
}

// mergeable reads a layer and its parent, if they can be merged. The store is
// locked.
func (s *Store) mergeable(id LayerID) (child, parent *layerMap, err error) {
	t, err := s.readTree()
	if err != nil {
		return nil, nil, err
	}
	no := func(kind error, format string, args ...any) (*layerMap, *layerMap, error) {
		return nil, nil, fmt.Errorf("merging layer %s of overlay store %s: %w: %s", id, s.dir, kind, fmt.Sprintf(format, args...))
	}
	n := t.nodes[id]
	switch {
	case n == nil:
		return no(ErrNotFound, "it is not there")
	case n.info.Damage != "":
		return no(ErrDamaged, "%s", n.info.Damage)
	case !n.info.Sealed:
		return no(ErrNotSealed, "only checkpoints can be merged")
	case n.info.Parent.IsBase():
		return no(ErrNotFound, "there is no layer below it")
	}
	p := t.nodes[n.info.Parent]
	switch {
	case p == nil || p.info.Damage != "":
		return no(ErrDamaged, "its parent %s cannot be read", n.info.Parent)
	case len(t.children[p.info.ID]) > 1:
		return no(ErrInUse, "its parent %s has other layers above it", p.info.ID)
	case len(p.info.Refs) > 0:
		return no(ErrInUse, "its parent %s has the reference %q", p.info.ID, p.info.Refs[0])
	}
	return n.m, p.m, nil
}

// copyHeld copies what parent holds, and child hides not, into child's data,
// durably.
func (s *Store) copyHeld(ctx context.Context, child, parent *layerMap, dst *os.File, progress func(done, total int64)) error {
	only := parent.held.Clone()
	only.AndNot(child.held)
	only.AndNot(child.zero)
	src, err := s.openData(parent.id, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer src.Close()
	done, total := int64(0), int64(only.GetCardinality())*BlockSize
	progress(done, total)
	for first, last := range only.Ranges() {
		for off, end := int64(first)*BlockSize, int64(last)*BlockSize; off < end; {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(end-off, mergeStep)
			if err := copyRange(dst, src, off, n); err != nil {
				return err
			}
			off, done = off+n, done+n
			progress(done, total)
		}
		if err := s.hook("merge-copied"); err != nil {
			return err
		}
	}
	if err := datasync(dst); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.hook("merge-data")
}

// mergeStep is how much is copied at once, in bytes, between two looks at
// whether somebody still wants it.
const mergeStep = 16 << 20

// forgetMerged lets the overlays of this process read from child what they read
// from the merged parent, whose file they close so that its space comes back.
func (s *Store) forgetMerged(parent, child LayerID) {
	s.mu.Lock()
	overlays := make([]*Overlay, 0, len(s.open))
	for o := range s.open {
		overlays = append(overlays, o)
	}
	s.mu.Unlock()
	for _, o := range overlays {
		o.mu.Lock()
		from, to := -1, -1
		for i, id := range o.ids {
			switch id {
			case parent:
				from = i
			case child:
				to = i
			}
		}
		if from >= 0 && to >= 0 && !o.closed.Load() {
			o.m.replace(srcLayer+source(from), srcLayer+source(to))
			files := append([]*dataFile(nil), *o.files.Load()...)
			gone := files[from]
			files[from] = nil
			o.files.Store(&files)
			o.ids[from] = LayerID{}
			o.recount()
			gone.unref()
		}
		o.mu.Unlock()
	}
}

// recount sets used anew from the maps of the layers. The caller has o.mu.
func (o *Overlay) recount() {
	used := o.topHeld.Load()
	for _, id := range o.ids[:len(o.ids)-1] {
		if id.IsBase() {
			continue
		}
		m, err := o.store.readLayer(id)
		if err != nil {
			return // keeps the larger figure
		}
		used += int64(m.held.GetCardinality())
	}
	o.used.Store(used)
	o.hold.wake()
}

// reclaimSealed frees what a sealed layer's data file has beyond its map. The
// store is locked, and f, the data file, too.
func (s *Store) reclaimSealed(m *layerMap, f *os.File) (freed int64, err error) {
	before, err := f.Stat()
	if err != nil {
		return 0, err
	}
	blocks := newBlockMap(s.size)
	blocks.load(m.held, roaring.New(), srcLayer, srcZeroBelow)
	if err := punchUnheld(f, blocks, srcLayer, s.size); err != nil {
		return 0, err
	}
	after, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return allocatedBytes(before) - allocatedBytes(after), nil
}
