package cow

import (
	"os"
	"time"
)

// Stats are the figures of an Overlay, in bytes unless said otherwise.
type Stats struct {
	Top     LayerID `json:"top"`
	Depth   int     `json:"depth"` // layers of the chain, the top included
	Virtual int64   `json:"virtual_bytes"`

	Held    int64 `json:"held_bytes"`     // of the disk: read from some layer's data
	Zero    int64 `json:"zero_bytes"`     // of the disk: zeros known to some layer
	TopHeld int64 `json:"top_held_bytes"` // data of the top alone
	TopZero int64 `json:"top_zero_bytes"`

	Allocated    int64 `json:"allocated_bytes"`     // of the chain's data files, as du counts
	TopAllocated int64 `json:"top_allocated_bytes"` // of the top's data file
	Metadata     int64 `json:"metadata_bytes"`      // of the chain's map files, as du counts

	BaseRead int64 `json:"base_read_bytes"` // read from the base since the overlay was opened
	Read     int64 `json:"read_bytes"`      // read by callers since then
	Written  int64 `json:"written_bytes"`   // written by callers since then, zeros included

	Used       int64      `json:"used_bytes"`  // counts against Limit: data of all the chain's layers
	Limit      int64      `json:"limit_bytes"` // 0: none
	HoldReason HoldReason `json:"hold_reason"`
	Holding    int        `json:"holding"` // writes that wait for room
	HoldSince  time.Time  `json:"hold_since,omitzero"`
}

// Stats returns the overlay's figures of this moment. It asks the host for the
// size of every layer's files, and nothing else that takes time.
func (o *Overlay) Stats() (Stats, error) {
	if o.closed.Load() {
		return Stats{}, os.ErrClosed
	}
	o.mu.RLock()
	ids := append([]LayerID(nil), o.ids...)
	files := *o.files.Load()
	o.mu.RUnlock()
	s := Stats{
		Top:      ids[len(ids)-1],
		Virtual:  o.size,
		Held:     o.viewHeld.Load() * BlockSize,
		Zero:     o.viewZero.Load() * BlockSize,
		TopHeld:  o.topHeld.Load() * BlockSize,
		TopZero:  o.topZero.Load() * BlockSize,
		BaseRead: o.baseRead.Load(),
		Read:     o.read.Load(),
		Written:  o.written.Load(),
		Used:     o.used.Load() * BlockSize,
		Limit:    o.room.limit.Load() * BlockSize,
	}
	for i, id := range ids {
		if id.IsBase() { // merged away
			continue
		}
		s.Depth++
		if files[i] == nil || !files[i].ref() {
			continue
		}
		fi, err := files[i].f.Stat()
		files[i].unref()
		if err != nil {
			return s, err
		}
		s.TopAllocated = allocatedBytes(fi)
		s.Allocated += s.TopAllocated
		if fi, err := os.Stat(o.store.mapPath(id)); err == nil {
			s.Metadata += allocatedBytes(fi)
		}
	}
	o.hold.mu.Lock()
	s.HoldReason, s.Holding, s.HoldSince = o.hold.reason, o.hold.writers, o.hold.since
	o.hold.mu.Unlock()
	return s, nil
}
