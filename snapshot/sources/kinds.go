package sources

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/barman"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/directory"
	"github.com/snapview/snapview/snapshot/diskimage"
	"github.com/snapview/snapview/snapshot/kloset"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarindex"
	"github.com/snapview/snapview/snapshot/tars"
)

// A kind is what may lie at a place. is says so by content, of a place that was
// looked at. list tells of the snapshots there what can be told without a pass
// over their data. Both leave the place's store open.
type kind struct {
	is   func(p *place) bool
	open func(p *place, opts snapshot.Options) (*snapshot.Snapshot, error)
	list func(p *place, opts snapshot.Options) ([]listed, error)
}

// A listed is a snapshot of a list.
type listed struct {
	snapshot.Listing
	label *snapshot.Label // its backup_label, nil if it is not known
}

// kinds returns all, in the order in which they are tried.
func kinds() []*kind {
	return []*kind{
		{isKloset, openKloset, listKloset},
		{isPgBackRest, openPgBackRest, listPgBackRest},
		{isBarman, openBarman, listBarman},
		{isDirectory, openDirectory, listDirectory},
		{isTars, openTars, listTars},
		{
			func(p *place) bool { return p.local() && !p.folder && diskimage.Is(p.head) },
			func(p *place, opts snapshot.Options) (*snapshot.Snapshot, error) {
				return diskimage.Open(p.o.ctx, p.ref, opts)
			},
			nil, // looking for the data directory in it takes too long for a list
		},
	}
}

// kind returns what lies at a place, nil if it is nothing known.
func (p *place) kind() *kind {
	for _, k := range kinds() {
		if k.is(p) {
			return k
		}
	}
	return nil
}

// isKloset: a store has its configuration beside its states.
func isKloset(p *place) bool {
	return p.names["CONFIG"] && p.names["states/"] || !p.folder && kloset.IsPtar(p.head)
}

func klosetAt(p *place) kloset.Place {
	return kloset.Place{Store: p.view(), Name: p.name, Folder: p.folder, Counter: p.counter()}
}

func openKloset(p *place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	at := klosetAt(p)
	at.Store = p.take()
	return kloset.OpenStore(p.o.ctx, p.ref, at, opts)
}

func listKloset(p *place, opts snapshot.Options) ([]listed, error) {
	return unlabelled(kloset.ListPlace(p.o.ctx, p.ref, klosetAt(p), opts))
}

func unlabelled(list []snapshot.Listing, err error) ([]listed, error) {
	all := make([]listed, len(list))
	for i := range list {
		all[i].Listing = list[i]
	}
	return all, err
}

func isBarman(p *place) bool {
	if !p.folder || p.probed || p.o.opts.Root != "" {
		return false
	}
	_, ok := p.barman()
	return ok
}

// barman tells what a folder is to Barman. A backup's folder lies two levels
// below its server's, whose store it is then.
func (p *place) barman() (barman.Place, bool) {
	store, name, ref := p.view(), p.name, p.ref
	if at, err := resolve(p.ref); p.local() && err == nil {
		if base := filepath.Dir(at); filepath.Base(base) == "base" && !p.names["PG_VERSION"] {
			server, err := p.o.near(filepath.Dir(base))
			if err == nil {
				store, name, ref = server.Shared, path.Join("base", filepath.Base(at)), at
			}
		}
	}
	at, ok := barman.At(p.o.ctx, store, name, ref, p.entries)
	at.Counter = p.counter()
	return at, ok
}

func openBarman(p *place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	at, ok := p.barman()
	if !ok {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is no folder of Barman's any more", p.ref)
	}
	at.Store = at.Store.(*objects.Shared).Again()
	return barman.Open(p.o.ctx, at, opts)
}

func listBarman(p *place, _ snapshot.Options) ([]listed, error) {
	at, ok := p.barman()
	if !ok {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is no folder of Barman's any more", p.ref)
	}
	return unlabelled(barman.List(p.o.ctx, at))
}

func isDirectory(p *place) bool {
	return p.folder && (p.names["PG_VERSION"] || p.local() && p.o.opts.Root != "")
}

func openDirectory(p *place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	if p.local() {
		return directory.Open(p.o.ctx, p.ref, opts)
	}
	return directory.OpenObjects(p.o.ctx, p.ref, directory.Place{Store: p.take(), Name: p.name, Unlisted: p.probed, Counter: p.counter()}, opts)
}

// listDirectory opens one of this host, and reads the few files that tell of
// one that is far away.
func listDirectory(p *place, opts snapshot.Options) ([]listed, error) {
	if p.local() {
		return listOpened(p, opts)
	}
	l, label, err := directory.Describe(p.o.ctx, p.ref, p.view(), p.name)
	l.Label = path.Base(p.ref)
	return []listed{{l, label}}, err
}

func isTars(p *place) bool {
	if !p.folder {
		return tarindex.IsTar(p.head) || compressed.Codec(p.head) != ""
	}
	for _, e := range p.entries {
		if role, ok := tars.Role(e.Name); ok && role == tars.Base && !e.Dir {
			return true
		}
	}
	return false
}

func (p *place) tars() tars.Place {
	return tars.Place{Store: p.view(), Name: p.name, Folder: p.folder, Counter: p.counter()}
}

func openTars(p *place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	at := p.tars()
	at.Store = p.take()
	return tars.Open(p.o.ctx, p.ref, at, opts)
}

// listTars scans tars that it costs little to scan.
func listTars(p *place, opts snapshot.Options) ([]listed, error) {
	if p.local() && p.plain() {
		return listOpened(p, opts)
	}
	l, label, err := tars.Describe(p.o.ctx, p.ref, p.tars())
	if errors.Is(err, fs.ErrNotExist) && p.o.ctx.Err() == nil {
		return nil, nil // gone meanwhile
	}
	l.Label = path.Base(p.ref)
	return []listed{{l, label}}, err
}

// plain: what is in the files counts, not how they are called.
func (p *place) plain() bool {
	if !p.folder {
		return compressed.Codec(p.head) == ""
	}
	for _, e := range p.entries {
		if _, ok := tars.Role(e.Name); ok && !e.Dir && compressed.Codec(p.begins(e.Name)) != "" {
			return false
		}
	}
	return true
}
