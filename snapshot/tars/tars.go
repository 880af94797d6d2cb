package tars

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarindex"
	"github.com/snapview/snapview/snapshot/tarset"
)

// A Place is where tars lie.
type Place struct {
	Store  objects.Store
	Name   string // of the tar, or of the folder, in the store
	Folder bool   // Name is a folder of tars
	Main   string // role of the folder's tar with the data directory: Base, which is also what empty means, or CloudBase

	// Counter is what the store's objects count their reads in.
	Counter *snapshot.Counter

	// Amend, if not nil, adds what a catalogue knows of the backup to the
	// draft before it is identified.
	Amend func(*snapshot.Draft) error
}

func (p Place) main() string { return cmp.Or(p.Main, Base) }

// Open opens the tar or the folder of tars at a place. ref is what a person
// calls it. The snapshot owns the store from then on, also when opening fails.
// The error is of class ErrNotABackup if there is neither, or no data
// directory in it.
func Open(ctx context.Context, ref string, p Place, opts snapshot.Options) (*snapshot.Snapshot, error) {
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

// An opener is the state of one Open.
type opener struct {
	ctx    context.Context
	place  Place
	tars   *compressed.Opener
	packed int // tars that were compressed
}

func build(ctx context.Context, d *snapshot.Draft, p Place, pool *hostdir.Pool, opts snapshot.Options) error {
	o := &opener{ctx: ctx, place: p, tars: compressed.NewOpener(ctx, d, opts)}
	defer o.tars.Scanned()
	var set tarset.Set
	var err error
	if p.Folder {
		set, err = o.folder()
	} else {
		set.Base, err = o.file()
	}
	if err != nil {
		return err
	}
	o.tars.Fits()
	switch {
	case o.packed > 0:
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

// open opens one tar, compressed or not.
func (o *opener) open(name string) (tarset.Archive, error) {
	f, err := o.place.Store.Open(o.ctx, name)
	if err != nil {
		return tarset.Archive{}, err
	}
	a, packed, err := o.tars.Archive(f, path.Base(name))
	if packed {
		o.packed++
	}
	return a, err
}

// file opens the place's only tar.
func (o *opener) file() (tarset.Archive, error) {
	a, err := o.open(o.place.Name)
	if err != nil {
		return a, err
	}
	head := make([]byte, tarindex.BlockSize)
	if n, err := a.Data.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return a, err
	} else if !tarindex.IsTar(head[:n]) {
		return a, snapshot.Errorf(snapshot.ErrNotABackup, "a file of %d bytes that is no tar", a.Size)
	}
	return a, nil
}
