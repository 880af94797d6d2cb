package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/web"
)

// houseLimits are those of a house that is shared: what one session may ask for,
// and what all of them may hold together.
type houseLimits struct {
	web.OpenLimits

	// overlays is what the overlays of all sessions count against. Nobody's
	// part of it is set aside: whoever writes takes from what is left, and
	// when nothing is, writes are held in every session until there is room.
	overlays *cow.Budget

	// memory is what one server may take, in bytes, and memoryTotal what all
	// of them may be promised together; 0 is no limit.
	memory, memoryTotal int64
}

// leastOverlay is how much room in all there must be for one more session: a
// server writes a few MiB when it opens a backup of any size, and one whose
// writes are held meanwhile helps nobody.
const leastOverlay = 32 << 20

// full says why there cannot be one more session now, nil if there can.
func (h *house) full() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.noRoom()
}

// noRoom is full with h.mu held. It says who holds what.
func (h *house) noRoom() error {
	l := h.limits
	if l == nil {
		return nil
	}
	refuse := fmt.Errorf
	n := h.living()
	if l.Sessions > 0 && n >= l.Sessions {
		return refuse("%d sessions are open, which is as many as are allowed (%s): close one", n, h.owners())
	}
	if l.memoryTotal > 0 && int64(n+1)*l.memory > l.memoryTotal {
		return refuse("one more server could take %s of memory, and the %d that are open may take %s already, of %s in all (%s): close a session",
			size(l.memory), n, size(int64(n)*l.memory), size(l.memoryTotal), h.owners())
	}
	if left := l.overlays.Left(); left < leastOverlay {
		return refuse("the overlays of all sessions hold %s of the %s that they may together, and one more needs room for %s (%s): close a session, or discard layers",
			size(l.overlays.Used()), size(l.overlays.Limit()), size(leastOverlay), h.largest())
	}
	return nil
}

// living counts the sessions that hold something, or soon will; h.mu is held.
func (h *house) living() int {
	n := h.coming
	for _, v := range h.views {
		if !v.ended() {
			n++
		}
	}
	return n
}

// owners says how many sessions each person has open, those with most first;
// h.mu is held.
func (h *house) owners() string {
	count := map[string]int{}
	for _, v := range h.views {
		if !v.ended() {
			count[v.ownerName()]++
		}
	}
	if h.coming > 0 {
		count["being opened"] = h.coming
	}
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(count[b]-count[a], strings.Compare(a, b))
	})
	return listed(names, func(name string) string { return fmt.Sprintf("%s: %d", name, count[name]) })
}

// largest says which sessions hold the most in their overlays; h.mu is held.
func (h *house) largest() string {
	held := map[*sessionView]int64{}
	for _, v := range h.views {
		if !v.ended() {
			held[v] = v.Figures().OverlayBytes
		}
	}
	views := slices.SortedFunc(maps.Keys(held), func(a, b *sessionView) int {
		return cmp.Or(cmp.Compare(held[b], held[a]), strings.Compare(a.ID(), b.ID()))
	})
	return listed(views, func(v *sessionView) string {
		return fmt.Sprintf("%s of %s: %s", v.ID(), v.ownerName(), size(held[v]))
	})
}

// listed writes the first few of a list.
func listed[T any](list []T, say func(T) string) string {
	const most = 5
	var words []string
	for _, e := range list[:min(len(list), most)] {
		words = append(words, say(e))
	}
	if more := len(list) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, ", ")
}

// ownerName is what a session's owner is called.
func (v *sessionView) ownerName() string { return cmp.Or(v.owner, "the operator") }

// Totals implements web.Sessions.
func (h *house) Totals(context.Context) *web.Totals {
	l := h.limits
	if l == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n := int64(h.living())
	return &web.Totals{
		Sessions:     web.Total{Used: n, Limit: int64(l.Sessions)},
		OverlayBytes: web.Total{Used: l.overlays.Used(), Limit: l.overlays.Limit()},
		MemoryBytes:  web.Total{Used: n * l.memory, Limit: l.memoryTotal},
	}
}

// SetLimit implements web.Session. Who opened a session of a shared server may
// not lift the limit that it has there; root of the host, on the control socket,
// may.
func (v *sessionView) SetLimit(ctx context.Context, bytes int64) error {
	if l := v.house.limits; l != nil && l.MaxOverlayBytes > 0 && (bytes == 0 || bytes > l.MaxOverlayBytes) && !web.IsControl(ctx) {
		return fmt.Errorf("%w: an overlay may have %s at most here", web.ErrInvalid, size(l.MaxOverlayBytes))
	}
	return v.Session.SetLimit(bytes)
}

// Keep implements web.Session. The longest time that may be asked for counts
// from now on: whoever still needs a session after it asks again.
func (v *sessionView) Keep(_ context.Context, d time.Duration) (time.Time, error) {
	if l := v.house.limits; l != nil && l.MaxTTL > 0 {
		if most := time.Duration(l.MaxTTL) * time.Second; d == 0 || d > most {
			return time.Time{}, fmt.Errorf("%w: a session may be kept %v at most from now; it can be asked for again then", web.ErrInvalid, most)
		}
	}
	end, err := v.Session.Keep(d)
	return end, layerError(err)
}
