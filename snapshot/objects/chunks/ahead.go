package chunks

import "sync"

const (
	pageSize   = 4096
	maxStreams = 8
	firstAhead = 256 << 10
	maxAhead   = 8 << 20
	// Reads of less than a page are a scan of headers, which will jump.
	maxAheadScan = 1 << 20

	// A read this far before or behind where a stream is belongs to it:
	// several readers of one stream overtake each other, and scans skip.
	slackBack    = 1 << 20
	slackForward = 256 << 10
)

// A stream is a place where an object is read forwards.
type stream struct {
	begin int64  // where it began
	next  int64  // the end of what was read
	ahead int64  // the end of what was asked for ahead
	used  uint64 // for replacing the one least recently used
}

// streams are an object's.
type streams struct {
	mu    sync.Mutex
	list  []stream
	clock uint64
}

// read takes note of a read and returns what to read ahead; n is 0 for
// nothing.
func (s *streams) read(off, size int64) (at, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	end := off + size
	for i := range s.list {
		st := &s.list[i]
		if off < st.next-slackBack || off > st.next+slackForward || off < st.begin {
			continue
		}
		st.used = s.clock
		if end <= st.next {
			return 0, 0
		}
		st.next = end
		most := int64(maxAhead)
		if size < pageSize {
			most = maxAheadScan
		}
		window := min(max(st.next-st.begin, firstAhead), most)
		if st.next-st.begin < 2*chunkSize {
			return 0, 0 // still what one request brings
		}
		st.ahead = max(st.ahead, end)
		if st.ahead-end > window/2 {
			return 0, 0
		}
		at, n = st.ahead, end+window-st.ahead
		st.ahead += n
		return at, n
	}
	fresh := stream{off, end, end, s.clock}
	if len(s.list) < maxStreams {
		s.list = append(s.list, fresh)
		return 0, 0
	}
	oldest := 0
	for i := range s.list {
		if s.list[i].used < s.list[oldest].used {
			oldest = i
		}
	}
	s.list[oldest] = fresh
	return 0, 0
}
