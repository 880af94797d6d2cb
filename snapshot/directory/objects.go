package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarindex"
	"github.com/snapview/snapview/snapshot/tarset"
)

// A data directory in a store that is far away is laid out as the members of a
// tar are: a list of names and sizes, of which each is an object.
//
// The names come from listing the store, which tells the versions too, so that
// opening costs a request for each thousand files or directory, and reading a
// file one. A store that cannot list is asked for what the manifest names.
// Stores have no empty directories and no links: the former are made when the
// server is prepared, and a tablespace is found where a copy that followed its
// link has put it, below pg_tblspc/<oid>.

const (
	manifestName = "backup_manifest"

	// listsAtOnce bounds the requests for lists under way.
	listsAtOnce = 16
	maxDepth    = 60

	// rcloneLink is what rclone --links names a file after that stands for a
	// link, whose target it holds.
	rcloneLink = ".rclonelink"
	maxLink    = 4096 // bytes of a target
)

// A Place is where a data directory lies that is copied file by file.
type Place struct {
	Store objects.Store
	Name  string // of the directory in the store

	// Tablespaces are directories in the store, by OID, beside those that the
	// data directory has itself.
	Tablespaces map[uint32]string

	// Unlisted says that the store cannot list.
	Unlisted bool

	// Counter is what the store's objects count their reads in.
	Counter *snapshot.Counter

	// Amend, if not nil, adds what a catalogue knows of the backup to the
	// draft before it is identified.
	Amend func(*snapshot.Draft) error
}

// OpenObjects opens a data directory in a store. ref is what a person calls it.
// The snapshot owns the store from then on, also when opening fails.
func OpenObjects(ctx context.Context, ref string, p Place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	pool := hostdir.NewPool(opts.MaxOpenFiles, p.Counter) // for directories that the options name
	d := &snapshot.Draft{Kind: snapshot.KindDirectory, Ref: ref, Counter: p.Counter, Closers: []io.Closer{p.Store, pool}}
	if err := buildObjects(ctx, d, p, pool, opts); err != nil {
		errs := []error{fmt.Errorf("%s: %w", ref, err)}
		for _, c := range slices.Backward(d.Closers) {
			errs = append(errs, c.Close())
		}
		return nil, errors.Join(errs...)
	}
	return snapshot.Identify(ctx, *d, opts)
}

func buildObjects(ctx context.Context, d *snapshot.Draft, p Place, pool *hostdir.Pool, opts snapshot.Options) error {
	l := &lister{ctx: ctx, store: p.Store}
	list := l.fromManifest
	if !p.Unlisted {
		if err := l.compare(path.Join(p.Name, "PG_VERSION")); err != nil {
			return err
		}
		list = l.list
	}
	set := tarset.Set{Tablespaces: map[uint32]tarset.Archive{}}
	var err error
	if set.Base, err = list(p.Name); err != nil {
		return err
	}
	for oid, name := range p.Tablespaces {
		if set.Tablespaces[oid], err = list(name); err != nil {
			return fmt.Errorf("tablespace %d: %w", oid, err)
		}
	}
	if err := tarset.Build(ctx, d, set, pool, opts); err != nil || p.Amend == nil {
		return err
	}
	return p.Amend(d)
}

// A lister makes archives of directories.
type lister struct {
	ctx     context.Context
	store   objects.Store
	trusted bool // lists tell the versions that opening tells
}

// compare opens a file and looks whether the store's list tells of the same
// version: some stores have other tags there.
func (l *lister) compare(name string) error {
	f, err := l.store.Open(l.ctx, name)
	if err != nil {
		return err
	}
	list, err := l.store.List(l.ctx, path.Dir(name))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(e objects.Entry) bool { return e.Name == path.Base(name) })
	if i < 0 || list[i].Tag == "" {
		return nil
	}
	listed, err := objects.Found(l.ctx, l.store, name, list[i])
	if err != nil {
		return err
	}
	a, ok1 := f.(objects.Versioned)
	b, ok2 := listed.(objects.Versioned)
	if !ok1 || !ok2 {
		return nil
	}
	v, known := a.Version()
	w, _ := b.Version()
	l.trusted = known && v == w
	return nil
}

// A listing collects a directory's files.
type listing struct {
	*lister
	root string

	mu    sync.Mutex
	files []*far
}

// list walks a directory in the store.
func (l *lister) list(dir string) (tarset.Archive, error) {
	w := &listing{lister: l, root: dir}
	level := []string{"."}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return tarset.Archive{}, snapshot.Errorf(snapshot.ErrUnsafe, "directories nested %d deep", depth)
		}
		var err error
		if level, err = w.level(level); err != nil {
			return tarset.Archive{}, err
		}
	}
	return w.archive()
}

// level lists directories, several at once, and returns those below them.
func (w *listing) level(dirs []string) (below []string, err error) {
	var lists errgroup.Group
	lists.SetLimit(listsAtOnce)
	for _, dir := range dirs {
		lists.Go(func() error {
			entries, err := w.store.List(w.ctx, path.Join(w.root, dir))
			if err != nil && (dir == "." || !errors.Is(err, fs.ErrNotExist)) {
				return err
			}
			// Some stores name an empty directory, but have nothing by its name.
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.files)+len(entries) > snapshot.MaxFiles {
				return snapshot.Errorf(snapshot.ErrUnsafe, "more than %d files", snapshot.MaxFiles)
			}
			for _, e := range entries {
				name := path.Join(dir, e.Name)
				if e.Dir {
					below = append(below, name)
				}
				e.Name = name
				w.files = append(w.files, &far{lister: w.lister, path: path.Join(w.root, name), Entry: e})
			}
			return nil
		})
	}
	return below, lists.Wait()
}

// archive makes members of the files, in the order of their names: files of one
// relation are behind each other.
func (w *listing) archive() (tarset.Archive, error) {
	slices.SortFunc(w.files, func(a, b *far) int { return cmp.Compare(a.Name, b.Name) })
	a := tarset.Archive{Name: path.Join(w.store.String(), w.root), Members: make([]tarindex.Member, 0, len(w.files))}
	for i, f := range w.files {
		m := tarindex.Member{Name: f.Name, Type: tarindex.File, Size: f.Size, Perm: 0o600, ModTime: f.Changed, Header: int64(i)}
		switch name, link := strings.CutSuffix(f.Name, rcloneLink); {
		case f.Dir:
			m.Type, m.Perm = tarindex.Dir, 0o700
		case link && f.Size > 0 && f.Size <= maxLink:
			target := make([]byte, f.Size)
			if _, err := f.ReadAt(target, 0); err != nil && !errors.Is(err, io.EOF) {
				return a, err
			}
			m.Name, m.Type, m.Size, m.Link = name, tarindex.Symlink, 0, string(target)
		}
		a.Members = append(a.Members, m)
	}
	a.Content = func(m *tarindex.Member) snapshot.Content { return w.files[m.Header] }
	return a, nil
}

// A far is a file in the store, opened when it is first read.
type far struct {
	*lister
	objects.Entry
	path string

	mu  sync.Mutex
	obj objects.Object
}

func (f *far) open() (objects.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.obj != nil {
		return f.obj, nil
	}
	ctx := context.WithoutCancel(f.ctx) // of opening the backup, which ends before
	open := func() (objects.Object, error) { return f.store.Open(ctx, f.path) }
	if f.trusted {
		open = func() (objects.Object, error) { return objects.Found(ctx, f.store, f.path, f.Entry) }
	}
	obj, err := open()
	if err != nil {
		return nil, err
	}
	if obj.Size() != f.Size {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s/%s has %d bytes, and had %d when the backup was opened: it was replaced", f.store, f.path, obj.Size(), f.Size)
	}
	f.obj = obj
	return obj, nil
}

// ReadAt implements snapshot.Content.
func (f *far) ReadAt(p []byte, off int64) (int, error) {
	obj, err := f.open()
	if err != nil {
		return 0, err
	}
	return obj.ReadAt(p, off)
}

// Prefetch passes the hint on, unless that would cost a request by itself.
func (f *far) Prefetch(off, n int64) {
	f.mu.Lock()
	obj := f.obj
	f.mu.Unlock()
	if obj == nil && f.trusted {
		obj, _ = f.open()
	}
	if obj != nil {
		obj.Prefetch(off, n)
	}
}
