package cow

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// HoldReason says why writes are held.
type HoldReason string

// The reasons of a Hold.
const (
	HoldNone     HoldReason = ""
	HoldQuota    HoldReason = "quota"
	HoldDiskFull HoldReason = "host-disk-full"
	HoldTotal    HoldReason = "total-quota" // of all stores that share a Budget
)

// A Hold describes the writes that wait for room at one moment.
type Hold struct {
	Reason   HoldReason // HoldNone: writes go on
	Writers  int        // writes that wait
	Used     int64      // bytes that count against Limit
	Limit    int64      // bytes, 0 without a limit; with HoldTotal the Budget's, and so is Used
	Free     int64      // bytes free on the host's file system
	Headroom int64      // bytes of it that are kept free
	Since    time.Time  // when the first of these writes was held; zero with HoldNone
}

// holder keeps the writes that wait for room.
type holder struct {
	mu      sync.Mutex
	writers int
	reason  HoldReason
	since   time.Time
	woken   chan struct{} // closed to wake all, then made anew
	end     chan struct{} // closed by close
	never   atomic.Bool   // nothing waits any more: see FailWhenFull
	tell    func(Hold)    // nil: nobody wants to know
	events  []Hold        // for tell, in order
	telling bool
}

// ticket is one write's place among those that wait.
type ticket struct {
	waiting  bool
	deadline time.Time
}

// recheck is how often a held write looks for room by itself: nobody tells us
// when the host's disk gets some.
const recheck = 100 * time.Millisecond

// waitForRoom holds a write until it may try again for need blocks. It returns
// an error when the overlay is closed or the write has waited too long.
func (o *Overlay) waitForRoom(t *ticket, why HoldReason, need int64) error {
	h := &o.hold
	h.mu.Lock()
	if !t.waiting {
		t.waiting = true
		if o.opts.HoldTimeout > 0 {
			t.deadline = time.Now().Add(o.opts.HoldTimeout)
		}
		h.writers++
	}
	if h.writers == 1 && h.since.IsZero() {
		h.since = time.Now()
	}
	if h.reason != why {
		h.reason = why
		h.event(o.describe())
	}
	h.mu.Unlock()
	for {
		h.mu.Lock()
		woken := h.woken
		h.mu.Unlock()
		if h.never.Load() {
			// The limit may have been lifted together with it.
			if o.hasRoom(need) {
				return nil
			}
			return fmt.Errorf("overlay: %w: %s, and the overlay is about to be closed", ErrNoRoom, why)
		}
		wait := time.NewTimer(recheck)
		select {
		case <-h.end:
			wait.Stop()
			return os.ErrClosed
		case <-woken:
			wait.Stop()
		case <-wait.C:
		}
		if o.closed.Load() {
			return os.ErrClosed
		}
		if o.hasRoom(need) {
			return nil
		}
		if !t.deadline.IsZero() && time.Now().After(t.deadline) {
			return fmt.Errorf("overlay: %w: %s for %v; raise the limit or free space on the host", ErrNoRoom, why, o.opts.HoldTimeout)
		}
	}
}

// leave ends a write's wait.
func (h *holder) leave(t *ticket) {
	if !t.waiting {
		return
	}
	t.waiting = false
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writers--; h.writers == 0 {
		h.reason, h.since = HoldNone, time.Time{}
		h.event(Hold{})
	}
}

// event queues e for the one who wants to know. h.mu is held.
func (h *holder) event(e Hold) {
	if h.tell == nil {
		return
	}
	h.events = append(h.events, e)
	if h.telling {
		return
	}
	h.telling = true
	go func() {
		for {
			h.mu.Lock()
			if len(h.events) == 0 {
				h.telling = false
				h.mu.Unlock()
				return
			}
			e := h.events[0]
			h.events = h.events[1:]
			h.mu.Unlock()
			h.tell(e)
		}
	}()
}

// wake lets the writes that wait look for room at once.
func (h *holder) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writers > 0 {
		close(h.woken)
		h.woken = make(chan struct{})
	}
}

// close makes every wait fail.
func (h *holder) close() { close(h.end) }

// describe is the present state for an event. o.hold.mu is held.
func (o *Overlay) describe() Hold {
	free, _, _ := o.room.look()
	h := Hold{
		Reason: o.hold.reason, Writers: o.hold.writers, Since: o.hold.since,
		Used: o.used.Load() * BlockSize, Limit: o.room.limit.Load() * BlockSize,
		Free: free, Headroom: max(o.room.headroom, 0),
	}
	if h.Reason == HoldTotal {
		h.Used, h.Limit = o.store.account.budget.Used(), o.store.account.budget.Limit()
	}
	return h
}

// SetLimit changes Options.MaxBytes, in bytes, and lets held writes go on that
// now fit. 0 means no limit.
func (o *Overlay) SetLimit(maxBytes int64) {
	o.room.setLimit(maxBytes)
	o.hold.wake()
}

// FailWhenFull makes writes that find no room fail with ErrNoRoom from now on,
// those that wait already included. It is for the way down: unmounting waits
// for the writes of the mount, which would wait for room that nobody makes. A
// Budget that is used up lets them pass, as what they write is soon given back.
func (o *Overlay) FailWhenFull() {
	o.hold.never.Store(true)
	o.hold.wake()
}

// hostSpace watches the limit and the host's file system.
type hostSpace struct {
	limit    atomic.Int64 // blocks, 0: none
	headroom int64        // bytes, negative: none
	look     func() (free, size int64, err error)

	mu     sync.Mutex
	budget atomic.Int64 // blocks that may be written before looking again
	looked atomic.Int64 // when we looked, in nanoseconds since start
}

// How long a look at the host's file system is good for.
const (
	budgetBlocks = 256 << 20 / BlockSize
	budgetTime   = time.Second
)

var start = time.Now()

func (r *hostSpace) setLimit(maxBytes int64) { r.limit.Store(limitBlocks(maxBytes)) }

// limitBlocks is a limit of bytes in blocks; 0, and less, is none.
func limitBlocks(maxBytes int64) int64 {
	if maxBytes <= 0 {
		return 0
	}
	return max(1, maxBytes/BlockSize)
}

// spend takes n blocks from the budget, looking at the file system when it is
// used up or old.
func (r *hostSpace) spend(n int64) bool {
	if r.headroom < 0 {
		return true
	}
	fresh := time.Since(start).Nanoseconds()-r.looked.Load() < budgetTime.Nanoseconds()
	if r.budget.Add(-n) >= 0 && fresh {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	free, _, err := r.look()
	if err != nil {
		return true // the write itself will tell
	}
	room := (free - r.headroom) / BlockSize
	r.looked.Store(time.Since(start).Nanoseconds())
	r.budget.Store(min(room-n, budgetBlocks))
	return room >= n
}

// reserve counts n blocks as used, or says why there is no room for them.
func (o *Overlay) reserve(n int64) error {
	if used, limit := o.used.Add(n), o.room.limit.Load(); limit > 0 && used > limit {
		o.used.Add(-n)
		return &noRoom{HoldQuota, n}
	}
	if !o.spend(n) {
		o.used.Add(-n)
		return &noRoom{HoldTotal, n}
	}
	if !o.room.spend(n) {
		o.release(n)
		return &noRoom{HoldDiskFull, n}
	}
	return nil
}

// release takes back what reserve counted for n blocks.
func (o *Overlay) release(n int64) {
	o.used.Add(-n)
	o.refund(n)
}

// hasRoom reports whether a write of n blocks is worth trying again.
func (o *Overlay) hasRoom(n int64) bool {
	if limit := o.room.limit.Load(); limit > 0 && o.used.Load()+n > limit {
		return false
	}
	if b := o.store.account.budget; b != nil && !o.hold.never.Load() && !b.fits(n) {
		return false
	}
	if o.room.headroom < 0 {
		return true
	}
	free, _, err := o.room.look()
	return err != nil || free-o.room.headroom >= n*BlockSize
}
