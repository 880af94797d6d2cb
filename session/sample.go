package session

import (
	"sync"
	"time"
)

// A Sample is the session's figures at one moment.
type Sample struct {
	At           time.Time `json:"at"`
	OverlayBytes int64     `json:"overlay_bytes"` // data that the overlay holds
	ReadBytes    int64     `json:"read_bytes"`    // read from the backup since it was opened
	Holding      bool      `json:"holding"`       // writes wait for room
}

// maxSamples bounds a history: at twice as many, every second one goes, so
// that a session of any length keeps its whole shape.
const maxSamples = 1024

// history keeps samples over the whole of a session's life. The zero value is
// ready. It is safe for concurrent use.
type history struct {
	mu      sync.Mutex
	samples []Sample
	last    Sample
	stride  int // ticks for each sample kept
	tick    int
}

// add keeps a sample if it is its turn, or if holding began or ended. It says
// whether anything has changed since the one before.
func (h *history) add(s Sample) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.last
	h.last = s
	changed = h.tick == 0 || before.OverlayBytes != s.OverlayBytes || before.ReadBytes != s.ReadBytes || before.Holding != s.Holding
	h.stride = max(h.stride, 1)
	keep := h.tick%h.stride == 0 || before.Holding != s.Holding
	h.tick++
	if !keep {
		return changed
	}
	h.samples = append(h.samples, s)
	if len(h.samples) >= 2*maxSamples {
		kept := h.samples[:0]
		for i := 0; i < len(h.samples); i += 2 {
			kept = append(kept, h.samples[i])
		}
		h.samples = kept
		h.stride *= 2
	}
	return changed
}

// since returns the samples after t, oldest first.
func (h *history) since(t time.Time) []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, s := range h.samples {
		if s.At.After(t) {
			return append([]Sample(nil), h.samples[i:]...)
		}
	}
	return nil
}
