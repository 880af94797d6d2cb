package sources

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/barman"
	"github.com/snapview/snapview/snapshot/kloset"
	"github.com/snapview/snapview/snapshot/tarball"
	"github.com/snapview/snapview/snapshot/tarindex"
)

// A listFunc lists the snapshots of a store, or describes the one at ref.
type listFunc = func(ctx context.Context, ref string, opts snapshot.Options) ([]snapshot.Listing, error)

// headSize is how much of a file is read to recognise its kind, in bytes.
const headSize = 2048

// storeAt returns what lists the folder's snapshots if it is a store of them.
func storeAt(dir string, list []os.DirEntry) listFunc {
	for _, s := range folderStores {
		if s.is(dir, list) {
			return s.list
		}
	}
	return nil
}

// fileAt returns what lists a file's snapshots if it is of a kind that holds
// them and is not a tar.
func fileAt(path string, head []byte) listFunc {
	for _, s := range fileStores {
		if s.is(path, head) {
			return s.list
		}
	}
	return nil
}

// folderStores and fileStores are the kinds of stores that hold several
// snapshots, or one that only its own source can tell of.
var (
	folderStores = []folderStore{
		{func(dir string, _ []os.DirEntry) bool { return isKloset(dir) }, listKloset},
		{func(dir string, _ []os.DirEntry) bool { _, _, ok := pgBackRestAt(dir); return ok }, listPgBackRest},
		{func(dir string, _ []os.DirEntry) bool { _, ok := barman.At(dir); return ok }, listBarman},
	}
	fileStores = []fileStore{
		{func(_ string, head []byte) bool { return kloset.IsPtar(head) }, listKloset},
	}
)

type folderStore struct {
	is   func(dir string, list []os.DirEntry) bool
	list listFunc
}

type fileStore struct {
	is   func(path string, head []byte) bool
	list listFunc
}

// isAddress reports whether a reference is an address of another host's store
// and not a path.
func isAddress(ref string) bool {
	scheme, _, ok := strings.Cut(ref, "://")
	return ok && !strings.Contains(scheme, "/")
}

// holdsCluster reports whether a file is a tar that seems to have a data
// directory in it: pg_basebackup's begins with backup_label, in others
// PG_VERSION is near the beginning. A tar of something else is told from it
// without scanning all of it.
func holdsCluster(ctx context.Context, name string, head []byte) bool {
	const enough = 4096 // members
	if !tarball.IsTar(head) {
		return false
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false
	}
	n, found, stop := 0, false, errors.New("enough")
	_, err = tarindex.Scan(ctx, f, info.Size(), name, func(m tarindex.Member) error {
		switch base := path.Base(m.Name); {
		case base == "backup_label", base == "PG_VERSION" && !strings.Contains("/"+m.Name, "/base/"):
			found = true
			return stop
		}
		if n++; n == enough {
			return stop
		}
		return nil
	})
	return found && errors.Is(err, stop)
}
