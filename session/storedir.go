package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/snapview/snapview/cow"
)

func storesDir(stateDir string) string { return filepath.Join(stateDir, "stores") }

// A storeDir is a folder below the state directory's stores, named by the
// session that made it, with the overlay's layers in it. Its lock is held for
// as long as the process lives, and the ledger of each session over it names
// it: a store goes when neither keeps it.
type storeDir struct {
	*cow.Store
	dir  string
	lock *os.File
}

func createStoreDir(dir string, opts cow.StoreOptions) (*storeDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the overlay's folder: %w", err)
	}
	lock, err := takeNewLock(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	d := &storeDir{dir: dir, lock: lock}
	if d.Store, err = cow.CreateStore(filepath.Join(dir, overlayDir), opts); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

// remove deletes the folder and lets go of the lock.
func (d *storeDir) remove() error {
	err := os.RemoveAll(d.dir)
	if err != nil {
		err = fmt.Errorf("removing the overlay: %w", err)
	} else if d.Store != nil {
		d.Dispose()
	}
	return errors.Join(err, d.lock.Close())
}

// reclaimStores removes the stores that no session's ledger names and no
// process holds. It is called after the sessions of dead processes are gone;
// one that could not be given back keeps its store.
func reclaimStores(stateDir string) error {
	// In this order: a store's session had named it before it was there.
	stores, err := os.ReadDir(storesDir(stateDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing overlays: %w", err)
	}
	sessions, err := List(stateDir)
	if err != nil {
		return err
	}
	needed := make(map[string]bool)
	for _, f := range sessions {
		needed[f.Store] = true
		needed[f.ID] = true // its ledger may be unreadable
	}
	var errs []error
	for _, entry := range stores {
		dir := filepath.Join(storesDir(stateDir), entry.Name())
		if needed[entry.Name()] || !entry.IsDir() {
			continue
		}
		lock, err := takeLock(dir)
		switch {
		case errors.Is(err, errInUse), errors.Is(err, os.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		default:
			errs = append(errs, (&storeDir{dir: dir, lock: lock}).remove())
		}
	}
	return errors.Join(errs...)
}

// name is what ledgers call the store.
func (d *storeDir) name() string { return filepath.Base(d.dir) }
