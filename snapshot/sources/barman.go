package sources

import (
	"context"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/barman"
)

// listBarman lists the backups of the Barman server at ref, or the one that it
// is.
func listBarman(ctx context.Context, ref string, _ snapshot.Options) ([]snapshot.Listing, error) {
	p, ok := barman.At(ref)
	if !ok {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is no folder of Barman's any more", ref)
	}
	return barman.List(ctx, p)
}
