package sources

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
)

// A remoteLister walks what lies below an address.
type remoteLister struct {
	ctx   context.Context
	opts  ListOptions
	found []snapshot.Listing
	seen  int // names
}

// listRemote returns the snapshots at an address and below it. Tars are not
// opened, which would fetch all their headers: what lies beside them is told.
func listRemote(ctx context.Context, address string, opts ListOptions) (found []snapshot.Listing, err error) {
	shown, selected := splitAddress(Redact(address))
	address, _ = splitAddress(address)
	if selected != "" {
		opts.Snapshot.Select = selected
	}
	r, err := find(ctx, address, opts.Snapshot)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.store.Close()) }()
	defer context.AfterFunc(ctx, r.store.Abort)()
	r.ref = shown
	if err := r.look(ctx); err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	l := &remoteLister{ctx: ctx, opts: opts}
	if err := l.at(r, 0); err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	if len(l.found) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: no backup in it, %d levels deep", shown, opts.Depth)
	}
	slices.SortStableFunc(l.found, func(a, b snapshot.Listing) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Ref, b.Ref))
	})
	return l.found, nil
}

// at lists what lies at a place that was looked at, or goes on below it.
func (l *remoteLister) at(r *remote, depth int) error {
	for _, k := range remoteKinds {
		if !k.is(r) {
			continue
		}
		list, err := k.list(l.ctx, r, l.opts.Snapshot)
		if err != nil {
			if depth == 0 {
				return err
			}
			list = []snapshot.Listing{{Ref: r.ref, Label: path.Base(r.name), Problem: err.Error()}}
		}
		l.found = append(l.found, list...)
		return nil
	}
	if l.seen += len(r.names); l.seen > maxEntries || len(l.found) > maxPlaces {
		return snapshot.Errorf(snapshot.ErrUnsupported, "more than %d names or %d backups: name a folder closer to the backups", maxEntries, maxPlaces)
	}
	for _, name := range slices.Sorted(maps.Keys(r.names)) {
		name, dir := strings.CutSuffix(name, "/")
		if dir && depth >= l.opts.Depth || !dir && !backupName(name) {
			continue
		}
		sub := r.below(name)
		look := sub.look
		if dir {
			look = sub.lookInside
		}
		if err := look(l.ctx); err != nil {
			if err := l.ctx.Err(); err != nil {
				return err
			}
			if l.opts.Skipped != nil {
				l.opts.Skipped(sub.ref, err)
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
// folder tree the name has to do.
func backupName(name string) bool {
	return strings.HasSuffix(name, ".ptar") || strings.HasSuffix(name, ".tar") || compressedTarName(name)
}

// below returns the place of a name in a folder.
func (r *remote) below(name string) *remote {
	sub := *r
	sub.folder, sub.names, sub.head = false, nil, nil
	sub.name = path.Join(r.name, name)
	place, query, more := strings.Cut(r.ref, "?")
	if sub.ref = strings.TrimSuffix(place, "/") + "/" + name; more {
		sub.ref += "?" + query
	}
	return &sub
}

// listTars tells of tars what lies beside them.
func listTars(ctx context.Context, r *remote, _ snapshot.Options) ([]snapshot.Listing, error) {
	one := snapshot.Listing{Ref: r.ref, Kind: snapshot.KindTar, Label: path.Base(r.ref)}
	if !r.folder {
		o, err := r.from.Open(ctx, r.name)
		if err != nil {
			return nil, err
		}
		one.Time, one.StoredBytes = o.Changed(), o.Size()
		if compressed.Codec(r.head) != "" {
			one.Kind = snapshot.KindCompressed
		}
		return []snapshot.Listing{one}, nil
	}
	one.Kind = snapshot.KindTarFolder
	list, err := r.from.List(ctx, r.name)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if _, ok := compressed.TarName(e.Name); ok {
			one.StoredBytes += e.Size
			if e.Changed.After(one.Time) {
				one.Time = e.Changed
			}
			if !strings.HasSuffix(e.Name, ".tar") {
				one.Kind = snapshot.KindCompressed
			}
		}
	}
	o, err := r.from.Open(ctx, path.Join(r.name, "backup_manifest"))
	if errors.Is(err, fs.ErrNotExist) {
		return []snapshot.Listing{one}, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := snapshot.ReadManifest(io.NewSectionReader(o, 0, o.Size()), nil)
	if err != nil {
		one.Problem = err.Error()
		return []snapshot.Listing{one}, nil //nolint:nilerr // told in the list
	}
	one.Bytes, one.SystemID = m.Bytes, m.SystemID
	if n := len(m.WALRanges); n > 0 {
		one.Timeline, one.StartLSN, one.StopLSN = m.WALRanges[n-1].Timeline, m.WALRanges[0].Start, m.WALRanges[n-1].End
	}
	return []snapshot.Listing{one}, nil
}
