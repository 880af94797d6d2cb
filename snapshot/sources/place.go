package sources

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/chunks"
	"github.com/snapview/snapview/snapshot/objects/mounted"
)

const (
	// openPatience is how long a store is waited for until the backup is open:
	// a person is looking, and the address may be wrong.
	openPatience = 10 * time.Second

	// headSize is how much of a file is read to recognise its kind, in bytes.
	headSize = 2048
)

// An opening is the state of one Open or List: the stores that are looked at.
type opening struct {
	ctx     context.Context
	opts    snapshot.Options
	counter *snapshot.Counter // of all bytes read from its stores
	parts   bool              // what is opened are parts of a chain, which counts for all

	mu     sync.Mutex // guards stores
	stores map[string]*holding
}

// A holding is a store that the opening has a handle of.
type holding struct {
	*objects.Shared
	far  *chunks.Store // nil for a directory of this host
	stop func() bool   // ends aborting with the context
}

func newOpening(ctx context.Context, opts snapshot.Options) *opening {
	return &opening{ctx: ctx, opts: opts, counter: &snapshot.Counter{}, stores: map[string]*holding{}}
}

// end gives the opening's handles back. What was opened stays open if all went
// well and the context is not done.
func (o *opening) end(s *snapshot.Snapshot, err error) (*snapshot.Snapshot, error) {
	errs := []error{err}
	for _, h := range o.stores {
		if h.far != nil {
			h.stop()
			h.far.SetPatience(0)
		}
		errs = append(errs, h.Close())
	}
	if err = errors.Join(errs...); err == nil {
		err = o.ctx.Err()
	}
	if err == nil {
		return s, nil
	}
	if s != nil {
		err = errors.Join(err, s.Close())
	}
	return nil, cmp.Or(o.ctx.Err(), err)
}

// far returns the store of an address.
func (o *opening) far(l located) (*holding, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h := o.stores[l.root]; h != nil {
		return h, nil
	}
	store, err := l.open(o.counter)
	if err != nil {
		return nil, err
	}
	co := chunks.OptionsOf(o.opts)
	co.Patience = openPatience
	h := &holding{far: chunks.New(store, co)}
	h.Shared = objects.Share(h.far)
	// Reads know no context: a store that is waited for is let go of.
	h.stop = context.AfterFunc(o.ctx, h.far.Abort)
	o.stores[l.root] = h
	return h, nil
}

// near returns a directory of this host as a store.
func (o *opening) near(dir string) (*holding, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h := o.stores[dir]; h != nil {
		return h, nil
	}
	store, err := mounted.OpenLocal(dir, o.opts, o.counter)
	if err != nil {
		return nil, err
	}
	h := &holding{Shared: objects.Share(store)}
	o.stores[dir] = h
	return h, nil
}

// A place is where something lies that may be a backup: a file or a folder in
// a store.
type place struct {
	o       *opening
	ref     string // as it may be shown; of this host, the path
	store   *holding
	name    string // "." is the store itself
	folder  bool
	probed  bool // the store cannot list: entries are what was asked for by name
	entries []objects.Entry
	names   map[string]bool // of the entries, with a slash after directories
	head    []byte          // of the file
}

// local reports whether the place is on this host.
func (p *place) local() bool { return p.store.far == nil }

// find finds the place of a reference and looks at what it is. selected is the
// name of a snapshot that the reference ends with.
func (o *opening) find(ref string) (p *place, selected string, err error) {
	p = &place{o: o}
	if !isAddress(ref) {
		p.ref, selected = SplitRef(ref)
		if err := p.findHere(); err != nil {
			return nil, "", err
		}
		return p, selected, p.look()
	}
	p.ref, _ = splitAddress(Redact(ref))
	address, selected := splitAddress(ref)
	l, err := locate(address)
	if err != nil {
		return nil, "", err
	}
	if p.store, err = o.far(l); err != nil {
		return nil, "", err
	}
	p.name = l.name
	if l.folder {
		return p, selected, p.lookInside()
	}
	return p, selected, p.look()
}

// findHere finds the store of a path on this host. A folder is a store of its
// own, for it may be mounted.
func (p *place) findHere() error {
	at, err := resolve(p.ref)
	if err != nil {
		return notHere(p.ref, err)
	}
	p.name = "."
	if info, err := os.Lstat(at); err != nil {
		return err
	} else if !info.IsDir() {
		at, p.name = filepath.Split(at)
	}
	p.store, err = p.o.near(filepath.Clean(at))
	return err
}

// look finds out whether the name is a file or a folder, and what is in it.
func (p *place) look() error {
	if p.name != "." {
		f, err := p.store.Open(p.o.ctx, p.name)
		if err == nil {
			p.head = make([]byte, min(f.Size(), headSize))
			if _, err := f.ReadAt(p.head, 0); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		}
		if p.local() || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return p.lookInside()
}

// lookInside takes the name for a folder.
func (p *place) lookInside() error {
	p.folder = true
	list, err := p.store.List(p.o.ctx, p.name)
	if errors.Is(err, errors.ErrUnsupported) {
		p.probed = true
		list, err = p.probe()
	}
	if err != nil {
		return err
	}
	p.entries, p.names = list, map[string]bool{}
	for _, e := range list {
		if e.Dir {
			e.Name += "/"
		}
		p.names[e.Name] = true
	}
	return nil
}

// below returns the place of a name in a folder. It was not looked at.
func (p *place) below(name string) *place {
	sub := &place{o: p.o, store: p.store, name: path.Join(p.name, name)}
	if p.local() {
		sub.ref = filepath.Join(p.ref, name)
		return sub
	}
	here, query, more := strings.Cut(p.ref, "?")
	if sub.ref = strings.TrimSuffix(here, "/") + "/" + name; more {
		sub.ref += "?" + query
	}
	return sub
}

// parent returns the folder that the place lies in, nil if that is out of
// reach.
func (p *place) parent() (*place, error) {
	if p.name == "." && !p.local() {
		return nil, nil
	}
	up := &place{o: p.o, store: p.store, name: path.Dir(p.name)}
	if !p.local() {
		here, query, more := strings.Cut(p.ref, "?")
		if up.ref = strings.TrimSuffix(here, "/"+path.Base(p.name)); more {
			up.ref += "?" + query
		}
		return up, up.lookInside()
	}
	at, err := resolve(p.ref)
	if err != nil {
		return nil, err
	}
	up.ref, up.name = filepath.Dir(at), "."
	if up.store, err = p.o.near(up.ref); err != nil {
		return nil, err
	}
	return up, up.lookInside()
}

// told is a store that cannot list, with the names in one folder that were
// found by asking for them.
type told struct {
	*objects.Shared
	p *place
}

func (t told) List(ctx context.Context, dir string) ([]objects.Entry, error) {
	if dir == t.p.name {
		return t.p.entries, nil
	}
	return t.Shared.List(ctx, dir)
}

// counter is what a snapshot counts as its own: of those that share stores only
// one may have them counted.
func (p *place) counter() *snapshot.Counter {
	if p.o.parts {
		return &snapshot.Counter{}
	}
	return p.o.counter
}

// view returns the store as sources are to see it. It is not theirs to close.
func (p *place) view() objects.Store {
	if p.probed {
		return told{p.store.Shared, p}
	}
	return p.store.Shared
}

// take returns the same with a handle of its own, which must be closed.
func (p *place) take() objects.Store {
	if p.probed {
		return told{p.store.Again(), p}
	}
	return p.store.Again()
}

// begins returns the first bytes of a file in the folder, none if it cannot be
// read.
func (p *place) begins(name string) []byte {
	f, err := p.store.Open(p.o.ctx, path.Join(p.name, name))
	if err != nil {
		return nil
	}
	head := make([]byte, min(f.Size(), headSize))
	n, _ := f.ReadAt(head, 0)
	return head[:n]
}
