package verify

import (
	"sync"
	"sync/atomic"
	"time"
)

// A meter tells a few times a second how far the reading has come.
type meter struct {
	total int64
	done  atomic.Int64
	tell  func(done, total int64)

	mu   sync.Mutex
	last time.Time
}

func newMeter(tell func(done, total int64)) *meter { return &meter{tell: tell} }

func (m *meter) add(n int64) {
	m.done.Add(n)
	if m.tell == nil || !m.mu.TryLock() {
		return
	}
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.last) > 200*time.Millisecond {
		m.last = now
		m.tell(min(m.done.Load(), m.total), m.total)
	}
}

// end tells that all is read: of files that were cut short some bytes never were.
func (m *meter) end() {
	if m.tell != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.tell(m.total, m.total)
	}
}
