package cow

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"golang.org/x/sys/unix"
)

// NewTop makes an empty top over parent (the zero LayerID for the base, else a
// sealed layer) and opens it: a new session, a fork, or a way back. Nothing is
// copied.
func (s *Store) NewTop(parent LayerID, base Base, o Options) (*Overlay, error) {
	if err := s.checkBase(base); err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	chain, err := s.readChain(parent)
	if err != nil {
		return nil, err
	}
	if n := len(chain); n > 0 && !chain[n-1].sealed {
		return nil, fmt.Errorf("layer %s in overlay store %s: %w: make a checkpoint of it first", parent, s.dir, ErrNotSealed)
	}
	if len(chain)+1 > maxDepth {
		return nil, fmt.Errorf("layer %s in overlay store %s has %d layers below it already: merge some", parent, s.dir, maxDepth)
	}
	m, data, err := s.createTop(parent)
	if err != nil {
		return nil, err
	}
	ov, err := s.newOverlay(append(chain, m), data, base, o)
	if err != nil {
		data.Close()
		s.removeLayer(m.id)
		return nil, err
	}
	return ov, nil
}

// Open opens an existing top for writing, after a crash or an orderly Close
// alike. A top that another Overlay has open is refused with ErrInUse, a
// sealed layer with ErrSealed.
func (s *Store) Open(top LayerID, base Base, o Options) (*Overlay, error) {
	if err := s.checkBase(base); err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if top.IsBase() {
		return nil, fmt.Errorf("overlay store %s: %w: the base cannot be written, make a new top over it", s.dir, ErrSealed)
	}
	if err := s.haveLayer(top); err != nil {
		return nil, err
	}
	// The map is read under the lock: while another has the top, it changes.
	data, err := s.openData(top, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*Overlay, error) {
		data.Close()
		return nil, err
	}
	if ok, err := tryLock(data, unix.LOCK_EX); err != nil {
		return fail(err)
	} else if !ok {
		return fail(fmt.Errorf("layer %s in overlay store %s: %w: an overlay has it open", top, s.dir, ErrInUse))
	}
	chain, err := s.readChain(top)
	if err != nil {
		return fail(err)
	}
	if chain[len(chain)-1].sealed {
		return fail(fmt.Errorf("layer %s in overlay store %s is %w: make a new top over it", top, s.dir, ErrSealed))
	}
	ov, err := s.newOverlay(chain, data, base, o)
	if err != nil {
		return fail(err)
	}
	if err := ov.reclaim(); err != nil {
		ov.Close()
		return nil, err
	}
	return ov, nil
}

// Resume opens the top that a reference names (Options.Ref), after a crash or an
// orderly Close alike, and keeps the reference. When a crash fell between the
// seal of a checkpoint and the move of the reference, it goes on above the
// checkpoint: nothing had been written there.
func (s *Store) Resume(ref string, base Base, o Options) (*Overlay, error) {
	id, err := s.Ref(ref)
	if err != nil {
		return nil, err
	}
	o.Ref = ref
	ov, err := s.Open(id, base, o)
	if errors.Is(err, ErrSealed) {
		return s.NewTop(id, base, o)
	}
	return ov, err
}

// View opens a layer's disk read-only; the zero LayerID gives the base's. A top
// is seen with the blocks of its last Sync, whose contents may be newer.
func (s *Store) View(id LayerID, base Base) (*View, error) {
	if err := s.checkBase(base); err != nil {
		return nil, err
	}
	// Between reading the maps and opening the data nothing may be removed.
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	chain, err := s.readChain(id)
	if err != nil {
		return nil, err
	}
	v := new(View)
	return v, s.resolve(&v.chain, chain, nil, base)
}

// openData opens a layer's data file and checks its length.
func (s *Store) openData(id LayerID, flags int) (*os.File, error) {
	path := s.dataPath(id)
	f, err := openRaw(path, flags)
	if err != nil {
		return nil, fmt.Errorf("data of layer %s: %w", id, err)
	}
	fi, err := f.Stat()
	if err == nil && fi.Size() != dataSize(s.size) {
		err = &DamageError{path, fi.Size(), fmt.Sprintf("the file has %d bytes, should have %d", fi.Size(), dataSize(s.size))}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// dataSize is the length of a data file: the device's in whole blocks.
func dataSize(size int64) int64 { return int64(blockCount(size)) * BlockSize }

// resolve makes c read the layers of maps over base. topData is the open data
// file of the last, or nil to open it for reading.
func (s *Store) resolve(c *chain, maps []*layerMap, topData *os.File, base Base) error {
	c.base, c.size, c.m = base.Reader, s.size, newBlockMap(s.size)
	files := make([]*dataFile, 0, len(maps))
	fail := func(err error) error {
		for _, f := range files {
			f.unref()
		}
		return err
	}
	for i, m := range maps {
		last := topData != nil && i == len(maps)-1
		f := topData
		if !last {
			var err error
			if f, err = s.openData(m.id, unix.O_RDONLY); err != nil {
				return fail(err)
			}
		}
		zero := srcZeroBelow
		if last {
			zero = srcZeroTop
		}
		c.m.load(m.held, m.zero, srcLayer+source(i), zero)
		files = append(files, newDataFile(f))
	}
	c.files.Store(&files)
	return nil
}

// createTop makes the files of an empty top over parent, with its lock held.
// The store is locked. The map comes last and makes the layer exist.
func (s *Store) createTop(parent LayerID) (*layerMap, *os.File, error) {
	m := &layerMap{
		header: header{
			version: formatVersion, blockSize: BlockSize, size: s.size, base: s.base,
			id: NewLayerID(), parent: parent, created: time.Now(),
		},
		held: roaring.New(), zero: roaring.New(),
	}
	b, err := encodeMap(m)
	if err != nil {
		return nil, nil, err
	}
	data, err := openRaw(s.dataPath(m.id), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, nil, err
	}
	if err = data.Truncate(dataSize(s.size)); err != nil {
		err = fmt.Errorf("a sparse file of %d bytes in %s: %w", dataSize(s.size), s.dir, err)
	}
	if err == nil {
		_, err = tryLock(data, unix.LOCK_EX)
	}
	if err == nil { // the length must not be lost: readers check it
		err = data.Sync()
	}
	if err == nil {
		err = putFile(s.mapPath(m.id), b, func() error { return s.hook("top-data-created") })
	}
	if err != nil {
		data.Close()
		if !errors.Is(err, errCrash) {
			os.Remove(s.dataPath(m.id))
		}
		return nil, nil, err
	}
	return m, data, nil
}

// newOverlay puts an Overlay over maps, the last of which is a top whose data
// file is open and locked. When it fails, data is still the caller's.
func (s *Store) newOverlay(maps []*layerMap, data *os.File, base Base, opts Options) (*Overlay, error) {
	top := maps[len(maps)-1]
	o := &Overlay{store: s, opts: opts, top: srcLayer + source(len(maps)-1)}
	o.hold.woken, o.hold.end, o.hold.tell = make(chan struct{}), make(chan struct{}), opts.OnHold
	o.room.setLimit(opts.MaxBytes)
	o.room.look = func() (int64, int64, error) { return hostRoom(s.dir) }
	o.room.headroom = opts.Headroom
	if opts.Headroom == 0 {
		_, size, err := o.room.look()
		if err != nil {
			return nil, err
		}
		o.room.headroom = min(1<<30, size/20)
	}
	if opts.Ref != "" {
		if err := s.setRef(opts.Ref, top.id); err != nil {
			return nil, err
		}
	}
	log, err := openLog(s.mapPath(top.id), top)
	if err != nil {
		return nil, err
	}
	if err := s.resolve(&o.chain, maps, data, base); err != nil {
		log.f.Close()
		return nil, err
	}
	o.log = log
	o.data = o.file(o.top)
	for _, m := range maps {
		o.ids = append(o.ids, m.id)
		o.used.Add(int64(m.held.GetCardinality()))
	}
	o.topHeld.Store(int64(top.held.GetCardinality()))
	o.spent.Store(o.topHeld.Load())
	s.account.take(top.id, o.topHeld.Load())
	o.topZero.Store(int64(top.zero.GetCardinality()))
	o.m.extents(0, o.m.blocks, func(_, n uint64, src source) bool {
		if isZeroSource(src) {
			o.viewZero.Add(int64(n))
		} else if src != srcBase {
			o.viewHeld.Add(int64(n))
		}
		return true
	})
	o.m.pending = &pending{held: roaring.New(), zero: roaring.New()}
	s.mu.Lock()
	s.open[o] = struct{}{}
	s.mu.Unlock()
	return o, nil
}
