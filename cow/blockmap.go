package cow

import (
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/snapview/snapview/block"
)

// source says where a block's bytes are.
type source = uint16

const (
	srcBase      source = 0 // in the base
	srcZeroTop   source = 1 // zeros, as the top says
	srcZeroBelow source = 2 // zeros, as a sealed layer says
	srcLayer     source = 3 // srcLayer+i: in the data file of the chain's layer i
)

// maxDepth bounds the layers of a chain: each costs an open file.
const maxDepth = 1000

func isZeroSource(s source) bool { return s == srcZeroTop || s == srcZeroBelow }

const (
	// chunkBlocks is the number of blocks of one chunk of the map: 64 MiB.
	chunkBlocks = 1 << 14
	// maxRuns is the number of runs (6 bytes each) from which a chunk is
	// kept as a plain array (32 KiB) instead. A hundred thousand scattered
	// blocks cost some hundred KiB, and no pattern of 10 GiB costs more than
	// 45 MiB.
	maxRuns = 2048
)

// blockMap resolves blocks to sources for a whole chain of layers: the cost of
// a lookup does not depend on their number. Chunks without an entry are the
// base's and cost a pointer. It is safe for concurrent use; its locks are held
// for memory operations only.
type blockMap struct {
	blocks uint64
	chunks []atomic.Pointer[chunk]
	// pending collects what changed since it was last taken, if not nil.
	pending *pending
}

// chunk holds the sources of chunkBlocks blocks, as sorted disjoint runs or,
// when these would be too many, as an array.
type chunk struct {
	mu    sync.RWMutex
	runs  []run
	dense []source
}

// run is a range [start, end) of blocks of one source other than the base.
type run struct {
	start, end uint16
	src        source
}

// pending is what a top's map must be told at the next Sync.
type pending struct {
	mu         sync.Mutex
	held, zero *roaring.Bitmap
}

func (p *pending) add(b uint64, n int, src source) {
	p.mu.Lock()
	from, to := p.held, p.zero
	if src != srcZeroTop {
		from, to = to, from
	}
	if !from.IsEmpty() {
		from.RemoveRange(b, b+uint64(n))
	}
	to.AddRange(b, b+uint64(n))
	p.mu.Unlock()
}

// take returns what was pending and begins anew.
func (p *pending) take() (held, zero *roaring.Bitmap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, zero = p.held, p.zero
	p.held, p.zero = roaring.New(), roaring.New()
	return held, zero
}

// untake gives back what could not be written; what came later wins.
func (p *pending) untake(held, zero *roaring.Bitmap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held.AndNot(p.zero)
	zero.AndNot(p.held)
	p.held.Or(held)
	p.zero.Or(zero)
}

func newBlockMap(size int64) *blockMap {
	n := blockCount(size)
	return &blockMap{blocks: n, chunks: make([]atomic.Pointer[chunk], (n+chunkBlocks-1)/chunkBlocks)}
}

// span returns the source of block b and for how many blocks, at most n, it
// goes on.
func (m *blockMap) span(b uint64, n int) (source, int) {
	src, got := m.chunkSpan(b, n)
	for got < n {
		s, k := m.chunkSpan(b+uint64(got), n-got)
		if s != src {
			break
		}
		got += k
	}
	return src, got
}

func (m *blockMap) chunkSpan(b uint64, n int) (source, int) {
	at := int(b % chunkBlocks)
	n = min(n, chunkBlocks-at)
	c := m.chunks[b/chunkBlocks].Load()
	if c == nil {
		return srcBase, n
	}
	c.mu.RLock()
	src, n := c.find(at, n)
	c.mu.RUnlock()
	return src, n
}

// countNot returns how many of n blocks from b on have another source than src.
func (m *blockMap) countNot(b uint64, n int, src source) int {
	count := 0
	for n > 0 {
		s, k := m.span(b, n)
		if s != src {
			count += k
		}
		b, n = b+uint64(k), n-k
	}
	return count
}

// tally counts blocks by what they were before a change.
type tally struct{ base, zeroTop, zeroBelow, top, below int }

// set gives n blocks from b on the source src, except those whose source is
// keep. It returns what the changed blocks were; top tells which source is the
// top's. Blocks that have the source src already are not counted.
func (m *blockMap) set(b uint64, n int, src, keep, top source) tally {
	var t tally
	for n > 0 {
		at := int(b % chunkBlocks)
		k := min(n, chunkBlocks-at)
		p := &m.chunks[b/chunkBlocks]
		c := p.Load()
		for ; c == nil; c = p.Load() {
			p.CompareAndSwap(nil, new(chunk))
		}
		c.mu.Lock()
		for end := at + k; at < end; {
			old, j := c.find(at, end-at)
			if old != keep && old != src {
				c.put(at, at+j, src)
				if m.pending != nil {
					m.pending.add(b/chunkBlocks*chunkBlocks+uint64(at), j, src)
				}
				switch old {
				case srcBase:
					t.base += j
				case srcZeroTop:
					t.zeroTop += j
				case srcZeroBelow:
					t.zeroBelow += j
				case top:
					t.top += j
				default:
					t.below += j
				}
			}
			at += j
		}
		c.mu.Unlock()
		b, n = b+uint64(k), n-k
	}
	return t
}

// noSource is no block's source: set with it as keep spares nothing.
const noSource = ^source(0)

// replace turns every block of source from into one of source to.
func (m *blockMap) replace(from, to source) {
	for i := range m.chunks {
		c := m.chunks[i].Load()
		if c == nil {
			continue
		}
		c.mu.Lock()
		for j := range c.dense {
			if c.dense[j] == from {
				c.dense[j] = to
			}
		}
		kept := c.runs[:0]
		for _, r := range c.runs {
			if r.src == from {
				r.src = to
			}
			if k := len(kept) - 1; k >= 0 && kept[k].end == r.start && kept[k].src == r.src {
				kept[k].end = r.end
			} else {
				kept = append(kept, r)
			}
		}
		c.runs = kept
		c.mu.Unlock()
	}
}

// load sets what a layer holds.
func (m *blockMap) load(held, zero *roaring.Bitmap, src, zeroSrc source) {
	var scratch []run
	scratch = m.loadSource(held, src, scratch)
	m.loadSource(zero, zeroSrc, scratch)
}

// loadSource gives the blocks of bits the source src. It collects the runs of a
// chunk before it makes one: growing a million of small slices would take twice
// the memory. scratch is used for that, and returned to be used again.
func (m *blockMap) loadSource(bits *roaring.Bitmap, src source, scratch []run) []run {
	at := uint64(0) // the chunk of the runs in scratch
	for start, end := range bits.Ranges() {
		for b := uint64(start); b < end; {
			i := b / chunkBlocks
			stop := min(end, (i+1)*chunkBlocks)
			if i != at {
				m.install(at, scratch)
				at, scratch = i, scratch[:0]
			}
			scratch = append(scratch, run{uint16(b % chunkBlocks), uint16(stop - i*chunkBlocks), src})
			b = stop
		}
	}
	m.install(at, scratch)
	return scratch[:0]
}

// install puts runs, sorted and disjoint, into chunk i.
func (m *blockMap) install(i uint64, runs []run) {
	if len(runs) == 0 {
		return
	}
	c := new(chunk)
	if !m.chunks[i].CompareAndSwap(nil, c) {
		c = m.chunks[i].Load()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dense == nil && len(c.runs) == 0 {
		c.runs = append(make([]run, 0, len(runs)), runs...)
		c.thicken()
		return
	}
	for _, r := range runs {
		c.put(int(r.start), int(r.end), r.src)
	}
}

// extents calls yield for consecutive runs of blocks of one source that cover
// n blocks from b on, until it returns false.
func (m *blockMap) extents(b, n uint64, yield func(b, n uint64, src source) bool) {
	for n > 0 {
		src, k := m.span(b, int(min(n, 1<<30)))
		if !yield(b, uint64(k), src) {
			return
		}
		b, n = b+uint64(k), n-uint64(k)
	}
}

// extentState is what block.ExtentMapper says of a source.
func extentState(src source) block.ExtentState {
	switch {
	case src == srcBase:
		return 0
	case isZeroSource(src):
		return block.ExtentHeld | block.ExtentZero
	}
	return block.ExtentHeld
}

// find returns the source at block at of the chunk and how long, at most n
// blocks, it goes on.
func (c *chunk) find(at, n int) (source, int) {
	if c.dense != nil {
		src := c.dense[at]
		k := 1
		for k < n && c.dense[at+k] == src {
			k++
		}
		return src, k
	}
	i := c.after(at)
	if i == len(c.runs) {
		return srcBase, n
	}
	r := c.runs[i]
	if int(r.start) > at {
		return srcBase, min(n, int(r.start)-at)
	}
	return r.src, min(n, int(r.end)-at)
}

// after returns the index of the first run that ends after block at.
func (c *chunk) after(at int) int {
	lo, hi := 0, len(c.runs)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if int(c.runs[mid].end) > at {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// put gives the blocks [a, b) of the chunk the source src.
func (c *chunk) put(a, b int, src source) {
	if c.dense != nil {
		d := c.dense[a:b]
		for i := range d {
			d[i] = src
		}
		return
	}
	i := c.after(a)
	var repl [3]run
	k := 0
	if i > 0 && int(c.runs[i-1].end) == a && c.runs[i-1].src == src {
		i--
		a = int(c.runs[i].start)
	} else if i < len(c.runs) && int(c.runs[i].start) < a {
		if left := c.runs[i]; left.src == src {
			a = int(left.start)
		} else {
			left.end = uint16(a)
			repl[k] = left
			k++
		}
	}
	j := i
	for j < len(c.runs) && int(c.runs[j].start) < b {
		j++
	}
	var right run
	if j > i && int(c.runs[j-1].end) > b {
		if right = c.runs[j-1]; right.src == src {
			b, right = int(right.end), run{}
		} else {
			right.start = uint16(b)
		}
	} else if j < len(c.runs) && int(c.runs[j].start) == b && c.runs[j].src == src {
		b = int(c.runs[j].end)
		j++
	}
	if src != srcBase {
		repl[k] = run{uint16(a), uint16(b), src}
		k++
	}
	if right.end > 0 {
		repl[k] = right
		k++
	}
	c.splice(i, j, repl[:k])
	c.thicken()
}

// thicken makes a chunk of too many runs a plain array.
func (c *chunk) thicken() {
	if len(c.runs) <= maxRuns {
		return
	}
	c.dense = make([]source, chunkBlocks)
	for _, r := range c.runs {
		for b := r.start; b < r.end; b++ {
			c.dense[b] = r.src
		}
	}
	c.runs = nil
}

// splice replaces the runs [i, j) by repl, in place where there is room.
func (c *chunk) splice(i, j int, repl []run) {
	n := len(c.runs)
	switch d := len(repl) - (j - i); {
	case d > 0:
		if n+d > cap(c.runs) {
			// A quarter more, not twice as many: this is most of the memory
			// of a large overlay.
			c.runs = append(make([]run, 0, n+d+n/4+4), c.runs...)
		}
		c.runs = c.runs[:n+d]
		copy(c.runs[j+d:], c.runs[j:n])
	case d < 0:
		copy(c.runs[j+d:], c.runs[j:n])
		c.runs = c.runs[:n+d]
	}
	copy(c.runs[i:], repl)
}
