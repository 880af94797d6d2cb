package sources

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset"
)

// isKloset reports whether a folder is a Plakar Kloset store: its configuration
// beside its states.
func isKloset(dir string) bool {
	config, err := os.Lstat(filepath.Join(dir, "CONFIG"))
	if err != nil || !config.Mode().IsRegular() {
		return false
	}
	states, err := os.Lstat(filepath.Join(dir, "states"))
	return err == nil && states.IsDir()
}

// listKloset lists the snapshots of the Kloset at ref, a folder or a .ptar.
func listKloset(ctx context.Context, ref string, opts snapshot.Options) ([]snapshot.Listing, error) {
	p, err := kloset.Local(ref, opts)
	if err != nil {
		return nil, err
	}
	list, err := kloset.ListPlace(ctx, ref, p, opts)
	return list, errors.Join(err, p.Store.Close())
}
