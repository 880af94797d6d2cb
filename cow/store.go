package cow

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/snapview/snapview/block"
	"golang.org/x/sys/unix"
)

// Errors that callers may want to tell apart with errors.Is.
var (
	// ErrDamaged marks metadata that no crash can have left behind.
	ErrDamaged = errors.New("damaged")
	// ErrWrongBase marks layers opened over another base than their own.
	ErrWrongBase = errors.New("belongs to another base")
	// ErrInUse marks a layer that an Overlay of some process has open, or
	// that a reference or another layer needs.
	ErrInUse = errors.New("in use")
	// ErrSealed marks an attempt to write a sealed layer.
	ErrSealed = errors.New("sealed")
	// ErrNotSealed marks a top where a sealed layer is needed.
	ErrNotSealed = errors.New("not sealed")
	// ErrNotFound marks a layer that the store does not have.
	ErrNotFound = errors.New("no such layer")
	// ErrNoRoom marks a write that was held until Options.HoldTimeout.
	ErrNoRoom = errors.New("no room in the overlay")
)

// StoreOptions describe the base that a store's layers lie over.
type StoreOptions struct {
	BaseID      BaseID
	VirtualSize int64 // the base's Size in bytes, at most MaxVirtualSize

	// Budget, if not nil, is what the store's layers count against together
	// with those of other stores. Store.Dispose ends that.
	Budget *Budget
}

// A Base is a base and its identity. The caller keeps the Reader open for as
// long as any Overlay or View over it, and closes it afterwards.
type Base struct {
	Reader block.Reader
	ID     BaseID
}

// A Store is a directory of layers over one base. Its methods may be called
// concurrently, and several processes may have the same store open.
type Store struct {
	dir  string
	base BaseID
	size int64

	mu   sync.Mutex
	open map[*Overlay]struct{}

	account account

	// hook is called at the steps that a crash may fall between; tests stop
	// there.
	hook func(step string) error
	// datasync makes a file's data durable; tests note what is.
	datasync func(*os.File) error
}

// Names inside a store's directory.
const (
	storeFile = "store"  // what base it belongs to
	lockFile  = "lock"   // flock: changes of the tree
	layersDir = "layers" // ID.map and ID.data
	refsDir   = "refs"   // one file for each reference
	mapSuffix = ".map"
	datSuffix = ".data"
	tmpSuffix = ".tmp"
)

// CreateStore makes a store in dir, which must be absent or empty. A store
// that a crash left half made counts as empty.
func CreateStore(dir string, o StoreOptions) (*Store, error) {
	if o.VirtualSize < 0 || o.VirtualSize > MaxVirtualSize {
		return nil, fmt.Errorf("overlay store %s: a base of %d bytes: at most %d can be described", dir, o.VirtualSize, MaxVirtualSize)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch e.Name() {
		case lockFile, layersDir, refsDir, storeFile + tmpSuffix:
		default:
			return nil, fmt.Errorf("overlay store %s: the directory is not empty: %q is in it", dir, e.Name())
		}
	}
	for _, d := range []string{layersDir, refsDir} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	s := newStore(dir, o.BaseID, o.VirtualSize)
	s.account.budget = o.Budget
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	payload := binary.LittleEndian.AppendUint32(nil, formatVersion)
	payload = binary.LittleEndian.AppendUint32(payload, BlockSize)
	payload = binary.LittleEndian.AppendUint64(payload, uint64(o.VirtualSize))
	payload = append(payload, o.BaseID[:]...)
	var id [16]byte
	rand.Read(id[:])
	payload = append(payload, id[:]...)
	err = putFile(filepath.Join(dir, storeFile), appendRecord(nil, nil, recStore, 0, 0, payload), func() error { return nil })
	if err != nil {
		return nil, err
	}
	return s, syncDir(filepath.Dir(filepath.Clean(dir)))
}

// OpenStore opens the store in dir. It holds nothing open: a Store needs no
// Close.
func OpenStore(dir string) (*Store, error) {
	path := filepath.Join(dir, storeFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not an overlay store: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	damaged := func(format string, args ...any) error {
		return &DamageError{path, 0, fmt.Sprintf(format, args...)}
	}
	if len(b) != frameSize {
		return nil, damaged("the file has %d bytes, should have %d", len(b), frameSize)
	}
	fr, err := decodeFrame(nil, b, 0)
	if err != nil {
		return nil, damaged("%v", err)
	}
	p := fr.payload
	if fr.typ != recStore || fr.flags != flagFirst|flagLast || len(p) < 8 {
		return nil, damaged("not the header of a store")
	}
	if v, bs := binary.LittleEndian.Uint32(p), binary.LittleEndian.Uint32(p[4:]); v != formatVersion || bs != BlockSize {
		return nil, fmt.Errorf("overlay store %s: format version %d with blocks of %d bytes; this program knows version %d with %d",
			dir, v, bs, formatVersion, BlockSize)
	}
	if len(p) != 8+8+32+16 {
		return nil, damaged("a header of %d bytes", len(p))
	}
	size := int64(binary.LittleEndian.Uint64(p[8:]))
	if size < 0 || size > MaxVirtualSize {
		return nil, damaged("virtual size %d", size)
	}
	return newStore(dir, BaseID(p[16:48]), size), nil
}

func newStore(dir string, base BaseID, size int64) *Store {
	return &Store{
		dir: dir, base: base, size: size,
		open: make(map[*Overlay]struct{}),
		hook: func(string) error { return nil }, datasync: datasync,
	}
}

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.dir }

// BaseID returns the identity of the base that the store belongs to.
func (s *Store) BaseID() BaseID { return s.base }

// VirtualSize returns the size of the base and of every disk over it, in bytes.
func (s *Store) VirtualSize() int64 { return s.size }

func (s *Store) mapPath(id LayerID) string {
	return filepath.Join(s.dir, layersDir, id.String()+mapSuffix)
}

func (s *Store) dataPath(id LayerID) string {
	return filepath.Join(s.dir, layersDir, id.String()+datSuffix)
}

// lock keeps other processes and goroutines from changing the tree until the
// returned function is called.
func (s *Store) lock() (unlock func(), err error) {
	f, err := openRaw(filepath.Join(s.dir, lockFile), unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return nil, err
	}
	if err := retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }); err != nil {
		f.Close()
		return nil, fmt.Errorf("flock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// checkBase refuses a base that the store does not belong to.
func (s *Store) checkBase(b Base) error {
	switch {
	case b.Reader == nil:
		return errors.New("overlay: no base given")
	case b.ID != s.base:
		return fmt.Errorf("overlay store %s: %w: it was made over %s, the base given is %s", s.dir, ErrWrongBase, s.base, b.ID)
	case b.Reader.Size() != s.size:
		return fmt.Errorf("overlay store %s: %w: it was made over %d bytes, the base given has %d", s.dir, ErrWrongBase, s.size, b.Reader.Size())
	}
	return nil
}

// readLayer reads a layer's map and checks that it belongs here.
func (s *Store) readLayer(id LayerID) (*layerMap, error) {
	m, err := readMap(s.mapPath(id))
	h := header{}
	if err == nil {
		h = m.header
	}
	if err := s.checkLayer(id, h, err); err != nil {
		return nil, err
	}
	return m, nil
}

// haveLayer checks that there is a layer that belongs here, by its header.
func (s *Store) haveLayer(id LayerID) error {
	h, err := readHeader(s.mapPath(id))
	return s.checkLayer(id, h, err)
}

// checkLayer says what is wrong with a layer whose header is h, or was not to
// be read.
func (s *Store) checkLayer(id LayerID, h header, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("layer %s in overlay store %s: %w", id, s.dir, ErrNotFound)
	case err != nil:
		return err
	case h.id != id:
		return &DamageError{s.mapPath(id), 0, fmt.Sprintf("this is the map of layer %s", h.id)}
	case h.base != s.base || h.size != s.size:
		return fmt.Errorf("layer %s in overlay store %s: %w: %s of %d bytes", id, s.dir, ErrWrongBase, h.base, h.size)
	}
	return nil
}

// readChain reads the maps of a layer and of all below it, the lowest first.
func (s *Store) readChain(id LayerID) ([]*layerMap, error) {
	var chain []*layerMap
	for !id.IsBase() {
		if len(chain) == maxDepth {
			return nil, fmt.Errorf("overlay store %s: more than %d layers above one another, or layers in a circle", s.dir, maxDepth)
		}
		m, err := s.readLayer(id)
		if err != nil {
			return nil, err
		}
		if len(chain) > 0 && !m.sealed {
			return nil, fmt.Errorf("layer %s in overlay store %s: its parent %s is %w: a checkpoint was interrupted; open the parent instead",
				chain[len(chain)-1].id, s.dir, m.id, ErrNotSealed)
		}
		chain = append(chain, m)
		id = m.parent
	}
	for i, j := 0, len(chain)-1; i < j; i, j = i+1, j-1 {
		chain[i], chain[j] = chain[j], chain[i]
	}
	return chain, nil
}

func (s *Store) forget(o *Overlay) {
	s.mu.Lock()
	delete(s.open, o)
	s.mu.Unlock()
}
