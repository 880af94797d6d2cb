package kloset

import (
	"context"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
)

// List lists the snapshots of the Kloset in a store, the newest first. It reads
// the snapshots' headers only: what they hold is found out by opening one. The
// error is of class ErrNotABackup if the store is no Kloset.
func List(ctx context.Context, store objects.Store, opts snapshot.Options) ([]snapshot.Listing, error) {
	return ListPlace(ctx, store.String(), Place{Store: store, Name: ".", Folder: true}, opts)
}

// ListPlace lists the snapshots of the Kloset at a place, which references are
// to call ref; see List. The place's store stays open.
func ListPlace(ctx context.Context, ref string, p Place, opts snapshot.Options) ([]snapshot.Listing, error) {
	r, err := p.open(ctx, opts)
	if err != nil {
		return nil, err
	}
	heads, err := headers(ctx, r)
	if err != nil {
		return nil, err
	}
	list := make([]snapshot.Listing, len(heads))
	for i, h := range heads {
		list[i] = listing(ref, h)
	}
	return list, nil
}

func listing(ref string, h *header) snapshot.Listing {
	l := snapshot.Listing{Ref: ref + "#" + h.id.Short(), Kind: snapshot.KindKloset, Label: h.id.Short()}
	if h.err != nil {
		l.Ref, l.Problem = ref+"#"+h.id.String(), h.err.Error()
		return l
	}
	l.Time = h.Time
	files := uint64(0)
	for _, s := range h.Sources {
		files += s.Files
		l.Bytes += int64(s.Bytes)
	}
	if files == 0 {
		l.Problem = "it holds no files, as a backup that failed does"
	}
	return l
}
