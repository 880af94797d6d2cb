package sources

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/kloset"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/chunks"
	"github.com/snapview/snapview/snapshot/objects/s3"
	"github.com/snapview/snapview/snapshot/objects/web"
	"github.com/snapview/snapview/snapshot/tarball"
)

// openPatience is how long a store is waited for until the backup is open: a
// person is looking, and the address may be wrong.
const openPatience = 10 * time.Second

// A remote is a backup's place in a store that is reached by an address.
type remote struct {
	ref     string // as it may be shown
	store   *chunks.Store
	from    objects.Store // store, or what stands before it; sources read it
	name    string        // "." is the store itself
	folder  bool
	names   map[string]bool // in the folder, with a slash after directories
	head    []byte          // of the file
	counter *snapshot.Counter
}

// A remoteKind is what may lie at an address. is says so by content; open
// takes the store over, list leaves it open.
type remoteKind struct {
	is   func(r *remote) bool
	open func(ctx context.Context, r *remote, opts snapshot.Options) (*snapshot.Snapshot, error)
	list func(ctx context.Context, r *remote, opts snapshot.Options) ([]snapshot.Listing, error)
}

// remoteKinds are tried in this order.
var remoteKinds = []remoteKind{
	{isTars, openTars, listTars},
	{isRemotePgBackRest, openRemotePgBackRest, listRemotePgBackRest},
	{
		func(r *remote) bool { return r.names["CONFIG"] && r.names["states/"] || kloset.IsPtar(r.head) },
		func(ctx context.Context, r *remote, opts snapshot.Options) (*snapshot.Snapshot, error) {
			return kloset.OpenStore(ctx, r.ref, r.kloset(), opts)
		},
		func(ctx context.Context, r *remote, opts snapshot.Options) ([]snapshot.Listing, error) {
			return kloset.ListPlace(ctx, r.ref, r.kloset(), opts)
		},
	},
}

func (r *remote) kloset() kloset.Place {
	return kloset.Place{Store: r.from, Name: r.name, Folder: r.folder, Counter: r.counter}
}

// Redact returns a reference as it may be shown and recorded: without the
// password and the signature that an address may have in it.
func Redact(ref string) string {
	if !isAddress(ref) {
		return ref
	}
	place, selected := splitAddress(ref)
	if strings.HasPrefix(place, "s3://") && !strings.Contains(place, "@") {
		return ref // its parameters are no secrets
	}
	if selected != "" {
		return web.Redact(place) + "#" + selected
	}
	return web.Redact(place)
}

// splitAddress takes the name of a snapshot off an address.
func splitAddress(ref string) (place, selected string) {
	place, selected, _ = strings.Cut(ref, "#")
	return place, selected
}

// openRemote opens the backup at an address.
func openRemote(ctx context.Context, address string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	shown := Redact(address)
	address, selected := splitAddress(address)
	if selected != "" {
		opts.Select = selected
	}
	r, err := find(ctx, address, opts)
	if err != nil {
		return nil, err
	}
	r.ref = shown
	// Reads know no context: a store that is waited for is let go of.
	stop := context.AfterFunc(ctx, r.store.Abort)
	s, err := r.open(ctx, opts)
	if !stop() && err == nil {
		err = errors.Join(ctx.Err(), s.Close())
	}
	if cerr := ctx.Err(); err != nil && cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, err
	}
	r.store.SetPatience(0)
	return s, nil
}

// open hands the place to the source that knows it, and closes the store if
// there is none.
func (r *remote) open(ctx context.Context, opts snapshot.Options) (*snapshot.Snapshot, error) {
	err := r.look(ctx)
	if err != nil {
		return nil, errors.Join(err, r.store.Close())
	}
	for _, k := range remoteKinds {
		if k.is(r) {
			return k.open(ctx, r, opts)
		}
	}
	return nil, errors.Join(r.nothing(), r.store.Close())
}

// find opens the store of an address.
func find(ctx context.Context, address string, opts snapshot.Options) (*remote, error) {
	r := &remote{counter: &snapshot.Counter{}}
	scheme, _, _ := strings.Cut(address, "://")
	var store objects.Store
	switch scheme {
	case "s3":
		at, err := s3.Parse(address)
		if err != nil {
			return nil, err
		}
		r.name = "."
		if at.Key != "" && !strings.HasSuffix(address, "/") {
			at.Key, r.name = path.Split(at.Key)
			at.Key = strings.TrimSuffix(at.Key, "/")
		}
		if store, err = s3.Open(at, r.counter); err != nil {
			return nil, err
		}
	case "http", "https":
		folder, name, err := web.Split(address)
		if err != nil {
			return nil, err
		}
		r.name = name
		if store, err = web.Open(folder, r.counter); err != nil {
			return nil, err
		}
	default:
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "%s: this build opens s3:// and https:// addresses, not %s://; mount the store (rclone, s3fs) or copy the backup here", Redact(address), scheme)
	}
	co := chunks.OptionsOf(opts)
	co.Patience = openPatience
	r.store = chunks.New(store, co)
	r.from = r.store
	return r, nil
}

// look finds out whether the name is a file or a folder, and what is in it.
func (r *remote) look(ctx context.Context) error {
	if r.name != "." {
		f, err := r.store.Open(ctx, r.name)
		if err == nil {
			r.head = make([]byte, min(f.Size(), headSize))
			if _, err := f.ReadAt(r.head, 0); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return r.lookInside(ctx)
}

// lookInside takes the name for a folder.
func (r *remote) lookInside(ctx context.Context) error {
	r.folder = true
	list, err := r.store.List(ctx, r.name)
	if errors.Is(err, errors.ErrUnsupported) {
		var p *probed
		if p, err = r.probe(ctx); err == nil {
			r.from, list = p, p.list
		}
	}
	if err != nil {
		return err
	}
	r.names = map[string]bool{}
	for _, e := range list {
		if e.Dir {
			e.Name += "/"
		}
		r.names[e.Name] = true
	}
	return nil
}

func isTars(r *remote) bool {
	if !r.folder {
		return tarball.IsTar(r.head) || compressed.Codec(r.head) != ""
	}
	for name := range r.names {
		if role, ok := compressed.TarName(name); ok && role == "base" {
			return true
		}
	}
	return false
}

func openTars(ctx context.Context, r *remote, opts snapshot.Options) (*snapshot.Snapshot, error) {
	return compressed.OpenStore(ctx, r.ref, compressed.Place{Store: r.from, Name: r.name, Folder: r.folder, Counter: r.counter}, opts)
}

// nothing says what lies there instead of a backup that can be opened.
func (r *remote) nothing() error {
	if !r.folder {
		for _, m := range magics {
			if len(r.head) >= m.off+len(m.text) && string(r.head[m.off:m.off+len(m.text)]) == m.text {
				return snapshot.Errorf(snapshot.ErrUnsupported, "%s is %s", r.ref, m.what)
			}
		}
		return snapshot.Errorf(snapshot.ErrNotABackup, "%s: an object that is no tar and none of the kinds known", r.ref)
	}
	if r.names["PG_VERSION"] {
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s is a data directory, file by file: from an object store this build opens tars and repositories; copy it here, or mount the bucket and open that", r.ref)
	}
	return snapshot.Errorf(snapshot.ErrNotABackup, "%s: nothing among its %d names looks like a PostgreSQL backup: no base.tar (pg_basebackup -Ft), no repository; snapview ls tells what lies deeper", r.ref, len(r.names))
}
