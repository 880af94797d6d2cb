package repo

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/state"
)

// Bounds on blobs and on reading many of them.
const (
	maxBlob     = 256 << 20 // bytes, stored and decoded, of all but chunks
	blobReaders = 16        // runs read at once: a store may be far away
	runGap      = 16 << 10  // bytes read in vain to save a read
	runSize     = 1 << 20   // bytes in one read, unless one blob has more
)

// Chunk returns a chunk of size bytes.
func (r *Repo) Chunk(ctx context.Context, m format.MAC, size int64) ([]byte, error) {
	// What does not compress grows by the headers of its blocks and frames.
	stored := size + size/64 + 4096
	return r.find(ctx, format.TypeChunk, m, stored, func(b []byte) ([]byte, error) { return r.codec.Chunk(b, int(size)) })
}

// Blob returns a blob that is no chunk.
func (r *Repo) Blob(ctx context.Context, t format.Type, m format.MAC) ([]byte, error) {
	return r.find(ctx, t, m, maxBlob, r.decoder(t))
}

// decoder decodes blobs that are no chunks. A snapshot's header has no MAC, so
// that its checksums have to do.
func (r *Repo) decoder(t format.Type) func([]byte) ([]byte, error) {
	if t == format.TypeSnapshot {
		return func(b []byte) ([]byte, error) { return r.codec.All(b, maxBlob) }
	}
	return func(b []byte) ([]byte, error) { return r.codec.Blob(b, maxBlob) }
}

// find reads a blob from the first place that holds it whole.
func (r *Repo) find(ctx context.Context, t format.Type, m format.MAC, most int64, decode func([]byte) ([]byte, error)) ([]byte, error) {
	places := r.index.Find(t, m)
	if len(places) == 0 {
		return nil, r.missing(t, m)
	}
	var first error
	for _, l := range places {
		b, err := r.load(ctx, t, m, l, most, decode)
		if err == nil {
			return b, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (r *Repo) missing(t format.Type, m format.MAC) error {
	return snapshot.Errorf(snapshot.ErrDamaged, "%s: the store does not have %s %s", r.name, t, m.Short())
}

// where puts an error in its place.
func (r *Repo) where(t format.Type, m format.MAC, l state.Location, err error) error {
	return fmt.Errorf("%s: %s %s in packfile %s at %d: %w", r.name, t, m.Short(), l.Packfile.Short(), l.Offset, err)
}

func (r *Repo) load(ctx context.Context, t format.Type, m format.MAC, l state.Location, most int64, decode func([]byte) ([]byte, error)) ([]byte, error) {
	if l.Length > most {
		return nil, r.where(t, m, l, snapshot.Errorf(snapshot.ErrDamaged, "it has %d bytes, at most %d can be right", l.Length, most))
	}
	pack, err := r.layout.packfile(ctx, l.Packfile)
	if err != nil {
		return nil, r.where(t, m, l, err)
	}
	stored, err := pack.read(l.Offset, l.Length)
	if err != nil {
		return nil, r.where(t, m, l, err)
	}
	b, err := r.decoded(t, m, stored, decode)
	if err != nil {
		return nil, r.where(t, m, l, err)
	}
	return b, nil
}

// decoded decodes a blob and checks its MAC. A snapshot's name is no MAC.
func (r *Repo) decoded(t format.Type, m format.MAC, stored []byte, decode func([]byte) ([]byte, error)) ([]byte, error) {
	b, err := decode(stored)
	if err != nil {
		return nil, err
	}
	if t != format.TypeSnapshot && r.hasher.Sum(b) != m {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "its content does not match its MAC")
	}
	return b, nil
}

// wanted is a blob that Each is to read.
type wanted struct {
	i  int
	at state.Location
}

// Each implements vfs.Blobs. Blobs that lie behind each other are read at
// once, and several such runs side by side.
func (r *Repo) Each(ctx context.Context, t format.Type, names []format.MAC, each func(i int, b []byte) error) error {
	list := make([]wanted, 0, len(names))
	for i, m := range names {
		places := r.index.Find(t, m)
		if len(places) == 0 {
			return r.missing(t, m)
		}
		list = append(list, wanted{i, places[0]})
	}
	slices.SortFunc(list, func(a, b wanted) int {
		return cmp.Or(bytes.Compare(a.at.Packfile[:], b.at.Packfile[:]), cmp.Compare(a.at.Offset, b.at.Offset))
	})
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(blobReaders)
	for len(list) > 0 {
		n := runOf(list)
		run := list[:n]
		list = list[n:]
		g.Go(func() error {
			return r.readRun(ctx, t, names, run, func(i int, b []byte) error {
				mu.Lock()
				defer mu.Unlock()
				return each(i, b)
			})
		})
	}
	return g.Wait()
}

// runOf returns how many blobs of the sorted list are read at once.
func runOf(list []wanted) int {
	first := list[0].at
	end := first.Offset + first.Length
	for n, w := range list[1:] {
		to := max(end, w.at.Offset+w.at.Length)
		if w.at.Packfile != first.Packfile || w.at.Offset-end > runGap || to-first.Offset > runSize {
			return n + 1
		}
		end = to
	}
	return len(list)
}

// readRun reads a run of blobs. One that is not right where it lies is looked
// for elsewhere.
func (r *Repo) readRun(ctx context.Context, t format.Type, names []format.MAC, run []wanted, each func(i int, b []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	start, end := run[0].at.Offset, int64(0)
	for _, w := range run {
		end = max(end, w.at.Offset+w.at.Length)
	}
	var all []byte
	if pack, err := r.layout.packfile(ctx, run[0].at.Packfile); err == nil && end-start <= maxBlob {
		all, _ = pack.read(start, end-start) // find tells what is wrong with it
	}
	for _, w := range run {
		var b []byte
		var err error
		if all != nil {
			b, err = r.decoded(t, names[w.i], all[w.at.Offset-start:][:w.at.Length], r.decoder(t))
		}
		if all == nil || err != nil {
			if b, err = r.Blob(ctx, t, names[w.i]); err != nil {
				return err
			}
		}
		if err := each(w.i, b); err != nil {
			return err
		}
	}
	return nil
}
