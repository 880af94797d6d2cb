package cow

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapview/snapview/block"
	"golang.org/x/sys/unix"
)

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
	// goroutine of the overlay's; it may call the overlay's methods.
	OnHold func(Hold)
	// HoldTimeout is how long a write is held before it fails with
	// ErrNoRoom; 0 means for ever.
	HoldTimeout time.Duration
	// Ref, when not empty, names a reference that keeps the overlay's chain
	// from GC also while nobody has it open. It follows Checkpoint.
	Ref string
}

// An Overlay is a writable disk: a base, a chain of sealed layers over it, and
// a top of its own. It implements block.Device, block.ExtentMapper,
// block.Prefetcher and block.FileMapper. All methods may be called at any time
// from any goroutine.
type Overlay struct {
	chain
	store *Store
	opts  Options

	// sync is held by Sync and Checkpoint for as long as they take.
	sync sync.Mutex
	// mu is shared by all that write into the top, and taken by what
	// exchanges or closes it.
	mu      sync.RWMutex
	regions [regionCount]region
	data    *dataFile // of the top
	log     *mapLog   // of the top; guarded by sync
	top     source    // of the top's data
	ids     []LayerID // by layer, as chain.files; guarded by mu
	failed  error     // of a lost write: no Sync succeeds after it; guarded by sync

	// Blocks: held and zero as the disk shows them, and of the top alone.
	viewHeld, viewZero, topHeld, topZero atomic.Int64
	// used counts, in blocks, the data of all layers of the chain and what
	// writes under way have reserved.
	used atomic.Int64
	// spent is the top's part of it, in blocks, as it counts against the
	// store's Budget; without one it means nothing.
	spent   atomic.Int64
	written atomic.Int64 // bytes
	// changes grows with every completed write; synced is its value that
	// the last Sync covers, guarded by sync.
	changes atomic.Uint64
	synced  uint64

	room hostSpace
	hold holder
}

const (
	// regionSize is how much of the device shares a lock, in bytes. It is
	// also the largest piece that is written at once.
	regionSize  = 1 << 20
	regionCount = 64
)

// region is shared by writes of whole blocks and taken by what needs a block
// to stay as it is between reading and writing it.
type region struct {
	sync.RWMutex
	_ [40]byte // a cache line each
}

func (o *Overlay) region(off int64) *sync.RWMutex {
	return &o.regions[off/regionSize%regionCount].RWMutex
}

// Top returns the id of the layer that is written now. Checkpoint changes it.
func (o *Overlay) Top() LayerID {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.ids[len(o.ids)-1]
}

// Close releases the overlay. Writes that are held for want of room fail, others
// are waited for. It implies no Sync: what was written since the last one may be
// gone when the top is opened again. Calling it again is harmless.
func (o *Overlay) Close() error {
	if o.closed.Swap(true) {
		return nil
	}
	o.hold.close()
	o.sync.Lock() // a Sync under way ends first
	defer o.sync.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.store.account.note(o.ids[len(o.ids)-1], o.spent.Swap(0))
	// The lock ends here even if a caller of MapFile keeps the file open.
	unix.Flock(int(o.data.fd), unix.LOCK_UN)
	o.closeFiles()
	err := o.log.f.Close()
	o.store.forget(o)
	return err
}

// WriteAt implements io.WriterAt. While there is no room for the data it waits,
// as Options tell.
func (o *Overlay) WriteAt(p []byte, off int64) (int, error) {
	if o.closed.Load() {
		return 0, os.ErrClosed
	}
	if err := block.CheckRange(off, int64(len(p)), o.size); err != nil {
		return 0, err
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		n := min(len(p)-done, int(regionSize-at%regionSize))
		k, err := o.writePiece(p[done:done+n], at)
		done += k
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Zero makes n bytes at off read as zeros and frees the blocks that lie in it
// whole.
func (o *Overlay) Zero(off, n int64) error {
	if o.closed.Load() {
		return os.ErrClosed
	}
	if err := block.CheckRange(off, n, o.size); err != nil {
		return err
	}
	for n > 0 {
		at, in := off/BlockSize*BlockSize, off%BlockSize
		var k int64
		var err error
		if edge := min(BlockSize-in, n); in != 0 || (edge < BlockSize && at+edge < o.size) {
			k = edge
			_, err = o.writePiece(zeroBlock[:k], off)
		} else {
			if k = n / BlockSize * BlockSize; off+n == o.size {
				k = n
			}
			if k, err = o.zeroBlocks(off, k); err == nil {
				o.written.Add(k)
			}
		}
		if err != nil {
			return err
		}
		off, n = off+k, n-k
	}
	return nil
}

var zeroBlock [BlockSize]byte

// Sync returns once everything written before the call is on stable storage,
// data first, then the map. An error of the host's disk is final: which writes
// it lost cannot be known, and every later Sync fails too. A full disk is
// waited for as a write waits.
func (o *Overlay) Sync() error {
	if o.closed.Load() {
		return os.ErrClosed
	}
	o.sync.Lock()
	defer o.sync.Unlock()
	return o.syncLocked()
}

func (o *Overlay) syncLocked() error {
	if o.closed.Load() {
		return os.ErrClosed
	}
	if o.failed != nil {
		return o.failed
	}
	changes := o.changes.Load()
	if changes == o.synced {
		return nil
	}
	// Every block taken here had its data written before: the data that is
	// made durable next includes it.
	held, zero := o.m.pending.take()
	if err := o.store.datasync(o.data.f); err != nil {
		o.m.pending.untake(held, zero)
		o.failed = fmt.Errorf("overlay: writes were lost, the disk must not be trusted any more: %w", err)
		return o.failed
	}
	err := o.store.hook("data-synced")
	if err == nil && !(held.IsEmpty() && zero.IsEmpty()) {
		err = o.appendMap(func() error { return o.log.append(held, zero, o.store) })
	}
	if err != nil {
		o.m.pending.untake(held, zero)
		return fmt.Errorf("overlay: %w", err)
	}
	o.synced = changes
	if o.log.isLong() {
		// Only shortens the file: not worth failing for.
		_ = o.log.rewrite(o.store.hook)
	}
	return nil
}

// appendMap calls f until the host has room for what it writes.
func (o *Overlay) appendMap(f func() error) error {
	var t ticket
	defer o.hold.leave(&t)
	for {
		err := f()
		if err == nil || !isNoRoom(err) {
			return err
		}
		if err := o.waitForRoom(&t, HoldDiskFull, 0); err != nil {
			return err
		}
	}
}

// sizeOf returns the bytes that n blocks from b on have on the device.
func (o *Overlay) sizeOf(b uint64, n int) int64 {
	off := int64(b) * BlockSize
	return min(int64(n)*BlockSize, o.size-off)
}
