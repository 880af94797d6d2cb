package cow

import (
	"math"
	"sync"
	"sync/atomic"
)

// A Budget bounds what the layers of several stores hold together: the
// overlays of all sessions of a shared server. Every block of data counts once,
// however many disks lie over its layer, and until its layer is removed. A
// write that the budget has no room for is held like one past an overlay's own
// limit, whoever used the rest up, with HoldTotal as the reason.
//
// It is safe for concurrent use.
type Budget struct {
	limit, used atomic.Int64 // blocks; a limit of 0 is none
}

// NewBudget returns a budget of so many bytes; 0 counts and never holds.
func NewBudget(maxBytes int64) *Budget {
	b := new(Budget)
	b.SetLimit(maxBytes)
	return b
}

// SetLimit changes the budget, in bytes; 0 lifts it. Held writes that now fit go
// on within a moment.
func (b *Budget) SetLimit(maxBytes int64) { b.limit.Store(limitBlocks(maxBytes)) }

// Limit returns the budget in bytes, 0 without one.
func (b *Budget) Limit() int64 { return b.limit.Load() * BlockSize }

// Used returns how many bytes of data the layers hold together.
func (b *Budget) Used() int64 { return b.used.Load() * BlockSize }

// Left returns how many bytes may still be written, never less than zero.
func (b *Budget) Left() int64 {
	limit := b.limit.Load()
	if limit == 0 {
		return math.MaxInt64
	}
	return max(0, limit-b.used.Load()) * BlockSize
}

// spend takes n blocks, unless that would go past the limit.
func (b *Budget) spend(n int64) bool {
	if used, limit := b.used.Add(n), b.limit.Load(); limit > 0 && used > limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// fits says whether spending n blocks is worth trying.
func (b *Budget) fits(n int64) bool {
	limit := b.limit.Load()
	return limit == 0 || b.used.Load()+n <= limit
}

// An account is a store's part of a budget: what was spent for each of its
// layers. What the top of an open Overlay spends is counted there while it
// lasts (Overlay.spent) and noted here when the layer is sealed or closed, as
// its map may not tell: a top that was never synced holds more than its map.
type account struct {
	budget *Budget // nil: nothing is counted

	mu     sync.Mutex
	layers map[LayerID]int64 // blocks, of layers that no Overlay writes
}

// note says what a layer holds that is not written any more.
func (a *account) note(id LayerID, blocks int64) {
	if a.budget == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.layers == nil {
		a.layers = make(map[LayerID]int64)
	}
	a.layers[id] += blocks
}

// take gives the count of a layer that is written again to its Overlay. held is
// what it holds by its map.
func (a *account) take(id LayerID, held int64) {
	if a.budget == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.budget.used.Add(held - a.layers[id])
	delete(a.layers, id)
}

// merged says that child holds so many blocks by now, and parent none.
func (a *account) merged(parent, child LayerID, held int64) {
	if a.budget == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.budget.used.Add(held - a.layers[parent] - a.layers[child])
	delete(a.layers, parent)
	a.layers[child] = held
}

// remove gives back what a layer held that is gone.
func (a *account) remove(id LayerID) {
	if a.budget == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.budget.used.Add(-a.layers[id])
	delete(a.layers, id)
}

// Dispose gives back to the budget all that the store's layers hold. It is for
// a store whose folder is removed; no Overlay is open any more.
func (s *Store) Dispose() {
	a := &s.account
	if a.budget == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.layers {
		a.budget.used.Add(-n)
	}
	clear(a.layers)
}

// spend counts n blocks against the store's budget, if it has one.
func (o *Overlay) spend(n int64) bool {
	b := o.store.account.budget
	if b == nil {
		return true
	}
	if o.hold.never.Load() {
		b.used.Add(n) // see FailWhenFull
	} else if !b.spend(n) {
		return false
	}
	o.spent.Add(n)
	return true
}

// refund takes back what was counted for n blocks.
func (o *Overlay) refund(n int64) {
	if b := o.store.account.budget; b != nil {
		b.used.Add(-n)
		o.spent.Add(-n)
	}
}
