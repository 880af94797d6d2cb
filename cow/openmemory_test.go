package cow

import (
	"os"
	"runtime"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
)

// nothing is a base of zeros.
type nothing int64

func (n nothing) Size() int64 { return int64(n) }

func (n nothing) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// TestOpen_TakesLittleMoreThanTheMap has an overlay that was written at random
// opened: all that is allocated meanwhile stays within a few times the map,
// which bounds the peak of the process' memory.
func TestOpen_TakesLittleMoreThanTheMap(t *testing.T) {
	b := Base{Reader: nothing(128 << 30)}
	s := newTestStore(t, b)
	o := newTop(t, s, LayerID{}, b)
	rnd := newRand(3)
	for range 1280 << 20 / 8192 { // as 10 GiB over 1 TiB, an eighth of it
		o.m.set(rnd.Uint64N(o.m.blocks/2)*2, 2, o.top, noSource, o.top)
	}
	o.changes.Add(1)
	must(t, o.Sync())
	id := o.Top()
	must(t, o.Close())
	fi, err := os.Stat(s.mapPath(id))
	must(t, err)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	o, err = s.Open(id, b, Options{Headroom: -1})
	must(t, err)
	runtime.ReadMemStats(&after)
	defer o.Close()
	allocated := int64(after.TotalAlloc - before.TotalAlloc)
	t.Logf("%.1f MB allocated for a map of %.1f MB", float64(allocated)/1e6, float64(fi.Size())/1e6)
	if allocated > 8*fi.Size() {
		t.Errorf("%d bytes allocated for a map of %d", allocated, fi.Size())
	}
}

// TestBlockMap_LoadIsSet has layers loaded over one another as if each block
// was set by itself.
func TestBlockMap_LoadIsSet(t *testing.T) {
	const blocks = 4*chunkBlocks + 77
	rnd := newRand(5)
	loaded, set := newBlockMap(blocks*BlockSize), newBlockMap(blocks*BlockSize)
	for layer := range source(6) {
		held, zero := roaring.New(), roaring.New()
		for range 1 << (2 * layer) * 3 { // from a few long runs to chunks that turn into arrays
			at := rnd.Uint64N(blocks)
			n := min(1+rnd.Uint64N(2*chunkBlocks>>(2*layer)), blocks-at)
			to, from := held, zero
			if rnd.IntN(3) == 0 {
				to, from = zero, held
			}
			to.AddRange(at, at+n)
			from.RemoveRange(at, at+n)
		}
		loaded.load(held, zero, srcLayer+layer, srcZeroBelow)
		for b := range uint64(blocks) {
			switch {
			case held.Contains(uint32(b)):
				set.set(b, 1, srcLayer+layer, noSource, noSource)
			case zero.Contains(uint32(b)):
				set.set(b, 1, srcZeroBelow, noSource, noSource)
			}
		}
		for at := uint64(0); at < blocks; {
			got, n := loaded.span(at, int(blocks-at))
			want, k := set.span(at, int(blocks-at))
			if got != want || n != k {
				t.Fatalf("layer %d: block %d is %d for %d blocks, should be %d for %d", layer, at, got, n, want, k)
			}
			at += uint64(n)
		}
	}
}
