package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/ext4"
	"github.com/snapview/snapview/snapshot"
)

// A sharedDisk is a snapshot laid out, with the store of the layers over it: what a
// session shares with its forks, and with what reads a checkpoint. It is
// counted: the last one to let go closes it and removes the store, whichever
// that is.
type sharedDisk struct {
	snapshot *snapshot.Snapshot
	base     *watchedBase
	store    *storeDir // nil on a read-only disk

	mu    sync.Mutex
	users int
	told  []*Session // hear of what happens to the base
}

// newDisk lays a snapshot out. The caller is its first user. The snapshot is
// the disk's to close from now on, unless there is an error.
func newDisk(snap *snapshot.Snapshot, opts ext4.Options) (*sharedDisk, error) {
	image, err := ext4.New(snap.Tree, opts)
	if err != nil {
		return nil, err
	}
	d := &sharedDisk{snapshot: snap, users: 1}
	d.base = newWatchedBase(image, d.notice)
	return d, nil
}

// use adds a user. It fails when the last one is gone already.
func (d *sharedDisk) use() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == 0 {
		return os.ErrClosed
	}
	d.users++
	return nil
}

// hurry has reads of the backup fail that wait for a store which does not
// answer, if nobody else needs them: processes that are to be ended may hang on
// them.
func (d *sharedDisk) hurry() {
	d.mu.Lock()
	last := d.users == 1
	d.mu.Unlock()
	if last {
		d.snapshot.Hurry()
	}
}

// release takes a user away. The last one closes the backup and removes the
// store; before that, layers that no session needs any more go.
func (d *sharedDisk) release() error {
	d.mu.Lock()
	d.users--
	left := d.users
	d.mu.Unlock()
	if left > 0 {
		if d.store == nil {
			return nil
		}
		if _, err := d.store.GC(); err != nil {
			return fmt.Errorf("removing layers that nothing needs: %w", err)
		}
		return nil
	}
	err := d.base.Close()
	if d.store != nil {
		err = errors.Join(err, d.store.remove())
	}
	return errors.Join(err, d.snapshot.Close())
}

// tell lets a session hear of the base's errors until it is done.
func (d *sharedDisk) tell(s *Session) (stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, s)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.told = slices.DeleteFunc(d.told, func(other *Session) bool { return other == s })
	}
}

// sessions are those that share the disk.
func (d *sharedDisk) sessions() []*Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.told)
}

func (d *sharedDisk) notice(message string) {
	for _, s := range d.sessions() {
		s.notice(message)
	}
}

// below is the base as the store's layers know it.
func (d *sharedDisk) below() cow.Base {
	return cow.Base{Reader: d.base, ID: cow.BaseID(d.base.Identity())}
}

// useDisk makes the session a user of its disk, until it is closed.
func (s *Session) useDisk(d *sharedDisk) {
	stop := d.tell(s)
	s.undo.add("close the disk", func(context.Context) error {
		stop()
		return d.release()
	})
	s.with(func(p *parts) { p.laidOut, p.snapshot, p.base = d, d.snapshot, d.base })
}

// openTop opens an empty top over a layer of the disk's store, the session's
// own, and reads ahead of whoever reads it sequentially, by whichever way.
func (s *Session) openTop(d *sharedDisk, over cow.LayerID) (block.Reader, error) {
	overlay, err := d.store.NewTop(over, d.below(), cow.Options{
		MaxBytes: s.opts.MaxOverlay,
		OnHold:   s.onHold,
	})
	if err != nil {
		return nil, err
	}
	s.undo.add("close the overlay", closer(overlay))
	device := attach.Sequential(overlay, 0)
	s.with(func(p *parts) { p.store, p.overlay, p.device = d.store.Store, overlay, device })
	return device, nil
}

// createStore makes the store of a session's disk, below the state directory
// and beside the sessions, since any of those that share it may close first.
// The ledger names it before it is there.
func (s *Session) createStore(d *sharedDisk) error {
	dir := filepath.Join(storesDir(s.opts.StateDir), s.id)
	if err := s.ledger.update(func(r *Record) { r.Store = s.id }); err != nil {
		return err
	}
	id := cow.BaseID(d.base.Identity())
	store, err := createStoreDir(dir, cow.StoreOptions{BaseID: id, VirtualSize: d.base.Size(), Budget: s.opts.Budget})
	if err != nil {
		return err
	}
	d.store = store
	return nil
}
