// Package compressed opens tars that are compressed: a folder of pg_basebackup
// -Ft with gzip, lz4 or zstd on either side, or one tar, also with bzip2 or xz.
//
// None of these formats can be read at random, so the first open makes one
// pass over each file, with progress, and keeps what it needs for the next in
// the cache. For gzip and lz4 that is an index of restarts (package spans),
// about 1 % of the data, and the file is read where it lies. Decoders of zstd,
// bzip2 and xz carry too much with them to be restarted; such a tar is copied
// as Zstandard frames of 128 KiB (package seekable), about as large as the
// original. It is never written uncompressed. Beside it stands what the scan
// of the tar read (package tarheaders), so that the next one decodes nothing.
//
// The entry is keyed by the file's size, time and the hash of its head and
// tail; the second open reads nothing of the original but those.
package compressed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/spans"
	"github.com/snapview/snapview/snapshot/tarset"
)

// A Place is where tars lie.
type Place struct {
	Store  objects.Store
	Name   string // of the tar, or of the folder, in the store
	Folder bool   // Name is a folder of pg_basebackup -Ft

	// Counter is what the store's objects count their reads in.
	Counter *snapshot.Counter

	// Amend, if not nil, adds what the store knows of the backup to the draft
	// before it is identified.
	Amend func(*snapshot.Draft) error
}

// Open opens the compressed tar, or the folder of tars of which some are
// compressed, at ref, a path on this host. Its error is of class
// ErrNotABackup if it is neither.
func Open(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	at, err := filepath.EvalSymlinks(ref)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	p := Place{Name: ".", Folder: info.IsDir(), Counter: &snapshot.Counter{}}
	dir := at
	if !p.Folder {
		dir, p.Name = filepath.Dir(at), filepath.Base(at)
	}
	if p.Store, err = objects.OpenLocal(dir, opts.MaxOpenFiles, p.Counter); err != nil {
		return nil, err
	}
	return OpenStore(ctx, ref, p, opts)
}

// OpenStore opens the tar or the folder of tars at a place, compressed or not.
// ref is what a person calls it. The snapshot owns the store from then on, also
// when opening fails.
func OpenStore(ctx context.Context, ref string, p Place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	if p.Counter == nil {
		p.Counter = &snapshot.Counter{}
	}
	pool := hostdir.NewPool(opts.MaxOpenFiles, p.Counter) // for directories that the options name
	d := &snapshot.Draft{Ref: ref, Counter: p.Counter, Closers: []io.Closer{p.Store, pool}}
	if err := build(ctx, d, p, pool, opts); err != nil {
		errs := []error{fmt.Errorf("%s: %w", ref, err)}
		for _, c := range slices.Backward(d.Closers) {
			errs = append(errs, c.Close())
		}
		return nil, errors.Join(errs...)
	}
	return snapshot.Identify(ctx, *d, opts)
}

func build(ctx context.Context, d *snapshot.Draft, p Place, pool *hostdir.Pool, opts snapshot.Options) error {
	limit := opts.CacheLimit
	if limit == 0 {
		limit = snapshot.DefaultCacheLimit
	}
	store, err := cache.Open(opts.CacheDir, limit)
	if err != nil {
		return err
	}
	t := &opener{ctx: ctx, opts: opts, store: store, draft: d, decoded: spans.NewCache(decodedSpans), free: freeBytes}
	defer t.scanned()
	var set tarset.Set
	if p.Folder {
		set, err = t.folder(p)
	} else {
		set.Base, err = t.file(p.Store, p.Name)
	}
	if err != nil {
		return err
	}
	t.fits()
	switch {
	case t.compressed > 0:
		d.Kind = snapshot.KindCompressed
	case p.Folder:
		d.Kind = snapshot.KindTarFolder
	default:
		d.Kind = snapshot.KindTar
	}
	if err := tarset.Build(ctx, d, set, pool, opts); err != nil || p.Amend == nil {
		return err
	}
	return p.Amend(d)
}

// file opens one tar, compressed or not.
func (t *opener) file(store objects.Store, name string) (tarset.Archive, error) {
	f, err := store.Open(t.ctx, name)
	if err != nil {
		return tarset.Archive{}, err
	}
	head := make([]byte, min(f.Size(), 16))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return tarset.Archive{}, err
	}
	if c := find(head); c != nil {
		t.compressed++
		return t.archive(f, path.Base(name), c)
	}
	return tarset.Archive{Name: path.Base(name), Size: f.Size(), Data: f}, nil
}
