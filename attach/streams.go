package attach

import (
	"sync"
	"sync/atomic"

	"github.com/snapview/snapview/block"
)

const (
	// maxStreams is how many sequential readers are followed at once; the
	// one unused for longest makes room for a new one.
	maxStreams = 16
	// streamReach is how far from a stream's front a read may lie and still
	// belong to it. The workers of PostgreSQL's parallel scan take turns at
	// chunks of 1 MiB and more, and the kernel's own read-ahead has several
	// requests under way: seen from here, one scan has several fronts.
	streamReach = 4 << 20
	// streamTrigger is how much a stream must have read before anything is
	// prefetched: more than index descents and catalog reads ever do in
	// one run.
	streamTrigger = 512 << 10
	// maxPrefetches bounds the calls of Prefetch under way.
	maxPrefetches = 4
)

// streams finds sequential readers in a sequence of reads and prefetches ahead
// of them. It is safe for concurrent use and allocates nothing per read.
type streams struct {
	target block.Prefetcher
	size   int64
	window int64
	busy   atomic.Int32

	mu    sync.Mutex
	clock uint64
	table [maxStreams]stream
}

// A stream is a stretch of the device that is being read front to back.
type stream struct {
	start int64  // where it began
	front int64  // the highest byte read, exclusive; 0 when the slot is free
	read  int64  // how many bytes of [start, front) were read
	ahead int64  // prefetched up to here
	used  uint64 // clock of its last read
}

func newStreams(target block.Prefetcher, size, window int64) *streams {
	return &streams{target: target, size: size, window: window}
}

// observe is told of a read of n bytes at off before it is served.
func (s *streams) observe(off, n int64) {
	if n <= 0 {
		return
	}
	from, to := s.plan(off, n)
	if from >= to {
		return
	}
	// Prefetch returns at once by contract, but advising a file can wait for
	// the disk's queue; this read is not made to wait with it. A prefetch
	// that finds too many under way is dropped: it is a hint.
	if s.busy.Add(1) > maxPrefetches {
		s.busy.Add(-1)
		return
	}
	go func() {
		defer s.busy.Add(-1)
		s.target.Prefetch(from, to-from)
	}()
}

// plan accounts for a read and returns what to prefetch, if anything.
func (s *streams) plan(off, n int64) (from, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	st := s.find(off)
	st.used = s.clock
	st.read += n
	st.front = max(st.front, off+n)
	st.start = min(st.start, off)

	// Dense: at least half of the stretch was read. Lookups scattered over
	// a stretch are not, and reading it ahead would only add to them.
	span := st.front - st.start
	if st.read < streamTrigger || st.read < span/2 {
		return 0, 0
	}
	// As much ahead as was read so far, up to the window: a short scan
	// wastes at most its own length. New advice goes out when half of the
	// last is used up.
	want := min(st.front+min(s.window, st.read), s.size)
	if st.ahead-st.front > (want-st.front)/2 {
		return 0, 0
	}
	from = max(st.ahead, st.front)
	st.ahead = want
	return from, want
}

// find returns the stream that a read at off belongs to, a new one if none.
func (s *streams) find(off int64) *stream {
	oldest := &s.table[0]
	for i := range s.table {
		st := &s.table[i]
		if st.front != 0 && off >= st.front-streamReach && off <= st.front+streamReach {
			return st
		}
		if st.used < oldest.used {
			oldest = st
		}
	}
	*oldest = stream{start: off, front: off, ahead: off}
	return oldest
}
