package cow

import (
	"runtime"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/snapview/snapview/block"
)

func TestBlockMap_AgreesWithAnArray(t *testing.T) {
	const blocks = 3*chunkBlocks + 100
	for _, density := range []int{4, 1 << 20} { // few long runs; so many that chunks turn into arrays
		rnd := newRand(uint64(density))
		m := newBlockMap(blocks * BlockSize)
		m.pending = &pending{held: roaring.New(), zero: roaring.New()}
		want := make([]source, blocks)
		const top = srcLayer + 2
		for step := range 30_000 {
			b := rnd.IntN(blocks)
			n := min(1+rnd.IntN(max(1, chunkBlocks/density)), blocks-b)
			if step%10 == 0 {
				n = min(1+rnd.IntN(2), blocks-b)
			}
			src := source(rnd.IntN(6))
			keep := noSource
			if rnd.IntN(4) == 0 {
				keep = source(rnd.IntN(6))
			}
			var counted, changed int
			for i := b; i < b+n; i++ {
				if want[i] != keep && want[i] != src {
					want[i] = src
					changed++
				}
			}
			c := m.set(uint64(b), n, src, keep, top)
			if counted = c.base + c.zeroTop + c.zeroBelow + c.top + c.below; counted != changed {
				t.Fatalf("step %d: %d blocks counted, %d changed", step, counted, changed)
			}
			at := rnd.IntN(blocks)
			k := min(1+rnd.IntN(3000), blocks-at)
			got, run := m.span(uint64(at), k)
			end := at
			for end < at+k && want[end] == want[at] {
				end++
			}
			if got != want[at] || run != end-at {
				t.Fatalf("step %d: span(%d, %d) = %d, %d; want %d, %d", step, at, k, got, run, want[at], end-at)
			}
			if step == 20_000 {
				m.replace(3, 5)
				m.replace(4, srcBase+1)
				for i := range want {
					switch want[i] {
					case 3:
						want[i] = 5
					case 4:
						want[i] = 1
					}
				}
			}
		}
		dense := 0
		for i := range m.chunks {
			if c := m.chunks[i].Load(); c != nil && c.dense != nil {
				dense++
			}
		}
		if (dense > 0) != (density > 4) {
			t.Errorf("density %d: %d chunks are arrays", density, dense)
		}
		next := uint64(0)
		m.extents(0, blocks, func(b, n uint64, src source) bool {
			if b != next {
				t.Fatalf("extent at %d, should be at %d", b, next)
			}
			for next < b+n {
				if want[next] != src {
					t.Fatalf("block %d is %d, should be %d", next, src, want[next])
				}
				next++
			}
			return true
		})
		if next != blocks {
			t.Fatalf("extents end at %d of %d", next, blocks)
		}
	}
}

// TestBlockMap_IsSmall keeps a promise: under 64 MB for 10 GiB of overlay
// over 1 TiB, scattered in the most expensive ways.
func TestBlockMap_IsSmall(t *testing.T) {
	if raceEnabled {
		return // millions of changes by one goroutine
	}
	const held = 10 << 30 / BlockSize
	for name, fill := range map[string]func(m *blockMap){
		"random 8 KiB": func(m *blockMap) {
			rnd := newRand(1)
			for range held / 2 {
				m.set(rnd.Uint64N(m.blocks-2), 2, srcLayer, noSource, srcLayer)
			}
		},
		"every other block": func(m *blockMap) {
			for i := range uint64(held) {
				m.set(i*2, 1, srcLayer, noSource, srcLayer)
			}
		},
		"clusters just large enough for arrays": func(m *blockMap) {
			for i := range uint64(held / maxRuns) {
				for j := range uint64(maxRuns + 1) {
					m.set(i*chunkBlocks+2*j, 1, srcLayer, noSource, srcLayer)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			m := newBlockMap(1 << 40)
			m.pending = &pending{held: roaring.New(), zero: roaring.New()}
			fill(m)
			used := int64(heap()) - int64(before)
			t.Logf("%.1f MB, of which pending %.1f MB", float64(used)/1e6, float64(m.pending.held.GetSizeInBytes())/1e6)
			if used > 60e6 {
				t.Errorf("%d bytes of memory for 10 GiB of overlay", used)
			}
			runtime.KeepAlive(m)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func benchmarkLookup(b *testing.B, layers int) {
	base := Base{Reader: block.NewMemory(1 << 30)}
	s := newTestStore(b, base)
	o := newTop(b, s, LayerID{}, base)
	rnd := newRand(1)
	p := randomBytes(rnd, 8192)
	for i := range layers { // the same writes, in one layer or in many
		for range 4096 / layers {
			write(b, o, nil, p, rnd.Int64N(1<<30/8192)*8192)
		}
		if i == layers-1 {
			break
		}
		if _, err := o.Checkpoint(""); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	at := uint64(0)
	for b.Loop() {
		o.m.span(at, 1)
		at = (at + 104729) % (1 << 30 / BlockSize)
	}
}

func BenchmarkLookup_1Layer(b *testing.B)   { benchmarkLookup(b, 1) }
func BenchmarkLookup_8Layers(b *testing.B)  { benchmarkLookup(b, 8) }
func BenchmarkLookup_64Layers(b *testing.B) { benchmarkLookup(b, 64) }

func benchmarkIO(b *testing.B, layers, size int, do func(o *Overlay, p []byte, off int64)) {
	base := Base{Reader: block.NewMemory(1 << 30)}
	s := newTestStore(b, base)
	o := newTop(b, s, LayerID{}, base)
	rnd := newRand(1)
	p := randomBytes(rnd, size)
	const disk = 64 << 20
	for i := range layers {
		for off := int64(0); off < disk; off += int64(size) {
			if layers == 1 || rnd.IntN(layers) == 0 {
				write(b, o, nil, p, off)
			}
		}
		if i < layers-1 {
			if _, err := o.Checkpoint(""); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	off := int64(0)
	for b.Loop() {
		do(o, p, off)
		off = (off + int64(size)*7) % disk
	}
}

func read(o *Overlay, p []byte, off int64)      { o.ReadAt(p, off) }
func overwrite(o *Overlay, p []byte, off int64) { o.WriteAt(p, off) }

func BenchmarkRead4K_1Layer(b *testing.B)   { benchmarkIO(b, 1, 4096, read) }
func BenchmarkRead4K_8Layers(b *testing.B)  { benchmarkIO(b, 8, 4096, read) }
func BenchmarkRead4K_64Layers(b *testing.B) { benchmarkIO(b, 64, 4096, read) }
func BenchmarkRead1M_1Layer(b *testing.B)   { benchmarkIO(b, 1, 1<<20, read) }
func BenchmarkWrite4K(b *testing.B)         { benchmarkIO(b, 1, 4096, overwrite) }
func BenchmarkWrite1M(b *testing.B)         { benchmarkIO(b, 1, 1<<20, overwrite) }
