package session

import (
	"testing"
	"time"
)

func TestHistoryKeepsTheWholeLifeInBoundedSpace(t *testing.T) {
	var h history
	start := time.Unix(0, 0)
	const ticks = 100_000
	for i := range ticks {
		h.add(Sample{At: start.Add(time.Duration(i+1) * time.Second), OverlayBytes: int64(i)})
	}
	all := h.since(time.Time{})
	if len(all) < maxSamples || len(all) >= 2*maxSamples {
		t.Fatalf("%d samples kept, want between %d and %d", len(all), maxSamples, 2*maxSamples)
	}
	if all[0].OverlayBytes != 0 || all[len(all)-1].OverlayBytes < ticks*9/10 {
		t.Errorf("kept from %d to %d of %d", all[0].OverlayBytes, all[len(all)-1].OverlayBytes, ticks)
	}
	middle := h.since(start.Add(ticks / 2 * time.Second))
	if got, want := len(middle), len(all)/2; got < want-2 || got > want+2 {
		t.Errorf("%d samples in the second half of %d: the history is not even", got, len(all))
	}
}
