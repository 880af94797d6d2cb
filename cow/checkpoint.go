package cow

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/snapview/snapview/block"
	"golang.org/x/sys/unix"
)

// A Patch is bytes that lie within one block.
type Patch struct {
	Offset int64
	Data   []byte
}

// Checkpoint seals the overlay's top under a name (which may be empty, and need
// not be unique) and goes on above it in a new, empty top. The caller has frozen
// the file system; writes that come all the same wait. last is written just
// before, limit or not, and is part of the layer. It returns the id of the
// sealed layer. An error together with an id means that the layer is sealed and
// the overlay goes on, but its reference could not be moved along; after an
// error without one the disk is as it was before the call.
func (o *Overlay) Checkpoint(name string, last ...Patch) (LayerID, error) {
	if len(name) > maxName {
		return LayerID{}, fmt.Errorf("checkpoint name of %d bytes, at most %d are possible", len(name), maxName)
	}
	if o.closed.Load() {
		return LayerID{}, os.ErrClosed
	}
	o.sync.Lock()
	defer o.sync.Unlock()
	// Most of what must reach the disk does so while writes go on.
	if err := o.syncLocked(); err != nil {
		return LayerID{}, err
	}
	s := o.store
	unlock, err := s.lock()
	if err != nil {
		return LayerID{}, err
	}
	defer unlock()
	o.mu.RLock()
	depth := len(o.ids)
	o.mu.RUnlock()
	if depth >= maxDepth {
		return LayerID{}, fmt.Errorf("the overlay has %d layers since it was opened: merge some and open it again", depth)
	}
	// A top over a layer that is not sealed yet is what a crash here leaves
	// behind: it is empty, cannot be opened, and GC removes it.
	m, data, err := s.createTop(o.log.m.id)
	if err != nil {
		return LayerID{}, fmt.Errorf("checkpoint: %w", err)
	}
	undo := func(err error) (LayerID, error) {
		data.Close()
		s.removeLayer(m.id)
		return LayerID{}, fmt.Errorf("checkpoint: %w", err)
	}
	log, err := openLog(s.mapPath(m.id), m)
	if err != nil {
		return undo(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	before, err := o.amend(last)
	if err == nil {
		err = o.syncLocked()
	}
	if err == nil {
		err = s.hook("top-created")
	}
	if err == nil {
		err = o.log.seal(name, s.hook)
	}
	if err != nil {
		if !errors.Is(err, errCrash) {
			_, failed := o.amend(before)
			err = errors.Join(err, failed)
		}
		log.f.Close()
		return undo(err)
	}
	sealed := o.log.m.id
	log.unnamed = o.log.unnamed
	o.log.f.Close()
	unix.Flock(int(o.data.fd), unix.LOCK_UN)

	// From here on nothing can fail. Readers find the new file before the
	// map can name it.
	files := append((*o.files.Load())[:len(o.ids):len(o.ids)], newDataFile(data))
	o.files.Store(&files)
	o.m.replace(srcZeroTop, srcZeroBelow)
	o.ids = append(o.ids, m.id)
	s.account.note(sealed, o.spent.Swap(0))
	o.log, o.top = log, srcLayer+source(len(files)-1)
	o.data = o.file(o.top)
	o.topHeld.Store(0)
	o.topZero.Store(0)
	if o.opts.Ref != "" {
		if err := s.setRef(o.opts.Ref, m.id); err != nil {
			return sealed, fmt.Errorf("checkpoint %s is made, but reference %q still names it: %w", sealed, o.opts.Ref, err)
		}
	}
	return sealed, nil
}

// amend writes patches into the top and returns those that take them back. The
// caller has o.mu, so that nobody else writes.
func (o *Overlay) amend(patches []Patch) (before []Patch, err error) {
	for _, p := range patches {
		b, in := uint64(p.Offset/BlockSize), int(p.Offset%BlockSize)
		if err := block.CheckRange(p.Offset, int64(len(p.Data)), o.size); err != nil {
			return before, err
		}
		if in+len(p.Data) > BlockSize {
			return before, fmt.Errorf("a patch of %d bytes at %d crosses a block's end", len(p.Data), p.Offset)
		}
		blk := make([]byte, o.sizeOf(b, 1))
		if _, err := o.readAll(blk, int64(b)*BlockSize); err != nil {
			return before, err
		}
		was := Patch{p.Offset, append([]byte(nil), blk[in:in+len(p.Data)]...)}
		copy(blk[in:], p.Data)
		if _, err := o.data.f.WriteAt(blk, int64(b)*BlockSize); err != nil {
			return before, err
		}
		before = append(before, was)
		n := int64(o.m.countNot(b, 1, o.top))
		o.used.Add(n)
		o.refund(-n) // limit or not
		o.count(o.m.set(b, 1, o.top, noSource, o.top), o.top)
		o.changes.Add(1)
	}
	return before, nil
}

// seal writes the map for the last time, whole and with its end marked.
func (l *mapLog) seal(name string, hook func(string) error) error {
	m := *l.m
	m.sealed = true
	m.seal = seal{time.Now(), name}
	b, err := encodeMap(&m)
	if err != nil {
		return err
	}
	f, err := replaceFile(l.path, b, func() error { return hook("map-sealed") })
	if f == nil {
		return err
	}
	// In place: there is no way back, even if the directory's change is not
	// durable yet: the new top's first Sync sees to it.
	l.f.Close()
	l.f, *l.m = f, m
	l.unnamed = err != nil
	return nil
}
