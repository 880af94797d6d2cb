package kloset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/kloset/chunks"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/repo"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/mounted"
)

// A Place is where a Kloset lies.
type Place struct {
	Store  objects.Store
	Name   string // of the .ptar, or of the folder, in the store; "." is the store itself
	Folder bool   // Name is a folder with CONFIG, states and packfiles

	// Counter is what the store's objects count their reads in.
	Counter *snapshot.Counter
}

// open reads what says where the blobs lie.
func (p Place) open(ctx context.Context, opts snapshot.Options) (*repo.Repo, error) {
	ro := repo.Options{Passphrase: opts.Passphrase}
	if p.Folder {
		return repo.Open(ctx, p.Store, p.Name, ro)
	}
	return repo.OpenArchive(ctx, p.Store, p.Name, ro)
}

// Local returns the place of the Kloset at ref, a path on this host. Its Store
// must be closed.
func Local(ref string, opts snapshot.Options) (p Place, err error) {
	at, err := filepath.EvalSymlinks(ref)
	if err != nil {
		return p, err
	}
	info, err := os.Stat(at)
	if err != nil {
		return p, err
	}
	p = Place{Name: ".", Folder: info.IsDir(), Counter: &snapshot.Counter{}}
	if !p.Folder {
		at, p.Name = filepath.Dir(at), filepath.Base(at)
	}
	p.Store, err = mounted.OpenLocal(at, opts, p.Counter)
	return p, err
}

// IsPtar reports whether a file that begins with head is a .ptar.
func IsPtar(head []byte) bool {
	return len(head) >= len(format.PtarMagic) && string(head[:len(format.PtarMagic)]) == format.PtarMagic
}

// Open opens a snapshot of the Kloset at ref, a path on this host. Options.Select
// names the snapshot; without it the newest that holds a data directory is
// opened. The error is of class ErrNotABackup if there is no Kloset or no such
// snapshot, ErrPassphrase if the passphrase is missing or wrong.
func Open(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	p, err := Local(ref, opts)
	if err != nil {
		return nil, err
	}
	return OpenStore(ctx, ref, p, opts)
}

// OpenStore opens a snapshot of the Kloset at a place of a store, which it
// takes over: the snapshot closes it, and so does a failure.
func OpenStore(ctx context.Context, ref string, p Place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	pool := hostdir.NewPool(opts.MaxOpenFiles, p.Counter)
	d := snapshot.Draft{Kind: snapshot.KindKloset, Ref: ref, Counter: p.Counter}
	d.Closers = append(d.Closers, p.Store, pool)
	if err := build(ctx, &d, p, pool, opts); err != nil {
		errs := []error{err}
		for _, c := range d.Closers {
			errs = append(errs, c.Close())
		}
		return nil, errors.Join(errs...)
	}
	return snapshot.Identify(ctx, d, opts)
}

// build fills the draft from the snapshot that is asked for.
func build(ctx context.Context, d *snapshot.Draft, p Place, pool *hostdir.Pool, opts snapshot.Options) error {
	r, err := p.open(ctx, opts)
	if err != nil {
		return err
	}
	list, err := headers(ctx, r)
	if err != nil {
		return err
	}
	cache := chunks.NewCache(r, chunks.DefaultLimit())
	d.Closers = append(d.Closers, cache)
	wanted, err := choose(r.Name(), list, opts.Select)
	if err != nil {
		return err
	}
	for i, h := range wanted[:min(len(wanted), maxTries)] {
		d.Checks = nil
		l := &layout{repo: r, cache: cache, draft: d, pool: pool, opts: opts}
		if lerr := l.snapshot(ctx, h); !errors.Is(lerr, errNone) {
			if i > 0 {
				note(d, snapshot.Warn, "newer snapshots hold no data directory: %s", some(wanted[:i]))
			}
			return lerr
		} else if err == nil {
			err = lerr // of the newest
		}
	}
	return err
}

// note adds what was opened to the draft's findings.
func note(d *snapshot.Draft, outcome snapshot.Outcome, format string, args ...any) {
	d.Checks = append(d.Checks, snapshot.Check{Name: "snapshot", Outcome: outcome, Detail: fmt.Sprintf(format, args...)})
}
