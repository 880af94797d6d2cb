package nbdserver

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// watchTick is how often the watcher looks. A request that is executed
	// by a reader delays those behind it by two ticks at most.
	watchTick = 2 * time.Millisecond
	// watchIdle is after how many ticks without any request it goes to
	// sleep, so that an idle server costs nothing.
	watchIdle = 100
)

// A turn tells whether a connection's reader is executing a request: odd while
// it is. Reader and watcher both end a turn by compare-and-swap, and only one
// succeeds.
type turn struct{ v atomic.Uint64 }

func (t *turn) begin() uint64 {
	v := t.v.Load() + 1 // even to odd: nobody but the reader changes it now
	t.v.Store(v)
	return v
}

// end reports whether the caller was the one to end the turn v.
func (t *turn) end(v uint64) bool { return t.v.CompareAndSwap(v, v+1) }

// A watcher looks for readers that are stuck in a device. One serves all
// connections of a server; its goroutine runs while there are any.
type watcher struct {
	asleep atomic.Bool
	wake   chan struct{}
	// relieved, of tests, is called when a stuck reader's turn has been ended
	// and it has no successor yet.
	relieved func(*conn)

	mu      sync.Mutex
	conns   map[*conn]uint64 // the turn last seen
	running bool
}

func newWatcher() *watcher {
	return &watcher{conns: make(map[*conn]uint64), wake: make(chan struct{}, 1)}
}

// add starts watching c, until remove.
func (w *watcher) add(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = 0
	if !w.running {
		w.running = true
		go w.run()
	}
	w.rouse()
}

func (w *watcher) remove(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
	w.rouse() // to end if it was the last
}

// rouse wakes the goroutine if it sleeps. Readers call it after beginning a
// turn: either they see it asleep or it sees the turn before it sleeps.
func (w *watcher) rouse() {
	if w.asleep.Load() {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) run() {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	quiet := 0
	for {
		active, last := w.look()
		if last {
			return
		}
		if quiet++; active {
			quiet = 0
		}
		if quiet < watchIdle {
			<-tick.C
			continue
		}
		tick.Stop()
		w.asleep.Store(true)
		if active, last = w.look(); !active && !last {
			<-w.wake
		}
		w.asleep.Store(false)
		tick.Reset(watchTick)
		quiet = 0
	}
}

// look compares every connection's turn with that of the last tick and relieves
// the readers that are still in the same one. active: some turn is new or not
// over. last: there are no connections left and the goroutine must end.
func (w *watcher) look() (active, last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.conns) == 0 {
		w.running = false
		return false, true
	}
	for c, seen := range w.conns {
		v := c.turn.v.Load()
		if v != seen {
			active = true
			w.conns[c] = v
			continue
		}
		if v%2 == 1 {
			active = true
			c.relieve(v)
		}
	}
	return active, false
}
