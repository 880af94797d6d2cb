package attach

import (
	"math/rand"
	"sync"
	"testing"

	"github.com/snapview/snapview/block"
)

// plan runs a stream of reads and returns what would be prefetched.
func planned(s *streams, reads [][2]int64) (total int64, calls [][2]int64) {
	for _, r := range reads {
		if from, to := s.plan(r[0], r[1]); to > from {
			calls = append(calls, [2]int64{from, to})
			total += to - from
		}
	}
	return total, calls
}

func sequence(start, step, n int64) (out [][2]int64) {
	for at := start; at < start+n; at += step {
		out = append(out, [2]int64{at, step})
	}
	return out
}

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
)

func TestStreams_SequentialScan(t *testing.T) {
	s := newStreams(nil, 1<<40, 8*mib)
	_, calls := planned(s, sequence(1<<30, 8*kib, 100*mib))
	if len(calls) == 0 {
		t.Fatal("nothing was prefetched")
	}
	if from := calls[0][0]; from != 1<<30+streamTrigger {
		t.Errorf("prefetching begins at %d, want %d", from, 1<<30+streamTrigger)
	}
	next := calls[0][0]
	for _, c := range calls {
		if c[0] != next {
			t.Errorf("a prefetch begins at %d, want %d: a gap or bytes twice", c[0], next)
		}
		next = c[1]
	}
	if end := int64(1<<30) + 100*mib; next < end || next > end+8*mib {
		t.Errorf("prefetching ends at %d, want at most 8 MiB after %d", next, end)
	}
	if len(calls) > 60 {
		t.Errorf("%d calls for 100 MiB, want one each few MiB", len(calls))
	}
}

func TestStreams_SmallRunsAreLeftAlone(t *testing.T) {
	s := newStreams(nil, 1<<40, 8*mib)
	for k := range int64(100) {
		if n, _ := planned(s, sequence(k*64*mib, 8*kib, streamTrigger-8*kib)); n > 0 {
			t.Fatalf("run %d of less than the trigger: %d bytes prefetched", k, n)
		}
	}
}

func TestStreams_RandomReadsAreLeftAlone(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	s := newStreams(nil, 1<<40, 8*mib)
	for range 20_000 {
		off := rnd.Int63n(2<<30) &^ (8*kib - 1)
		if from, to := s.plan(off, 8*kib); to > from {
			t.Fatalf("a random read at %d prefetches %d bytes", off, to-from)
		}
	}
}

// Three workers of a parallel scan take turns at chunks of 1 MiB, each reading
// 128 KiB at a time: one scan with three fronts.
func TestStreams_ParallelScan(t *testing.T) {
	rnd := rand.New(rand.NewSource(2))
	s := newStreams(nil, 1<<40, 8*mib)
	next := int64(0)
	type worker struct{ at, end int64 }
	var workers [3]worker
	var prefetched, highest int64
	for next < 256*mib {
		w := &workers[rnd.Intn(3)]
		if w.at == w.end {
			w.at, w.end = next, next+mib
			next += mib
		}
		from, to := s.plan(w.at, 128*kib)
		w.at += 128 * kib
		if to > from {
			prefetched += to - from
			highest = max(highest, to)
		}
	}
	if prefetched < 240*mib {
		t.Errorf("%d of 256 MiB were prefetched", prefetched/mib)
	}
	if highest > next+8*mib {
		t.Errorf("prefetched up to %d, %d past the scan", highest, highest-next)
	}
}

func TestStreams_SeveralScansAmongLookups(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	s := newStreams(nil, 1<<40, 8*mib)
	var got [4]int64
	for at := int64(0); at < 64*mib; at += 128 * kib {
		for k := range got {
			base := int64(k) * (4 << 30)
			if from, to := s.plan(base+at, 128*kib); to > from {
				if from < base || to > base+72*mib {
					t.Fatalf("scan %d prefetches [%d, %d)", k, from-base, to-base)
				}
				got[k] += to - from
			}
		}
		if from, to := s.plan(100<<30+rnd.Int63n(1<<30), 8*kib); to > from {
			t.Fatal("a lookup among scans prefetches")
		}
	}
	for k, n := range got {
		if n < 60*mib {
			t.Errorf("scan %d: %d of 64 MiB prefetched", k, n/mib)
		}
	}
}

func TestStreams_StopAtTheEndOfTheDevice(t *testing.T) {
	size := 20 * mib
	s := newStreams(nil, size, 8*mib)
	_, calls := planned(s, sequence(0, 128*kib, size))
	for _, c := range calls {
		if c[1] > size {
			t.Errorf("prefetching [%d, %d) of %d bytes", c[0], c[1], size)
		}
	}
	if from, to := s.plan(size, 0); to > from {
		t.Error("an empty read prefetches")
	}
}

// hinted is a device that remembers what it was told.
type hinted struct {
	block.Device
	mu    sync.Mutex
	bytes int64
}

func (h *hinted) Prefetch(_, n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes += n
}

func (h *hinted) got() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bytes
}

type hintedMapper struct{ *hinted }

func (h hintedMapper) MapFile(_, n int64) (block.FileRange, func(), bool) {
	return block.FileRange{Length: n}, func() {}, true
}

func TestSequential_KeepsInterfaces(t *testing.T) {
	memory := func() *block.Memory { return block.NewMemory(64 * mib) }
	plain := memory()
	if got := Sequential(plain, 0); got != block.Device(plain) {
		t.Error("a device without Prefetch was wrapped")
	}
	h := &hinted{Device: memory()}
	if got := Sequential(h, -1); got != block.Device(h) {
		t.Error("a negative window wraps")
	}
	both := struct {
		hintedMapper
		block.ExtentMapper
	}{hintedMapper{h}, memory()}
	for _, c := range []struct {
		name             string
		dev              block.Device
		mapper, extenter bool
	}{
		{"prefetcher", h, false, false},
		{"mapper", hintedMapper{h}, true, false},
		{"extents", struct {
			*hinted
			block.ExtentMapper
		}{h, memory()}, false, true},
		{"both", both, true, true},
	} {
		d := Sequential(c.dev, 0)
		_, prefetcher := d.(block.Prefetcher)
		_, mapper := d.(block.FileMapper)
		_, extenter := d.(block.ExtentMapper)
		if !prefetcher || mapper != c.mapper || extenter != c.extenter {
			t.Errorf("%s: wrapped, it has Prefetcher %v, FileMapper %v, ExtentMapper %v", c.name, prefetcher, mapper, extenter)
		}
	}
}

func TestSequential_Prefetches(t *testing.T) {
	for name, read := range map[string]func(block.Device, int64){
		"ReadAt": func(d block.Device, off int64) { _, _ = d.ReadAt(make([]byte, 128*kib), off) },
		"MapFile": func(d block.Device, off int64) {
			if _, release, ok := d.(block.FileMapper).MapFile(off, 128*kib); ok {
				release()
			}
		},
	} {
		h := &hinted{Device: block.NewMemory(64 * mib)}
		d := Sequential(hintedMapper{h}, 8*mib)
		for off := int64(0); off < 32*mib; off += 128 * kib {
			read(d, off)
		}
		// Advice is given by goroutines of its own.
		err := poll(soon(t), func() (bool, error) { return h.got() > 0, nil })
		if err != nil {
			t.Errorf("%s: a scan of 32 MiB prefetched nothing", name)
		}
	}
}
