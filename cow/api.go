package cow

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/snapview/snapview/block"
)

var errTODO = errors.New("cow: not implemented yet")

// Errors that callers may want to tell apart with errors.Is.
var (
	// ErrDamaged marks metadata that no crash can have left behind.
	ErrDamaged = errors.New("damaged")
	// ErrWrongBase marks layers opened over another base than their own.
	ErrWrongBase = errors.New("belongs to another base")
	// ErrInUse marks a layer that an Overlay of some process has open, or
	// that a reference keeps.
	ErrInUse = errors.New("in use")
	// ErrSealed marks an attempt to write a sealed layer.
	ErrSealed = errors.New("sealed")
	// ErrNotFound marks a layer that the store does not have.
	ErrNotFound = errors.New("no such layer")
	// ErrNoRoom marks a write that was held until Options.HoldTimeout.
	ErrNoRoom = errors.New("no room in the overlay")
)

// StoreOptions describe the base that a store's layers lie over.
type StoreOptions struct {
	BaseID      BaseID
	VirtualSize int64 // the base's Size in bytes, at most MaxVirtualSize
}

// A Base is a base and its identity.
type Base struct {
	Reader block.Reader
	ID     BaseID
}

// A Store is a directory of layers over one base. Its methods may be called
// concurrently, and several processes may have the same store open.
type Store struct{}

// CreateStore makes a store in dir, which must be absent or empty.
func CreateStore(dir string, o StoreOptions) (*Store, error) { return nil, errTODO }

// OpenStore opens the store in dir. It holds nothing open: a Store needs no
// Close.
func OpenStore(dir string) (*Store, error) { return nil, errTODO }

// Dir returns the store's directory.
func (s *Store) Dir() string { return "" }

// BaseID returns the identity of the base that the store belongs to.
func (s *Store) BaseID() BaseID { return BaseID{} }

// VirtualSize returns the size of the base and of every disk over it, in bytes.
func (s *Store) VirtualSize() int64 { return 0 }

// Options tell how an Overlay behaves at its limits.
type Options struct {
	// MaxBytes is the most data that the chain's layers may hold together,
	// in bytes; 0 means no limit. A write past it is held.
	MaxBytes int64
	// Headroom is what the host's file system must keep free, in bytes. A
	// write that would go below is held. 0 means the default, the smaller
	// of 1 GiB and 5 % of the file system; negative means none.
	Headroom int64
	// OnHold is told when writes begin to be held, when the reason changes,
	// and when they go on. Calls come one after another, in order, from a
	// goroutine of the overlay's.
	OnHold func(Hold)
	// HoldTimeout is how long a write is held before it fails with
	// ErrNoRoom; 0 means for ever.
	HoldTimeout time.Duration
	// Ref, when not empty, names a reference that keeps the overlay's chain
	// from GC also while nobody has it open. It follows Checkpoint.
	Ref string
}

// HoldReason says why writes are held.
type HoldReason string

// The reasons of a Hold.
const (
	HoldNone     HoldReason = ""
	HoldQuota    HoldReason = "quota"
	HoldDiskFull HoldReason = "host-disk-full"
)

// A Hold describes the writes that wait for room at one moment.
type Hold struct {
	Reason   HoldReason // HoldNone: writes go on
	Writers  int        // writes that wait
	Used     int64      // bytes that count against Limit
	Limit    int64      // bytes, 0 without a limit
	Free     int64      // bytes free on the host's file system, for HoldDiskFull
	Headroom int64      // bytes of it to be kept free
	Since    time.Time  // when the first of these writes was held
}

// An Overlay is a writable disk: a base, a chain of sealed layers over it, and
// a top of its own. It implements block.Device, block.ExtentMapper,
// block.Prefetcher and block.FileMapper. Stats, Limit and Checkpoint may be
// called at any time from any goroutine.
type Overlay struct{}

// NewTop makes an empty top over parent (the zero LayerID for the base, else a
// sealed layer) and opens it: a new session or a fork. Nothing is copied.
func (s *Store) NewTop(parent LayerID, base Base, o Options) (*Overlay, error) { return nil, errTODO }

// Open opens an existing top for writing, after a crash or an orderly Close
// alike. A top that another Overlay has open is refused with ErrInUse, a
// sealed layer with ErrSealed.
func (s *Store) Open(top LayerID, base Base, o Options) (*Overlay, error) { return nil, errTODO }

// View opens a layer's disk read-only. A top is seen as of its last Sync.
func (s *Store) View(id LayerID, base Base) (*View, error) { return nil, errTODO }

// A View is a layer's disk, read-only. It implements block.Reader,
// block.ExtentMapper, block.Prefetcher and block.FileMapper.
type View struct{}

// Checkpoint seals the overlay's top under a name (which may be empty) and goes
// on above it in a new, empty top. The caller has frozen the file system;
// writes that come all the same wait. It returns the id of the sealed layer.
func (o *Overlay) Checkpoint(name string) (LayerID, error) { return LayerID{}, errTODO }

// Top returns the id of the layer that is written now. Checkpoint changes it.
func (o *Overlay) Top() LayerID { return LayerID{} }

// SetLimit changes Options.MaxBytes and lets held writes go on that now fit.
func (o *Overlay) SetLimit(maxBytes int64) {}

// Stats returns the overlay's figures of this moment.
func (o *Overlay) Stats() (Stats, error) { return Stats{}, errTODO }

// Stats are the figures of an Overlay, in bytes unless said otherwise.
type Stats struct {
	Top     LayerID `json:"top"`
	Depth   int     `json:"depth"` // layers of the chain, the top included
	Virtual int64   `json:"virtual_bytes"`

	Held    int64 `json:"held_bytes"`     // of the disk: read from some layer's data
	Zero    int64 `json:"zero_bytes"`     // of the disk: zeros known to some layer
	TopHeld int64 `json:"top_held_bytes"` // data of the top alone
	TopZero int64 `json:"top_zero_bytes"`

	Allocated    int64 `json:"allocated_bytes"`     // of the chain's data files, as du counts
	TopAllocated int64 `json:"top_allocated_bytes"` // of the top's data file
	Metadata     int64 `json:"metadata_bytes"`      // of the chain's map files, as du counts

	BaseRead int64 `json:"base_read_bytes"` // read from the base since the overlay was opened
	Read     int64 `json:"read_bytes"`      // read by callers since then
	Written  int64 `json:"written_bytes"`   // written by callers since then, zeros included

	Used       int64      `json:"used_bytes"`  // counts against Limit: data of all the chain's layers
	Limit      int64      `json:"limit_bytes"` // 0: none
	HoldReason HoldReason `json:"hold_reason"`
	Holding    int        `json:"holding"` // writes that wait for room
	HoldSince  time.Time  `json:"hold_since,omitzero"`
}

// LayerInfo describes one layer of a store.
type LayerInfo struct {
	ID        LayerID   `json:"id"`
	Parent    LayerID   `json:"parent"`
	Name      string    `json:"name"` // of the checkpoint; empty for tops
	Sealed    bool      `json:"sealed"`
	Created   time.Time `json:"created"`
	SealedAt  time.Time `json:"sealed_at,omitzero"`
	Held      int64     `json:"held_bytes"` // as of the last Sync
	Zero      int64     `json:"zero_bytes"`
	Allocated int64     `json:"allocated_bytes"` // of the data file, as du counts
	Metadata  int64     `json:"metadata_bytes"`
	Open      bool      `json:"open"`             // some Overlay writes it now
	Refs      []string  `json:"refs,omitempty"`   // references to this very layer
	Damage    string    `json:"damage,omitempty"` // why it cannot be opened
	Children  []LayerID `json:"children,omitempty"`
}

// Layers returns the store's layers, parents before children, older before
// newer. A damaged layer is listed with its damage.
func (s *Store) Layers() ([]LayerInfo, error) { return nil, errTODO }

// SetRef makes name refer to a layer, which keeps the layer and all below it
// from GC and Discard. The zero LayerID removes the reference.
func (s *Store) SetRef(name string, id LayerID) error { return errTODO }

// Merge folds the parent of a sealed layer into that layer, and the parent is
// gone. The layer keeps its id and every disk over it its bytes. The parent
// must have no other child and no reference.
func (s *Store) Merge(id LayerID) error { return errTODO }

// Discard removes a layer and everything above it. Nothing is removed when any
// of them is open in some process or has a reference: ErrInUse.
func (s *Store) Discard(id LayerID) error { return errTODO }

// GCResult says what GC removed.
type GCResult struct {
	Removed []LayerID `json:"removed"`
	Freed   int64     `json:"freed_bytes"`
}

// GC removes the layers that nothing needs. Needed are the layers below (and
// with) an open top, a reference, and a named checkpoint. It also clears what
// a crash left half made.
func (s *Store) GC() (GCResult, error) { return GCResult{}, errTODO }

// Changed calls yield for every extent that the layers between two points
// have written, in order, until yield returns false. from and to are layers or
// the base (the zero LayerID); tops count as of their last Sync. When neither
// lies above the other, both branches from where they part are taken
// together. State is that of to: Held, Held|Zero, or 0 where to reads the base.
func (s *Store) Changed(from, to LayerID, yield func(block.Extent) bool) error { return errTODO }

// Changed is Store.Changed from a layer below (or the base) to the overlay's
// disk of this moment, what is not synced yet included.
func (o *Overlay) Changed(from LayerID, yield func(block.Extent) bool) error { return errTODO }

// Size returns the device's size in bytes.
func (o *Overlay) Size() int64                                               { return 0 }
func (o *Overlay) ReadAt(p []byte, off int64) (int, error)                   { return 0, errTODO }
func (o *Overlay) WriteAt(p []byte, off int64) (int, error)                  { return 0, errTODO }
func (o *Overlay) Zero(off, n int64) error                                   { return errTODO }
func (o *Overlay) Sync() error                                               { return errTODO }
func (o *Overlay) Close() error                                              { return nil }
func (o *Overlay) Extents(off, n int64, yield func(block.Extent) bool) error { return errTODO }
func (o *Overlay) Prefetch(off, n int64)                                     {}
func (o *Overlay) MapFile(off, n int64) (block.FileRange, func(), bool) {
	return block.FileRange{}, nil, false
}
func (v *View) Size() int64                                               { return 0 }
func (v *View) ReadAt(p []byte, off int64) (int, error)                   { return 0, errTODO }
func (v *View) Close() error                                              { return nil }
func (v *View) Extents(off, n int64, yield func(block.Extent) bool) error { return errTODO }
func (v *View) Prefetch(off, n int64)                                     {}
func (v *View) MapFile(off, n int64) (block.FileRange, func(), bool) {
	return block.FileRange{}, nil, false
}

// A Source is a disk to export: an Overlay (frozen by its caller) or a View.
type Source interface {
	block.Reader
	block.ExtentMapper
}

// ExportRaw writes a disk as a raw image into an empty file, leaving holes
// where it is zeros.
func ExportRaw(dst *os.File, src Source) error { return errTODO }

// ExportQcow2 writes a disk as a qcow2 image (version 3, 64 KiB clusters, no
// backing file) from its first byte to its last, without seeking, so that w
// may be a pipe or an HTTP response.
func ExportQcow2(w io.Writer, src Source) error { return errTODO }

var (
	_ block.Device       = (*Overlay)(nil)
	_ block.ExtentMapper = (*Overlay)(nil)
	_ block.Prefetcher   = (*Overlay)(nil)
	_ block.FileMapper   = (*Overlay)(nil)
	_ Source             = (*View)(nil)
)
