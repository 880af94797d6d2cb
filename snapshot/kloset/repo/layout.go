package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/objects"
)

const (
	stateReaders = 8       // states read at once
	maxStates    = 1 << 20 // one for each backup
)

// directory is a store of many files:
//
//	CONFIG, states/<2 digits>/<64 digits>, packfiles/<2>/<64>, locks/
type directory struct {
	store objects.Store
	dir   string

	mu    sync.Mutex
	packs map[format.MAC]*packRef
}

func (d *directory) config(ctx context.Context) ([]byte, error) {
	o, err := d.store.Open(ctx, path.Join(d.dir, "CONFIG"))
	if err != nil {
		return nil, err
	}
	if o.Size() > format.MaxConfig {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "CONFIG has %d bytes", o.Size())
	}
	return section{o, 0, o.Size()}.read(0, o.Size())
}

func (d *directory) states(ctx context.Context, each func(format.MAC, []byte) error) error {
	names, err := d.stateNames(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(stateReaders)
	for _, m := range names {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			o, err := d.store.Open(ctx, d.file("states", m))
			if errors.Is(err, fs.ErrNotExist) {
				return nil // merged into another one meanwhile
			}
			if err != nil {
				return err
			}
			if o.Size() > maxState {
				return snapshot.Errorf(snapshot.ErrUnsupported, "state %s has %d bytes", m.Short(), o.Size())
			}
			b, err := section{o, 0, o.Size()}.read(0, o.Size())
			if err != nil {
				return fmt.Errorf("state %s: %w", m.Short(), err)
			}
			mu.Lock()
			defer mu.Unlock()
			return each(m, b)
		})
	}
	return g.Wait()
}

// stateNames lists the states. What is not named like one is none.
func (d *directory) stateNames(ctx context.Context) (names []format.MAC, err error) {
	root := path.Join(d.dir, "states")
	dirs, err := d.store.List(ctx, root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "the store has no folder states: %w", err)
	}
	if err != nil {
		return nil, err
	}
	for _, sub := range dirs {
		if !sub.Dir || len(sub.Name) != 2 {
			continue
		}
		files, err := d.store.List(ctx, path.Join(root, sub.Name))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if m, ok := format.ParseMAC(f.Name); ok && !f.Dir {
				names = append(names, m)
			}
		}
		if len(names) > maxStates {
			return nil, snapshot.Errorf(snapshot.ErrUnsupported, "more than %d states", maxStates)
		}
	}
	return names, nil
}

func (d *directory) file(kind string, m format.MAC) string {
	s := m.String()
	return path.Join(d.dir, kind, s[:2], s)
}

func (d *directory) packfile(ctx context.Context, m format.MAC) (section, error) {
	d.mu.Lock()
	ref := d.packs[m]
	if ref == nil {
		ref = &packRef{}
		d.packs[m] = ref
	}
	d.mu.Unlock()
	ref.Lock()
	defer ref.Unlock()
	if ref.section.Object != nil {
		return ref.section, nil
	}
	o, err := d.store.Open(ctx, d.file("packfiles", m))
	if errors.Is(err, fs.ErrNotExist) {
		// Not wrapped: it is not the file that is read that does not exist.
		return section{}, snapshot.Errorf(snapshot.ErrDamaged, "the packfile is missing from the store: %v", err)
	}
	if err != nil {
		return section{}, err
	}
	if o.Size() < format.HeaderSize+format.FooterSize {
		return section{}, snapshot.Errorf(snapshot.ErrDamaged, "the packfile has %d bytes: it was cut short", o.Size())
	}
	ref.section = section{o, format.HeaderSize, o.Size() - format.HeaderSize - format.FooterSize}
	return ref.section, nil
}

// ptar is a store in one file. It has one packfile, whatever the state calls
// it.
type ptar struct {
	object objects.Object
	parts  format.Parts
}

func openPtar(o objects.Object) (*ptar, error) {
	if o.Size() < format.TrailerSize {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "a file of %d bytes is no .ptar", o.Size())
	}
	var head [12]byte
	if _, err := o.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	trailer, err := section{o, 0, o.Size()}.read(o.Size()-format.TrailerSize, format.TrailerSize)
	if err != nil {
		return nil, err
	}
	p := &ptar{object: o}
	p.parts, err = format.ParsePtar(head[:], trailer, o.Size())
	return p, err
}

func (p *ptar) part(at format.Part, most int64) ([]byte, error) {
	if at.Len > most {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "a part of %d bytes", at.Len)
	}
	return section{p.object, at.Off, at.Len}.read(0, at.Len)
}

func (p *ptar) config(context.Context) ([]byte, error) {
	return p.part(p.parts.Config, format.MaxConfig)
}

func (p *ptar) states(_ context.Context, each func(format.MAC, []byte) error) error {
	b, err := p.part(p.parts.State, maxState)
	if err != nil {
		return err
	}
	return each(format.MAC{}, b)
}

func (p *ptar) packfile(context.Context, format.MAC) (section, error) {
	at := p.parts.Packfile
	return section{p.object, at.Off + format.HeaderSize, at.Len - format.HeaderSize - format.FooterSize}, nil
}
