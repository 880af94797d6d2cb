//go:build !race

package nbdserver

import (
	"runtime"
	"testing"

	"github.com/snapview/snapview/block"
)

// The hot path allocates nothing for a request: neither the reader's nor the
// workers'. (The race detector makes pools forget on purpose.) The bound leaves room for the runtime's own and for pools that a
// garbage collection has emptied.
func TestRequests_AllocateNothing(t *testing.T) {
	const requests, perRequest = 5000, 0.5
	m, _ := newMapped(t, 1<<20)
	_, dial := serveDevices(t, Options{},
		Export{Device: block.NewMemoryFrom(make([]byte, 1<<20))}, Export{Name: "file", Device: m})
	for name, run := range map[string]struct {
		export string
		cmd    uint16
		n      int64
	}{
		"small READ":   {"", cmdRead, 4096},
		"large READ":   {"", cmdRead, 128 << 10},
		"spliced READ": {"file", cmdRead, 128 << 10},
		"small WRITE":  {"", cmdWrite, 4096},
		"large WRITE":  {"", cmdWrite, 128 << 10},
	} {
		c := connect(t, dial(), run.export, false)
		size, reply := requestSize, int64(simpleReplySize)
		request := encode(uint32(0x25609513), uint16(0), run.cmd, uint64(0), uint64(0), uint32(run.n))
		if run.cmd == cmdWrite {
			request = append(request, make([]byte, run.n)...)
			size += int(run.n)
		} else {
			reply += run.n
		}
		answer := make([]byte, reply)
		once := func(times int) {
			for range times {
				if _, err := c.Write(request[:size]); err != nil {
					t.Fatal(err)
				}
				for k := 0; k < len(answer); {
					n, err := c.Read(answer[k:])
					if err != nil {
						t.Fatal(err)
					}
					k += n
				}
			}
		}
		once(100)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		once(requests)
		runtime.ReadMemStats(&after)
		if got := float64(after.Mallocs-before.Mallocs) / requests; got > perRequest {
			t.Errorf("%s: %.2f allocations per request", name, got)
		} else {
			t.Logf("%s: %.3f allocations per request", name, got)
		}
		c.disconnect()
	}
}
