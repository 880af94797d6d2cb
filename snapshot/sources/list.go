package sources

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/tarindex"
)

// ListOptions say where List looks.
type ListOptions struct {
	// Snapshot is how each snapshot is opened to ask it what it is.
	Snapshot snapshot.Options

	// Depth is how many levels of folders below the reference are looked
	// into; 0 means DefaultDepth.
	Depth int

	// Skipped, if not nil, is told of folders that could not be looked into.
	// It may be called from several goroutines.
	Skipped func(path string, err error)
}

// Bounds on what List looks at.
const (
	DefaultDepth = 4
	maxPlaces    = 10_000 // snapshots and stores in one tree
	maxEntries   = 1 << 20

	// smallestTar is the size of a file that may be a backup, bytes: a tar's
	// end alone takes as much, and no cluster fits into less.
	smallestTar = 10 << 10
)

// List returns the snapshots at ref, a path or an address, and below it, the
// newest first: of a store with several (Kloset, pgBackRest, Barman), of a folder
// tree with backups in it. References are as they may be shown: Reveal gives what
// to open them by.
//
// A backup's own data is not looked into for others, and none is opened in a
// way that costs a pass over it: of a compressed tar, and of one that is far
// away, only what lies beside it and at its ends is told. A snapshot that cannot
// be opened is in the list, with its Problem.
func List(ctx context.Context, ref string, opts ListOptions) ([]snapshot.Listing, error) {
	if opts.Depth == 0 {
		opts.Depth = DefaultDepth
	}
	l := &lister{o: newOpening(ctx, opts.Snapshot), opts: opts}
	found, err := l.run(ref)
	_, err = l.o.end(nil, err)
	return found, err
}

// A lister walks a folder tree and collects places.
type lister struct {
	o       *opening
	opts    ListOptions
	places  []found
	entries int
}

// A found is a place with a backup or a store of them.
type found struct {
	*place
	kind  *kind
	asked bool // it is what was asked for itself
}

func (l *lister) run(ref string) ([]snapshot.Listing, error) {
	p, selected, err := l.o.find(ref)
	if err != nil {
		return nil, err
	}
	if selected != "" {
		l.opts.Snapshot.Select = selected
	}
	if err := l.at(p, 0); err != nil {
		return nil, err
	}
	all, err := l.ask()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: no backup in it, %d levels deep", p.ref, l.opts.Depth)
	}
	linkParents(all)
	list := make([]snapshot.Listing, len(all))
	for i := range all {
		list[i] = all[i].Listing
	}
	slices.SortStableFunc(list, func(a, b snapshot.Listing) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Ref, b.Ref))
	})
	return list, nil
}

func (l *lister) skip(path string, err error) {
	if l.opts.Skipped != nil {
		l.opts.Skipped(path, err)
	}
}

// at recognises what lies at a place that was looked at, or looks below it.
func (l *lister) at(p *place, depth int) error {
	if err := l.o.ctx.Err(); err != nil {
		return err
	}
	if k := p.kind(); k != nil && k.list != nil && (p.folder || l.isBackup(p)) {
		if len(l.places) == maxPlaces {
			return snapshot.Errorf(snapshot.ErrUnsupported, "more than %d backups below one folder: name a folder of them", maxPlaces)
		}
		l.places = append(l.places, found{p, k, depth == 0})
		return nil
	}
	if l.entries += len(p.entries); l.entries > maxEntries {
		return snapshot.Errorf(snapshot.ErrUnsupported, "more than %d files were looked at: name a folder closer to the backups", maxEntries)
	}
	if !p.folder || depth >= l.opts.Depth {
		return nil
	}
	for _, e := range p.entries {
		if strings.HasPrefix(e.Name, ".") || e.Name == "lost+found" || !e.Dir && (e.Size < smallestTar || !p.local() && !backupName(e.Name)) {
			continue
		}
		sub := p.below(e.Name)
		look := sub.look
		if e.Dir {
			look = sub.lookInside
		}
		if err := look(); err != nil {
			if err := l.o.ctx.Err(); err != nil {
				return err
			}
			if !errors.Is(err, fs.ErrNotExist) { // else gone meanwhile
				l.skip(sub.ref, err)
			}
			continue
		}
		if err := l.at(sub, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// backupName: what is in an object is not known without a request, so in a
// store that is far away the name has to do.
func backupName(name string) bool {
	return strings.HasSuffix(name, ".ptar") || strings.HasSuffix(name, ".tar") || compressedTarName(name)
}

// compressedTarName: what is in a compressed file is not known without
// decompressing it; in a folder tree the name has to do.
func compressedTarName(name string) bool {
	for _, mark := range []string{".tar.", ".tgz", ".tzst", ".tbz2", ".txz"} {
		if strings.Contains(name, mark) {
			return true
		}
	}
	return false
}

// isBackup decides about a file that is an archive of some kind.
func (l *lister) isBackup(p *place) bool {
	switch {
	case !isTars(p):
		return true
	case compressed.Codec(p.head) != "":
		return compressedTarName(path.Base(p.ref))
	case p.local():
		return p.holdsCluster()
	}
	return true
}

// holdsCluster reports whether a tar seems to have a data directory in it:
// pg_basebackup's begins with backup_label, in others PG_VERSION is near the
// beginning. A tar of something else is told from it without scanning all of it.
func (p *place) holdsCluster() bool {
	const enough = 4096 // members
	f, err := p.store.Open(p.o.ctx, p.name)
	if err != nil || f.Size() < smallestTar {
		return false
	}
	n, found, stop := 0, false, errors.New("enough")
	_, err = tarindex.Scan(p.o.ctx, f, f.Size(), p.name, func(m tarindex.Member) error {
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

// ask asks what was found what it is, some at a time.
func (l *lister) ask() ([]listed, error) {
	const atOnce = 4
	results := make([][]listed, len(l.places))
	errs := make([]error, len(l.places))
	var asking sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, p := range l.places {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			results[i], errs[i] = p.kind.list(p.place, l.opts.Snapshot)
		})
	}
	asking.Wait()
	if err := l.o.ctx.Err(); err != nil {
		return nil, err
	}
	for i, p := range l.places {
		if errs[i] == nil {
			continue
		}
		if p.asked && !p.local() {
			return nil, errs[i]
		}
		results[i] = []listed{{Listing: snapshot.Listing{Ref: p.ref, Label: path.Base(p.ref), Time: p.changed(), Problem: errs[i].Error()}}}
	}
	return slices.Concat(results...), nil
}

// changed is when a path of this host was changed last.
func (p *place) changed() time.Time {
	if !p.local() {
		return time.Time{}
	}
	info, err := os.Stat(p.ref)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// listOpened opens a backup that can be opened without a pass over its data.
func listOpened(p *place, opts snapshot.Options) ([]listed, error) {
	s, err := Open(p.o.ctx, p.ref, opts)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	id := &s.Identity
	one := listed{Listing: snapshot.Listing{
		Ref: p.ref, Kind: s.Kind, Label: path.Base(p.ref), Type: "full", Time: id.StopTime,
		Bytes: s.Size.Bytes, PGVersion: id.PGVersion, SystemID: id.SystemID, Timeline: id.Timeline,
		StartLSN: id.StartLSN, StopLSN: id.EndLSN,
	}}
	if s.Kind == snapshot.KindIncremental {
		newest := s.Parts()[len(s.Parts())-1].Identity
		one.Type = "incremental"
		one.label = &snapshot.Label{IncrementalFromLSN: newest.IncrementalFromLSN, IncrementalFromTLI: newest.IncrementalFromTLI}
	}
	for _, t := range []time.Time{id.StartTime, p.changed()} {
		if one.Time.IsZero() {
			one.Time = t
		}
	}
	if err := s.Err(); err != nil {
		one.Problem = err.Error()
	}
	return []listed{one}, nil
}

// linkParents names the predecessors of incremental backups of pg_basebackup
// among the others: the backup of the same cluster that starts where the
// label says.
func linkParents(all []listed) {
	for i := range all {
		inc := &all[i]
		if inc.label == nil || inc.label.IncrementalFromLSN == 0 {
			continue
		}
		for _, p := range all {
			if p.SystemID == inc.SystemID && p.StartLSN == inc.label.IncrementalFromLSN && p.Timeline == inc.label.IncrementalFromTLI {
				inc.Parent = p.Label
			}
		}
	}
}
