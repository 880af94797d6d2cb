package chunks

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/snapview/snapview/snapshot/objects"
)

const (
	chunkSize = 64 << 10
	around    = 4  // chunks fetched for a single read, aligned
	maxRun    = 16 // chunks in one request

	requests = 16 // at once, for readers that wait
	aheads   = 16 // at once, for what is read ahead

	// defaultStall is how long a request may take for its next chunk.
	defaultStall = 30 * time.Second
	// slow is after which time a reader is told that it waits.
	slow = 5 * time.Second
	// look is how often what waits looks whether it still may.
	look = time.Second
)

// Defaults of Options.
const (
	DefaultMemory   = 96 << 20
	DefaultPatience = 4 * time.Minute // the kernel's NBD client waits for 5
)

// Options say how much is kept and for how long a store is waited for. The
// zero value keeps chunks in memory only.
type Options struct {
	Memory int64  // bytes; 0 for the default
	Dir    string // directory of the cache on disk; empty for none
	Disk   int64  // its limit in bytes

	// Patience is how long a read or an Open waits for a store that does
	// not answer; 0 for the default.
	Patience time.Duration

	// Notice, if not nil, is told when reading waits for the store and when
	// it goes on. It is called from any goroutine.
	Notice func(message string)
}

// A Store is another one behind a cache.
type Store struct {
	inner    objects.Store
	patience atomic.Int64 // time.Duration
	stall    atomic.Int64 // time.Duration: how long a request may take for its next chunk
	outage   outage
	disk     *disk // nil: none
	ctx      context.Context
	cancel   context.CancelFunc
	requests chan struct{}
	aheads   chan struct{}

	mu      sync.Mutex // guards the following; nothing is waited for under it
	closed  bool
	busy    sync.WaitGroup // reads and requests under way; added to only while not closed
	memory  *simplelru.LRU[key, []byte]
	flights map[key]*flight
	ids     map[[sha256.Size]byte]int64
}

var _ objects.Store = (*Store)(nil)

// A key is a chunk of an object's version.
type key struct {
	id int64
	n  int64
}

// A flight is a chunk that is being fetched.
type flight struct {
	done chan struct{}
	data []byte // valid when done is closed, unless err is set
	err  error
}

// New returns the store behind a cache. It owns the store from then on.
func New(inner objects.Store, opts Options) *Store {
	if opts.Memory <= 0 {
		opts.Memory = DefaultMemory
	}
	s := &Store{
		inner: inner, outage: outage{name: inner.String(), notice: opts.Notice},
		requests: make(chan struct{}, requests), aheads: make(chan struct{}, aheads),
		flights: map[key]*flight{}, ids: map[[sha256.Size]byte]int64{},
	}
	s.SetPatience(opts.Patience)
	s.stall.Store(int64(defaultStall))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.memory, _ = simplelru.NewLRU[key, []byte](max(int(opts.Memory/chunkSize), 2*maxRun), nil) // fails only for sizes < 1
	if opts.Dir != "" && opts.Disk > 0 {
		s.disk = &disk{dir: opts.Dir, limit: opts.Disk, notice: opts.Notice}
	}
	return s
}

// SetPatience changes how long is waited for the store; 0 for the default.
func (s *Store) SetPatience(d time.Duration) {
	if d <= 0 {
		d = DefaultPatience
	}
	s.patience.Store(int64(d))
}

// Hurry gives up waiting for a store that does not answer, as soon as the
// request that is under way has ended or a second is over.
func (s *Store) Hurry() {
	s.SetPatience(time.Millisecond)
	s.stall.Store(int64(time.Second))
}

// Abort ends what waits for the store, now and later; Close must follow.
func (s *Store) Abort() { s.cancel() }

// String implements objects.Store.
func (s *Store) String() string { return s.inner.String() }

// enter begins a use of the store; false if it is closed. leave must follow.
func (s *Store) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.busy.Add(1)
	return true
}

func (s *Store) leave() { s.busy.Done() }

// Close implements objects.Store. Reads that wait for the store fail.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.busy.Wait()
	s.mu.Lock()
	s.memory.Purge()
	s.mu.Unlock()
	return s.inner.Close()
}

// identity tells a store from others of the same name.
func (s *Store) identity() string {
	if i, ok := s.inner.(interface{ Identity() string }); ok {
		return i.Identity()
	}
	return s.inner.String()
}

// Open implements objects.Store.
func (s *Store) Open(ctx context.Context, name string) (objects.Object, error) {
	if !s.enter() {
		return nil, os.ErrClosed
	}
	defer s.leave()
	var in objects.Object
	err := s.retry(ctx, func(ctx context.Context) (err error) {
		in, err = s.inner.Open(ctx, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.Behind(name, in), nil
}

// Found is what objects.Found asks for.
func (s *Store) Found(ctx context.Context, name string, e objects.Entry) (objects.Object, error) {
	if !s.enter() {
		return nil, os.ErrClosed
	}
	defer s.leave()
	in, err := objects.Found(ctx, s.inner, name, e)
	if err != nil {
		return nil, err
	}
	return s.Behind(name, in), nil
}

// Behind returns an object of the inner store, or one that is kept as if it
// were its, behind the cache. The name is part of what its chunks are kept by.
func (s *Store) Behind(name string, in objects.Object) objects.Object {
	o := &object{store: s, in: in, size: in.Size(), name: s.String() + "/" + name}
	tag := ""
	if r, ok := in.(objects.Ranged); ok {
		o.ranged, tag = r, r.Tag()
	} else if !in.Changed().IsZero() {
		tag = in.Changed().Format(time.RFC3339Nano)
	}
	if n, ok := in.(fmt.Stringer); ok {
		o.name = n.String()
	}
	if tag != "" {
		o.disk, o.tagged = s.disk, true
	} else {
		tag = fmt.Sprintf("%p", o) // another version could not be told from this one
	}
	o.version = sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s", s.identity(), name, o.size, tag))
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.ids[o.version]
	if !ok {
		id = int64(len(s.ids))
		s.ids[o.version] = id
	}
	o.id = id
	return o
}

// List implements objects.Store.
func (s *Store) List(ctx context.Context, dir string) (list []objects.Entry, err error) {
	if !s.enter() {
		return nil, os.ErrClosed
	}
	defer s.leave()
	err = s.retry(ctx, func(ctx context.Context) error {
		list, err = s.inner.List(ctx, dir)
		return err
	})
	return list, err
}
