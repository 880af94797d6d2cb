// Package repo reads a Kloset store: a folder of states and packfiles, or a
// single .ptar with one of each.
//
// Opening it reads the configuration, derives the key of an encrypted store,
// and reads the states; packfiles are read where a blob is asked for. The MAC
// of every blob is checked, which plakar itself does only for "check". No lock
// is taken and nothing is written.
package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/codec"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/state"
	"github.com/snapview/snapview/snapshot/objects"
)

// A Repo is an open store. It may be used concurrently. It holds nothing that
// would have to be closed but its objects, which the store closes.
type Repo struct {
	Config *format.Config

	name   string
	codec  *codec.Codec
	hasher *format.Hasher
	index  *state.Index
	layout layout
}

// layout is how a store keeps its files.
type layout interface {
	config(ctx context.Context) ([]byte, error)
	// states gives the raw states; each is called from one goroutine at a
	// time.
	states(ctx context.Context, each func(format.MAC, []byte) error) error
	// packfile gives the bytes of a packfile after its header.
	packfile(ctx context.Context, m format.MAC) (section, error)
}

// A section is a run of an object's bytes.
type section struct {
	objects.Object
	off, size int64
}

// read reads n bytes at off of the section.
func (s section) read(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > s.size || n > s.size-off {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%d bytes at %d are asked for, the packfile has %d: it was cut short", n, off, s.size)
	}
	b := make([]byte, n)
	k, err := s.ReadAt(b, s.off+off)
	if int64(k) == n {
		return b, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "the store ends at %d bytes of %d", k, n)
	}
	return nil, err
}

// Options of opening a store.
type Options struct {
	// Passphrase is that of snapshot.Options.
	Passphrase func(what string) ([]byte, error)
}

// Open opens the store in a folder of an object store, "." for its root.
func Open(ctx context.Context, store objects.Store, folder string, opts Options) (*Repo, error) {
	name := store.String()
	if folder != "." {
		name += "/" + folder
	}
	return open(ctx, name, &directory{store: store, dir: folder, packs: map[format.MAC]*packRef{}}, opts)
}

// OpenArchive opens the .ptar of that name in an object store.
func OpenArchive(ctx context.Context, store objects.Store, file string, opts Options) (*Repo, error) {
	name := path.Join(store.String(), file)
	o, err := store.Open(ctx, file)
	if err != nil {
		return nil, err
	}
	l, err := openPtar(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return open(ctx, name, l, opts)
}

func open(ctx context.Context, name string, l layout, opts Options) (*Repo, error) {
	raw, err := l.config(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: no CONFIG: not a Kloset store: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &Repo{name: name, layout: l, index: state.NewIndex()}
	if r.Config, err = parseConfig(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var key []byte
	if r.Config.Encryption != nil {
		if opts.Passphrase == nil {
			return nil, snapshot.Errorf(snapshot.ErrPassphrase, "%s is encrypted and needs its passphrase: %s", name, how)
		}
		passphrase, err := opts.Passphrase(name)
		if err != nil {
			return nil, err // it names the store
		}
		if key, err = deriveKey(r.Config.Encryption, passphrase); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := r.unlock(raw, key); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := r.readStates(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// how a passphrase is given.
const how = "give it with --passphrase-file FILE or in SNAPVIEW_PASSPHRASE"

// parseConfig reads CONFIG. What its MAC is made with stands inside: unlock
// checks it.
func parseConfig(raw []byte) (*format.Config, error) {
	if _, err := format.ParseHeader(raw, format.TypeConfig); err != nil {
		return nil, err
	}
	if len(raw) < format.HeaderSize+format.FooterSize {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "a configuration of %d bytes", len(raw))
	}
	return format.ParseConfig(raw[format.HeaderSize : len(raw)-format.FooterSize])
}

// deriveKey makes the store's key from the passphrase.
func deriveKey(e *format.Encryption, passphrase []byte) ([]byte, error) {
	key, err := codec.DeriveKey(&e.KDF, passphrase)
	if err != nil {
		return nil, err
	}
	right, err := codec.RightKey(e, key)
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, snapshot.Errorf(snapshot.ErrPassphrase, "the passphrase is wrong (or CONFIG is damaged): %s", how)
	}
	return key, nil
}

// unlock checks CONFIG's MAC and makes what reads blobs; key is nil for a store
// in plain text.
func (r *Repo) unlock(raw, key []byte) error {
	h, err := format.ConfigHash(key)
	if err != nil {
		return err
	}
	if _, _, err := format.Unwrap(raw, format.TypeConfig, h); err != nil {
		return err
	}
	if r.hasher, err = format.NewHasher(r.Config.Hashing, key, r.Config.Repository); err != nil {
		return err
	}
	r.codec, err = codec.New(r.Config, key)
	return err
}

// Bounds on the states of a store: an entry of 90 bytes for each blob, about
// one blob for each MiB of data and three for each file.
const (
	maxState     = 1 << 30 // bytes of one, and of all together, as stored
	maxStateRead = 8 << 30 // bytes of one when decoded
)

// readStates reads all states and applies them in their order.
func (r *Repo) readStates(ctx context.Context) error {
	type stored struct {
		content []byte
		version format.Version
	}
	all, parents, total := map[format.MAC]stored{}, map[format.MAC]format.MAC{}, 0
	err := r.layout.states(ctx, func(m format.MAC, raw []byte) error {
		if total += len(raw); total > maxState {
			return snapshot.Errorf(snapshot.ErrUnsupported, "the states of the store have more than %d bytes together", maxState)
		}
		content, v, err := format.Unwrap(raw, format.TypeState, r.hasher.New())
		if err == nil {
			parents[m], err = r.parent(content, v)
		}
		if err != nil {
			return fmt.Errorf("state %s: %w", m.Short(), err)
		}
		all[m] = stored{content, v}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range state.Order(parents) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.apply(all[m].content, all[m].version); err != nil {
			return fmt.Errorf("state %s: %w", m.Short(), err)
		}
		delete(all, m)
	}
	return nil
}

func (r *Repo) parent(content []byte, v format.Version) (format.MAC, error) {
	s, err := r.codec.Stream(content)
	if err != nil {
		return format.MAC{}, err
	}
	m, err := state.Parent(s, v)
	return m, errors.Join(err, s.Close())
}

func (r *Repo) apply(content []byte, v format.Version) error {
	s, err := r.codec.Stream(content)
	if err != nil {
		return err
	}
	err = r.index.Apply(io.LimitReader(s, maxStateRead), v)
	return errors.Join(err, s.Close())
}

// Name returns what the store is called in errors.
func (r *Repo) Name() string { return r.name }

// Snapshots returns the names of the store's snapshots, in no order.
func (r *Repo) Snapshots() []format.MAC { return r.index.Snapshots() }

// Order returns a number that grows with the place of a blob in the store, -1
// if the store does not have it.
func (r *Repo) Order(t format.Type, m format.MAC) int64 { return r.index.Order(t, m) }

// packRef opens a packfile once.
type packRef struct {
	sync.Mutex
	section section
}
