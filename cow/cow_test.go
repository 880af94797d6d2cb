package cow

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/block/blocktest"
	"github.com/snapview/snapview/testneeds"
	"golang.org/x/sys/unix"
)

// waitFor waits until something becomes true, however slow the machine is.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// randomBytes are never zero, so that what is data and what is zeros shows.
func randomBytes(rnd *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(1 + rnd.IntN(255))
	}
	return p
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// testBase is a base of random bytes with a run of zeros in it.
func testBase(size int) (Base, []byte) {
	data := randomBytes(newRand(uint64(size)), size)
	clear(data[size/4 : size/2])
	return Base{Reader: block.NewMemoryFrom(data), ID: sha256.Sum256(data)}, data
}

// newTestStore makes a store in memory if it can: a busy disk makes every Sync
// slow. What measures allocation lies on the disk.
func newTestStore(t testing.TB, b Base) *Store {
	t.Helper()
	return newTestStoreIn(t, fastDir(t), b)
}

func newTestStoreIn(t testing.TB, dir string, b Base) *Store {
	t.Helper()
	s, err := CreateStore(filepath.Join(dir, "store"), StoreOptions{BaseID: b.ID, VirtualSize: b.Reader.Size()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noHeadroom is for tests, which must not depend on how full the disk is.
var noHeadroom = Options{Headroom: -1}

func newTop(t testing.TB, s *Store, parent LayerID, b Base) *Overlay {
	t.Helper()
	o, err := s.NewTop(parent, b, noHeadroom)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func write(t testing.TB, o *Overlay, model []byte, p []byte, off int64) {
	t.Helper()
	if n, err := o.WriteAt(p, off); err != nil || n != len(p) {
		t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(p), off, n, err)
	}
	if model != nil {
		copy(model[off:], p)
	}
}

func zero(t testing.TB, o *Overlay, model []byte, off, n int64) {
	t.Helper()
	if err := o.Zero(off, n); err != nil {
		t.Fatalf("Zero(%d, %d): %v", off, n, err)
	}
	if model != nil {
		clear(model[off : off+n])
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// readAll reads a whole disk.
func readAll(t testing.TB, r block.Reader) []byte {
	t.Helper()
	p := make([]byte, r.Size())
	if n, err := r.ReadAt(p, 0); n < len(p) {
		t.Fatalf("ReadAt: %d of %d bytes, %v", n, len(p), err)
	}
	return p
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: byte %d (block %d) is %#x, should be %#x", what, i, i/BlockSize, got[i], want[i])
		}
	}
}

// wantView checks a layer's disk.
func wantView(t testing.TB, s *Store, id LayerID, b Base, want []byte) {
	t.Helper()
	v, err := s.View(id, b)
	must(t, err)
	defer v.Close()
	wantBytes(t, "layer "+id.String(), readAll(t, v), want)
}

func TestOverlay_IsADevice(t *testing.T) {
	for name, size := range map[string]int{"whole blocks": 1 << 20, "short last block": 1<<20 + 1000} {
		t.Run(name, func(t *testing.T) {
			blocktest.TestDevice(t, func(t *testing.T) block.Device {
				b, _ := testBase(size)
				return newTop(t, newTestStore(t, b), LayerID{}, b)
			})
		})
	}
}

func TestOverlay_IsADeviceOverManyLayers(t *testing.T) {
	blocktest.TestDevice(t, func(t *testing.T) block.Device {
		b, _ := testBase(1<<20 + 1000)
		o := newTop(t, newTestStore(t, b), LayerID{}, b)
		rnd := newRand(3)
		for range 5 {
			for range 10 {
				off := rnd.Int64N(1 << 20)
				write(t, o, nil, randomBytes(rnd, 1+rnd.IntN(1000)), off)
				zero(t, o, nil, off, rnd.Int64N(1<<20-off)/8)
			}
			_, err := o.Checkpoint("")
			must(t, err)
		}
		return o
	})
}

func TestView_IsAReader(t *testing.T) {
	blocktest.TestReader(t, func(t *testing.T) block.Reader {
		b, _ := testBase(1<<20 + 1000)
		s := newTestStore(t, b)
		o := newTop(t, s, LayerID{}, b)
		write(t, o, nil, randomBytes(newRand(1), 300_000), 5000)
		zero(t, o, nil, 20_000, 100_000)
		must(t, o.Sync())
		v, err := s.View(o.Top(), b)
		must(t, err)
		t.Cleanup(func() { v.Close() })
		return v
	})
}

func TestOverlay_NeverWritesTheBase(t *testing.T) {
	b, data := testBase(1 << 20)
	before := sha256.Sum256(data)
	o := newTop(t, newTestStore(t, b), LayerID{}, b)
	write(t, o, nil, randomBytes(newRand(1), 1<<20), 0)
	if sha256.Sum256(readAll(t, b.Reader)) != before {
		t.Error("the base has changed")
	}
}

func TestOverlay_ReadsARunOfTheBaseAtOnce(t *testing.T) {
	b, data := testBase(4 << 20)
	c := blocktest.Count(b.Reader)
	o := newTop(t, newTestStore(t, b), LayerID{}, Base{c, b.ID})
	write(t, o, data, randomBytes(newRand(1), BlockSize), 2<<20)
	if c.Reads() != 0 {
		t.Errorf("writing a whole block read the base %d times", c.Reads())
	}
	wantBytes(t, "disk", readAll(t, o), data)
	if c.Reads() != 2 || c.Bytes() != 4<<20-BlockSize {
		t.Errorf("%d reads of %d bytes, want one on either side of the block held", c.Reads(), c.Bytes())
	}
	st, err := o.Stats()
	must(t, err)
	if st.BaseRead != c.Bytes() || st.Read != 4<<20 || st.Written != BlockSize {
		t.Errorf("Stats counts %d bytes of the base, %d read, %d written", st.BaseRead, st.Read, st.Written)
	}
}

func TestOverlay_AFailingBaseFailsThatRequestOnly(t *testing.T) {
	b, data := testBase(1 << 20)
	f := blocktest.NewFaults(0, blocktest.OpRead)
	o := newTop(t, newTestStore(t, b), LayerID{}, Base{blocktest.FaultReader(b.Reader, f), b.ID})
	if _, err := o.ReadAt(make([]byte, 100), 0); !errors.Is(err, blocktest.ErrInjected) {
		t.Errorf("ReadAt over a failing base: %v", err)
	}
	f.Arm(0, 1, blocktest.OpRead)
	if n, err := o.WriteAt(make([]byte, 100), 50); n != 0 || !errors.Is(err, blocktest.ErrInjected) {
		t.Errorf("WriteAt of part of a block over a failing base: %d, %v", n, err)
	}
	wantBytes(t, "disk after the base has healed", readAll(t, o), data)
}

func TestOverlay_ZerosTakeNoData(t *testing.T) {
	b, data := testBase(4 << 20)
	o := newTop(t, newTestStoreIn(t, t.TempDir(), b), LayerID{}, b)
	write(t, o, data, make([]byte, 2<<20), 1<<20)
	st, err := o.Stats()
	must(t, err)
	if st.TopHeld != 0 || st.TopZero != 2<<20 || st.TopAllocated != 0 {
		t.Errorf("2 MiB of zeros written: %+v", st)
	}
	write(t, o, data, randomBytes(newRand(2), 1<<20), 1<<20)
	zero(t, o, data, 1<<20+100, 1<<19)
	wantBytes(t, "disk", readAll(t, o), data)
	st, err = o.Stats()
	must(t, err)
	// Of 512 KiB from the middle of a block on, 127 blocks lie in it whole.
	if held := int64(256-127) * BlockSize; st.TopHeld != held || st.TopZero != 2<<20-held {
		t.Errorf("after zeroing: %d held, %d zero", st.TopHeld, st.TopZero)
	}
}

func TestOverlay_AllocatedIsWhatDuSays(t *testing.T) {
	testneeds.Tool(t, "du")
	b, _ := testBase(8 << 20)
	s := newTestStoreIn(t, t.TempDir(), b)
	o := newTop(t, s, LayerID{}, b)
	rnd := newRand(5)
	for range 3 {
		for range 100 {
			off := rnd.Int64N(8 << 20)
			write(t, o, nil, randomBytes(rnd, int(min(8<<20-off, 1+rnd.Int64N(40_000)))), off)
			zero(t, o, nil, off/2, min(8<<20-off/2, 20_000))
		}
		_, err := o.Checkpoint("")
		must(t, err)
	}
	write(t, o, nil, randomBytes(rnd, 100_000), 0)
	must(t, o.Sync())
	st, err := o.Stats()
	must(t, err)
	du := func(pattern string) (sum int64) {
		files, err := filepath.Glob(filepath.Join(s.Dir(), layersDir, pattern))
		must(t, err)
		for _, f := range files {
			out, err := exec.Command("du", "--block-size=1", f).Output()
			must(t, err)
			var n int64
			for _, c := range out {
				if c < '0' || c > '9' {
					break
				}
				n = n*10 + int64(c-'0')
			}
			sum += n
		}
		return sum
	}
	if d := du("*" + datSuffix); d != st.Allocated || d < st.Used {
		t.Errorf("du says %d bytes of data, Stats %d, held are %d", d, st.Allocated, st.Used)
	}
	if d := du("*" + mapSuffix); d != st.Metadata {
		t.Errorf("du says %d bytes of metadata, Stats %d", d, st.Metadata)
	}
	// Held blocks and the file system's own (extent blocks: one for each few
	// hundred runs) are all there is.
	if over := st.Allocated - st.Used; over > st.Used/20+int64(st.Depth)*8192 {
		t.Errorf("%d bytes allocated for %d held", st.Allocated, st.Used)
	}
}

func TestOverlay_RandomUpdatesCostWhatTheyChange(t *testing.T) {
	const size = 256 << 20
	b := Base{Reader: block.NewMemory(size)}
	o := newTop(t, newTestStoreIn(t, t.TempDir(), b), LayerID{}, b)
	rnd := newRand(9)
	changed := make(map[int64]bool)
	page := randomBytes(rnd, 8192)
	for range 10_000 {
		off := rnd.Int64N(size/8192) * 8192
		write(t, o, nil, page, off)
		changed[off] = true
	}
	must(t, o.Sync())
	st, err := o.Stats()
	must(t, err)
	truly := int64(len(changed)) * 8192
	if st.TopHeld != truly {
		t.Errorf("%d bytes held, %d changed", st.TopHeld, truly)
	}
	all := st.Allocated + st.Metadata
	t.Logf("%d bytes changed, %d on disk (%.4f times), %d of them metadata", truly, all, float64(all)/float64(truly), st.Metadata)
	if float64(all) > 1.15*float64(truly) {
		t.Errorf("%d bytes on disk for %d changed", all, truly)
	}
}

func TestOverlay_ExtentsTellHeldFromZeroFromBase(t *testing.T) {
	b, _ := testBase(1 << 20) // memory: has its own zeros
	s := newTestStore(t, b)
	o := newTop(t, s, LayerID{}, b)
	write(t, o, nil, randomBytes(newRand(1), BlockSize), 3*BlockSize)
	_, err := o.Checkpoint("")
	must(t, err)
	zero(t, o, nil, 5*BlockSize, BlockSize)
	states := make(map[int64]block.ExtentState)
	next := int64(100)
	must(t, o.Extents(100, 8*BlockSize, func(e block.Extent) bool {
		if e.Offset != next || e.Length <= 0 {
			t.Fatalf("extent %+v, should begin at %d", e, next)
		}
		next += e.Length
		for at := e.Offset / BlockSize; at <= (e.Offset+e.Length-1)/BlockSize; at++ {
			states[at] = e.State
		}
		return true
	}))
	for at, st := range states {
		want := block.ExtentState(0)
		switch at {
		case 3:
			want = block.ExtentHeld
		case 5:
			want = block.ExtentHeld | block.ExtentZero
		}
		if st != want {
			t.Errorf("block %d is %v, should be %v", at, st, want)
		}
	}
	if next != 100+8*BlockSize {
		t.Errorf("extents end at %d", next)
	}
}

func TestOverlay_MapFileNamesTheBytes(t *testing.T) {
	b, model := testBase(1 << 20)
	o := newTop(t, newTestStore(t, b), LayerID{}, b)
	write(t, o, model, randomBytes(newRand(1), 20_000), 8*BlockSize)
	_, err := o.Checkpoint("")
	must(t, err)
	write(t, o, model, randomBytes(newRand(2), 20_000), 10*BlockSize)
	if _, _, ok := o.MapFile(0, 10); ok {
		t.Error("a byte of the base in memory lies in a file")
	}
	off := int64(8*BlockSize + 100)
	for total := int64(0); total < 10_000; {
		r, release, ok := o.MapFile(off+total, 10_000-total)
		if !ok {
			t.Fatalf("byte %d is held, but lies in no file", off+total)
		}
		got := make([]byte, r.Length)
		if n, err := unix.Pread(int(r.FD), got, r.Offset); n != len(got) {
			t.Fatal(n, err)
		}
		wantBytes(t, "mapped bytes", got, model[off+total:off+total+r.Length])
		total += r.Length
		if total >= 10_000 { // closed while mapped
			must(t, o.Close())
			if _, err := unix.Pread(int(r.FD), got, r.Offset); err != nil {
				t.Errorf("a mapped file was closed: %v", err)
			}
		}
		release()
	}
}

func TestOverlay_HotPathsDoNotAllocate(t *testing.T) {
	b, _ := testBase(4 << 20)
	o := newTop(t, newTestStore(t, b), LayerID{}, b)
	p := randomBytes(newRand(1), 16384)
	write(t, o, nil, p, 0)
	for name, f := range map[string]func(){
		"read held":     func() { o.ReadAt(p, 0) },
		"read base":     func() { o.ReadAt(p, 2<<20) },
		"overwrite":     func() { o.WriteAt(p, 0) },
		"write in part": func() { o.WriteAt(p[:100], 77) },
		"map":           func() { _, release, _ := o.MapFile(0, 4096); release() },
	} {
		if n := testing.AllocsPerRun(100, f); n >= 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
