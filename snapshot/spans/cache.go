package spans

import (
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A Cache keeps decoded spans in memory, those of several Readers together.
// It may be used by many goroutines at once.
type Cache struct {
	limit int64

	mu      sync.Mutex
	entries *simplelru.LRU[place, *span]
	bytes   int64
}

type place struct {
	r *Reader
	i int
}

// A span is decoded once, by whoever needs it first.
type span struct {
	once sync.Once
	data []byte
	err  error
	size int64 // as counted; guarded by the cache's mu
}

// NewCache returns a cache of about limit bytes. It holds more while spans are
// read that are larger together.
func NewCache(limit int64) *Cache {
	entries, err := simplelru.NewLRU[place, *span](math.MaxInt, nil)
	if err != nil {
		panic(err) // its size is positive
	}
	return &Cache{limit: limit, entries: entries}
}

// get returns a span's data.
func (c *Cache) get(r *Reader, i int) ([]byte, error) {
	key := place{r, i}
	c.mu.Lock()
	s, ok := c.entries.Get(key)
	if !ok {
		s = &span{}
		c.entries.Add(key, s)
	}
	c.mu.Unlock()
	s.once.Do(func() {
		s.data, s.err = r.decode(i)
		c.mu.Lock()
		defer c.mu.Unlock()
		if old, ok := c.entries.Peek(key); !ok || old != s {
			return // dropped meanwhile
		}
		if s.err != nil {
			c.entries.Remove(key) // a passing error of the disk is tried again
			return
		}
		s.size = int64(cap(s.data))
		c.bytes += s.size
		for c.bytes > c.limit && c.entries.Len() > 1 {
			_, old, _ := c.entries.RemoveOldest()
			c.bytes -= old.size
		}
	})
	return s.data, s.err
}

// drop forgets a reader's spans.
func (c *Cache) drop(r *Reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range c.entries.Keys() {
		if key.r == r {
			s, _ := c.entries.Peek(key)
			c.bytes -= s.size
			c.entries.Remove(key)
		}
	}
}
