// Package chunks gives the bytes of files that a Kloset store keeps in chunks.
//
// A chunk has 512 KiB to 8 MiB and can only be decoded whole, so decoded
// chunks are kept in a Cache that the files of a snapshot share: a page that
// is read costs a copy when its chunk is there. Concurrent readers of a chunk
// decode it once. Files that are read from front to back have the next chunks
// decoded ahead.
package chunks

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

// A Loader reads and verifies chunks.
type Loader interface {
	Chunk(ctx context.Context, m format.MAC, size int64) ([]byte, error)
}

// A Cache keeps decoded chunks up to a number of bytes. It may be used
// concurrently.
type Cache struct {
	loader Loader
	limit  int64
	ahead  chan struct{} // bounds decoding ahead
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // decoding ahead

	mu     sync.Mutex // never held while decoding
	slots  *simplelru.LRU[format.MAC, *slot]
	used   int64
	closed bool
}

// A slot is a chunk that is there or on its way.
type slot struct {
	done chan struct{} // closed once data or err is set
	size int64
	data []byte
	err  error
}

// DefaultLimit is the cache's size unless told otherwise: 256 MiB, or an
// eighth of a smaller host's memory.
func DefaultLimit() int64 {
	const most, least = 256 << 20, 32 << 20
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return most
	}
	memory := min(info.Totalram, math.MaxInt64/1024) * uint64(info.Unit)
	return max(least, min(most, int64(memory/8)))
}

// NewCache returns a cache of at most limit bytes; chunks being decoded count.
func NewCache(loader Loader, limit int64) *Cache {
	c := &Cache{loader: loader, limit: limit, ahead: make(chan struct{}, max(4, runtime.GOMAXPROCS(0)))}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.slots, _ = simplelru.NewLRU(math.MaxInt, func(_ format.MAC, s *slot) { c.used -= s.size }) // fails only for size < 1
	return c
}

// Get returns a chunk's bytes, which must not be changed.
func (c *Cache) Get(m format.MAC, size int64) ([]byte, error) {
	s, mine, err := c.slot(m, size)
	if err != nil {
		return nil, err
	}
	if mine {
		c.fill(m, s)
	} else {
		<-s.done
	}
	if s.err == nil && int64(len(s.data)) != size {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "chunk %s has %d bytes, not %d", m.Short(), len(s.data), size)
	}
	return s.data, s.err
}

// slot returns the chunk's slot; mine means that the caller has to fill it.
func (c *Cache) slot(m format.MAC, size int64) (s *slot, mine bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, os.ErrClosed
	}
	if s, ok := c.slots.Get(m); ok {
		return s, false, nil
	}
	s = &slot{done: make(chan struct{}), size: size}
	c.used += size
	c.slots.Add(m, s)
	for c.used > c.limit && c.slots.Len() > 1 {
		c.slots.RemoveOldest()
	}
	return s, true, nil
}

// fill decodes the chunk. A failure is told to those who wait and forgotten.
func (c *Cache) fill(m format.MAC, s *slot) {
	s.data, s.err = c.loader.Chunk(c.ctx, m, s.size)
	if s.err != nil {
		if c.ctx.Err() != nil {
			s.err = errors.Join(os.ErrClosed, s.err)
		}
		c.mu.Lock()
		if now, ok := c.slots.Peek(m); ok && now == s {
			c.slots.Remove(m)
		}
		c.mu.Unlock()
	}
	close(s.done)
}

// Ahead decodes a chunk in the background if it is not there. When enough are
// being decoded it does nothing.
func (c *Cache) Ahead(m format.MAC, size int64) {
	c.mu.Lock()
	there := c.closed || c.slots.Contains(m)
	if !there {
		select {
		case c.ahead <- struct{}{}:
			c.wg.Add(1)
		default:
			there = true
		}
	}
	c.mu.Unlock()
	if there {
		return
	}
	go func() {
		defer c.wg.Done()
		defer func() { <-c.ahead }()
		if s, mine, err := c.slot(m, size); err == nil && mine {
			c.fill(m, s)
		}
	}()
}

// Close drops the chunks and waits for decoding ahead to end. Get fails with
// os.ErrClosed afterwards.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.slots.Purge()
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	return nil
}
