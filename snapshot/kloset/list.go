package kloset

import (
	"context"
	"path"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/repo"
	"github.com/snapview/snapview/snapshot/kloset/vfs"
	"github.com/snapview/snapview/snapshot/objects"
)

// List lists the snapshots of the Kloset in a store, the newest first. It reads
// the snapshots' headers, and PG_VERSION and pg_control where the import was made of
// a data directory: what others hold is found out by opening them. The error is of class ErrNotABackup if the store is no Kloset.
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
		if list[i].Problem == "" {
			describe(ctx, r, h, &list[i])
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
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

// describe adds what PG_VERSION and pg_control say, if they are where the import
// began or at the root. Nothing is wrong if they are not.
func describe(ctx context.Context, r *repo.Repo, h *header, l *snapshot.Listing) {
	const most = 8192 // bytes of pg_control
	for _, s := range h.Sources {
		for _, dir := range []string{path.Clean("/" + s.Dir), "/"} {
			version, err := small(ctx, r, s.Root, path.Join(dir, "PG_VERSION"), most)
			if err != nil {
				continue
			}
			l.PGVersion, _ = strconv.Atoi(strings.TrimSpace(string(version)))
			control, err := small(ctx, r, s.Root, path.Join(dir, "global/pg_control"), most)
			if err != nil {
				return
			}
			if c, err := snapshot.ParseControl(control); err == nil {
				l.SystemID, l.Timeline = c.SystemID, c.Timeline
			}
			return
		}
	}
}

// small reads a file of one chunk.
func small(ctx context.Context, r *repo.Repo, root format.MAC, name string, most int64) ([]byte, error) {
	e, err := vfs.Lookup(ctx, r, root, name)
	if err != nil {
		return nil, err
	}
	b, err := r.Blob(ctx, format.TypeObject, e.Object)
	if err != nil {
		return nil, err
	}
	chunks, err := vfs.ParseObject(b, e.Size)
	if err != nil {
		return nil, err
	}
	if e.Size > most || len(chunks) != 1 {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s has %d bytes in %d chunks", name, e.Size, len(chunks))
	}
	return r.Chunk(ctx, chunks[0].MAC, e.Size)
}
