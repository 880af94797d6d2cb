package sources

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
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
)

// List returns the snapshots at ref and below it, the newest first: of a store
// with several (Kloset, pgBackRest, Barman), of a folder tree with backups in it.
//
// A backup's own data is not looked into for others, and none is opened in a
// way that costs a pass over it: of a compressed tar only what lies beside it
// is told. A snapshot that cannot be opened is in the list, with its Problem.
func List(ctx context.Context, ref string, opts ListOptions) ([]snapshot.Listing, error) {
	if opts.Depth == 0 {
		opts.Depth = DefaultDepth
	}
	if isAddress(ref) {
		return listRemote(ctx, ref, opts)
	}
	info, err := os.Stat(ref)
	if err != nil {
		return nil, err
	}
	l := &lister{ctx: ctx, opts: opts}
	if info.IsDir() {
		l.dir(filepath.Clean(ref), 0)
	} else {
		l.file(filepath.Clean(ref), info.Size())
	}
	if l.err != nil {
		return nil, l.err
	}
	found, err := l.ask()
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: no backup in it, %d levels deep", ref, opts.Depth)
	}
	linkParents(found)
	slices.SortStableFunc(found, func(a, b snapshot.Listing) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Ref, b.Ref))
	})
	return found, nil
}

// A place is where a snapshot or a store of them was recognised.
type place struct {
	ref  string
	list listFunc
}

// A lister walks a folder tree and collects places.
type lister struct {
	ctx     context.Context
	opts    ListOptions
	places  []place
	entries int
	err     error // ends the walk
}

func (l *lister) add(ref string, list listFunc) {
	if len(l.places) == maxPlaces {
		l.err = snapshot.Errorf(snapshot.ErrUnsupported, "more than %d backups below one folder: name a folder of them", maxPlaces)
		return
	}
	l.places = append(l.places, place{ref, list})
}

func (l *lister) skip(path string, err error) {
	if l.opts.Skipped != nil {
		l.opts.Skipped(path, err)
	}
}

// dir recognises a folder, or looks into it.
func (l *lister) dir(dir string, depth int) {
	if l.err = cmp.Or(l.err, l.ctx.Err()); l.err != nil {
		return
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		l.skip(dir, err)
		return
	}
	if l.entries += len(list); l.entries > maxEntries {
		l.err = snapshot.Errorf(snapshot.ErrUnsupported, "more than %d files were looked at: name a folder closer to the backups", maxEntries)
		return
	}
	has := func(name string) bool {
		return slices.ContainsFunc(list, func(e os.DirEntry) bool { return e.Name() == name })
	}
	switch s := storeAt(dir, list); {
	case has("PG_VERSION"), allPlain(dir):
		l.add(dir, listOpened)
		return
	case hasTars(dir):
		l.add(dir, listCompressed)
		return
	case s != nil:
		l.add(dir, s)
		return
	}
	if depth >= l.opts.Depth {
		return
	}
	for _, e := range list {
		switch path := filepath.Join(dir, e.Name()); {
		case l.err != nil:
			return
		case strings.HasPrefix(e.Name(), "."), e.Name() == "lost+found":
		case e.IsDir():
			l.dir(path, depth+1)
		case e.Type().IsRegular():
			if info, err := e.Info(); err == nil {
				l.file(path, info.Size())
			}
		}
	}
}

// ask opens what was found, some at a time.
func (l *lister) ask() ([]snapshot.Listing, error) {
	const atOnce = 4
	results := make([][]snapshot.Listing, len(l.places))
	var asking sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, p := range l.places {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			found, err := p.list(l.ctx, p.ref, l.opts.Snapshot)
			if err != nil {
				found = []snapshot.Listing{{Ref: p.ref, Label: filepath.Base(p.ref), Time: changed(p.ref), Problem: err.Error()}}
			}
			results[i] = found
		})
	}
	asking.Wait()
	return slices.Concat(results...), l.ctx.Err()
}

// listOpened opens a backup that can be opened without a pass over its data.
func listOpened(ctx context.Context, ref string, opts snapshot.Options) ([]snapshot.Listing, error) {
	s, err := Open(ctx, ref, opts)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	id := &s.Identity
	one := snapshot.Listing{
		Ref: ref, Kind: s.Kind, Label: filepath.Base(ref), Type: "full", Time: id.StopTime,
		Bytes: s.Size.Bytes, PGVersion: id.PGVersion, SystemID: id.SystemID, Timeline: id.Timeline,
		StartLSN: id.StartLSN, StopLSN: id.EndLSN,
	}
	if s.Kind == snapshot.KindIncremental {
		one.Type = "incremental"
	}
	for _, t := range []time.Time{id.StartTime, changed(ref)} {
		if one.Time.IsZero() {
			one.Time = t
		}
	}
	if err := s.Err(); err != nil {
		one.Problem = err.Error()
	}
	return []snapshot.Listing{one}, nil
}

// listCompressed tells of compressed tars what lies beside them: opening them
// would be a pass over their data.
func listCompressed(_ context.Context, ref string, _ snapshot.Options) ([]snapshot.Listing, error) {
	one := snapshot.Listing{Ref: ref, Kind: snapshot.KindCompressed, Label: filepath.Base(ref), Time: changed(ref), StoredBytes: stored(ref)}
	f, err := os.Open(filepath.Join(ref, "backup_manifest"))
	if err != nil {
		return []snapshot.Listing{one}, nil //nolint:nilerr // most have none beside them
	}
	defer f.Close()
	m, err := snapshot.ReadManifest(f, nil)
	if err != nil {
		one.Problem = err.Error()
		return []snapshot.Listing{one}, nil
	}
	one.Bytes, one.SystemID = m.Bytes, m.SystemID
	if n := len(m.WALRanges); n > 0 {
		one.Timeline, one.StartLSN, one.StopLSN = m.WALRanges[n-1].Timeline, m.WALRanges[0].Start, m.WALRanges[n-1].End
	}
	if info, err := f.Stat(); err == nil {
		one.Time = info.ModTime()
	}
	return []snapshot.Listing{one}, nil
}

// stored is what a file, or a folder's tars, take.
func stored(ref string) (n int64) {
	info, err := os.Stat(ref)
	if err != nil {
		return 0
	}
	if !info.IsDir() {
		return info.Size()
	}
	for _, name := range tars(ref) {
		if info, err := os.Stat(filepath.Join(ref, name)); err == nil {
			n += info.Size()
		}
	}
	return n
}

func changed(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// linkParents names the predecessors of incremental backups of pg_basebackup
// among the others: the backup of the same cluster that starts where the
// label says.
func linkParents(found []snapshot.Listing) {
	for i := range found {
		inc := &found[i]
		if inc.Kind != snapshot.KindIncremental {
			continue
		}
		text, err := readLabel(context.Background(), inc.Ref)
		if err != nil {
			continue
		}
		label, err := snapshot.ParseLabel(text)
		if err != nil || label.IncrementalFromLSN == 0 {
			continue
		}
		for _, p := range found {
			if p.SystemID == inc.SystemID && p.StartLSN == label.IncrementalFromLSN && p.Timeline == label.IncrementalFromTLI {
				inc.Parent = p.Label
			}
		}
	}
}

// file recognises a file that is a backup by itself.
func (l *lister) file(path string, size int64) {
	const smallest = 10 << 10 // a tar's end alone; no cluster fits into less
	if size < smallest {
		return
	}
	head, err := headOf(path)
	if err != nil {
		l.skip(path, err)
		return
	}
	switch list := fileAt(path, head); {
	case list != nil:
		l.add(path, list)
	case compressed.Codec(head) != "" && compressedTarName(filepath.Base(path)):
		l.add(path, listCompressed)
	case holdsCluster(l.ctx, path, head):
		l.add(path, listOpened)
	}
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

func headOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, headSize)
	n, err := f.ReadAt(head, 0)
	if n > 0 || errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return head[:n], err
}
