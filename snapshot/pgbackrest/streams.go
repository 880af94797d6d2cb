package pgbackrest

import (
	"errors"
	"os"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
)

const (
	// maxStreams is how many large files are open at once: each has a file
	// in the cache, some decoded frames and, while it is not whole, a decoder.
	maxStreams = 64

	// worthKeeping is how much of a file must have been decoded to be kept
	// when it is closed before its end, in bytes.
	worthKeeping = 16 << 20
)

// streams are the large files that are open. Those used least recently are
// closed; what was decoded of them stays in the cache.
type streams struct {
	disk func() (*cache.Store, error)
	keep int64 // worthKeeping, or less in tests

	mu     sync.Mutex
	open   *simplelru.LRU[*stream, struct{}]
	closed bool
}

func newStreams(opts snapshot.Options) *streams {
	limit := opts.CacheLimit
	if limit == 0 {
		limit = snapshot.DefaultCacheLimit
	}
	s := &streams{keep: worthKeeping, disk: sync.OnceValues(func() (*cache.Store, error) { return cache.Open(opts.CacheDir, limit) })}
	s.open, _ = simplelru.NewLRU[*stream, struct{}](maxStreams+1, nil) // fails only for size < 1
	return s
}

// touch notes that a file is used, and closes another one if there are too
// many.
func (s *streams) touch(f *stream) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return os.ErrClosed
	}
	s.open.Add(f, struct{}{})
	var old *stream
	if s.open.Len() > maxStreams {
		old, _, _ = s.open.RemoveOldest()
	}
	s.mu.Unlock()
	if old != nil {
		return old.release()
	}
	return nil
}

// close closes all files for good.
func (s *streams) close() error {
	s.mu.Lock()
	s.closed = true
	list := s.open.Keys()
	s.open.Purge()
	s.mu.Unlock()
	var errs []error
	for _, f := range list {
		errs = append(errs, f.release())
	}
	return errors.Join(errs...)
}

func (s *streams) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
