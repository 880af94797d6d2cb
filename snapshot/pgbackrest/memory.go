package pgbackrest

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// memory keeps what was decoded last, up to a number of bytes. What several
// ask for at once is made once.
type memory struct {
	limit int64

	mu    sync.Mutex
	bytes int64
	items *simplelru.LRU[any, *item]
}

type item struct {
	once  sync.Once
	value any
	size  int64 // counted; 0 until it is made
	err   error
}

func newMemory(limit int64) *memory {
	m := &memory{limit: limit}
	m.items, _ = simplelru.NewLRU(1<<30, func(_ any, i *item) { m.bytes -= i.size }) // fails only for size < 1
	return m
}

// get returns the value of key, made by load if it is not there. size is what
// the value is counted as, in bytes. An error is not kept.
func (m *memory) get(key any, load func() (value any, size int64, err error)) (any, error) {
	m.mu.Lock()
	i, ok := m.items.Get(key)
	if !ok {
		i = &item{}
		m.items.Add(key, i)
	}
	m.mu.Unlock()
	i.once.Do(func() {
		var size int64
		i.value, size, i.err = load()
		m.made(key, i, size)
	})
	return i.value, i.err
}

// peek returns a value that is there and was made, nil otherwise.
func (m *memory) peek(key any) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i, ok := m.items.Peek(key); ok && i.size > 0 {
		return i.value
	}
	return nil
}

// made counts a value and makes room for it.
func (m *memory) made(key any, i *item, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now, ok := m.items.Peek(key); !ok || now != i {
		return // evicted meanwhile
	}
	if i.err != nil {
		m.items.Remove(key)
		return
	}
	i.size = size
	m.bytes += size
	for m.bytes > m.limit && m.items.Len() > 1 {
		m.items.RemoveOldest()
	}
}

// purge forgets everything.
func (m *memory) purge() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items.Purge()
}
