package blocktest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/snapview/snapview/block"
)

// maxDevice bounds the devices that TestDevice takes: it keeps a copy in RAM
// and compares all of it.
const maxDevice = 64 << 20

// TestDevice checks that the Device which newDevice makes keeps the contract
// of block.Device, and that of block.Reader by TestReader: reads, writes and
// zeroing at every alignment against a plain byte slice, ranges that do not
// exist, concurrency, and use after Close.
//
// newDevice is called once for each subtest and must return a device of its
// own each time, of 64 KiB to 64 MiB (1 MiB or so and not a multiple of
// 4096 is a good choice), with any content. The suite closes it; calling Close
// once more in a cleanup is harmless by contract.
func TestDevice(t *testing.T, newDevice func(t *testing.T) block.Device) {
	t.Helper()
	open := func(t *testing.T) block.Device {
		t.Helper()
		d := newDevice(t)
		if d.Size() < 64<<10 || d.Size() > maxDevice {
			t.Fatalf("TestDevice needs a device of 64 KiB to 64 MiB, not %d bytes", d.Size())
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return d
	}
	TestReader(t, func(t *testing.T) block.Reader {
		t.Helper()
		d := open(t)
		scribble(t, d)
		return d
	})
	t.Run("WriteThenRead", func(t *testing.T) { testWriteThenRead(t, open(t)) })
	t.Run("ZeroThenRead", func(t *testing.T) { testZeroThenRead(t, open(t)) })
	t.Run("OutOfRange", func(t *testing.T) { testOutOfRange(t, open(t)) })
	t.Run("Model", func(t *testing.T) { testModel(t, open(t)) })
	t.Run("ConcurrentDisjoint", func(t *testing.T) { testConcurrentDisjoint(t, open(t)) })
	t.Run("ConcurrentOverlapping", func(t *testing.T) { testConcurrentOverlapping(t, open(t)) })
	t.Run("Closed", func(t *testing.T) { testClosed(t, open(t)) })
	t.Run("CloseWhileBusy", func(t *testing.T) { testCloseWhileBusy(t, open(t)) })
}

// model is a device and the bytes that it must hold.
type model struct {
	d    block.Device
	want []byte
}

func newModel(t *testing.T, d block.Device) *model {
	t.Helper()
	return &model{d, readFull(t, d, 0, int(d.Size()))}
}

func (m *model) write(t *testing.T, off int64, p []byte) {
	t.Helper()
	kept := bytes.Clone(p)
	n, err := m.d.WriteAt(p, off)
	if n != len(p) || err != nil {
		t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(p), off, n, err)
	}
	if !bytes.Equal(p, kept) {
		t.Fatalf("WriteAt(%d bytes, %d) changed the caller's slice", len(p), off)
	}
	copy(m.want[off:], p)
	// A device that kept the slice instead of its bytes is seen by this.
	copy(p, bytes.Repeat([]byte{0xdb}, len(p)))
}

func (m *model) zero(t *testing.T, off, n int64) {
	t.Helper()
	if err := m.d.Zero(off, n); err != nil {
		t.Fatalf("Zero(%d, %d): %v", off, n, err)
	}
	clear(m.want[off : off+n])
}

func (m *model) check(t *testing.T) {
	t.Helper()
	got := readFull(t, m.d, 0, len(m.want))
	if i := firstDiff(got, m.want); i >= 0 {
		t.Fatalf("the device differs from the model first at byte %d: %#x, want %#x", i, got[i], m.want[i])
	}
}

// scribble writes and zeroes a little everywhere, so that the reader's suite
// sees a device in use.
func scribble(t *testing.T, d block.Device) {
	t.Helper()
	_, rnd := newRand(t)
	m := newModel(t, d)
	for range 20 {
		off, n := randRange(rnd, d.Size())
		if rnd.IntN(3) == 0 {
			m.zero(t, off, n)
		} else {
			m.write(t, off, randBytes(rnd, n))
		}
	}
	m.check(t)
}

// interesting lists ranges around block boundaries and the end.
func interesting(size int64) [][2]int64 {
	r := [][2]int64{
		{0, 1},
		{0, 4096},
		{1, 4095},
		{4095, 2},
		{4096, 4096},
		{4097, 4096},
		{511, 513},
		{8192 - 1, 8192 + 2},
		{12288 + 100, 100},
		{size - 1, 1},
		{size - 4097, 4097},
		{size - 5000, 4000},
		{20000, 0},
		{size, 0},
		{0, size},
	}
	return r
}

func testWriteThenRead(t *testing.T, d block.Device) {
	_, rnd := newRand(t)
	m := newModel(t, d)
	for _, r := range interesting(d.Size()) {
		m.write(t, r[0], randBytes(rnd, r[1]))
		m.check(t)
	}
	m.write(t, 4000, make([]byte, 9000)) // zeros written as data
	m.check(t)
	if err := d.Sync(); err != nil {
		t.Fatalf("Sync: %v", err)
	}
	m.check(t)
}

func testZeroThenRead(t *testing.T, d block.Device) {
	_, rnd := newRand(t)
	m := newModel(t, d)
	for _, r := range interesting(d.Size()) {
		m.write(t, 0, randBytes(rnd, d.Size()))
		m.zero(t, r[0], r[1])
		m.check(t)
		if r[1] > 0 { // writing into what was zeroed
			m.write(t, r[0]+r[1]/2, randBytes(rnd, (r[1]+1)/2))
			m.check(t)
		}
	}
}

func testOutOfRange(t *testing.T, d block.Device) {
	size := d.Size()
	_, rnd := newRand(t)
	m := newModel(t, d)
	m.write(t, 0, randBytes(rnd, size))
	for _, r := range [][2]int64{
		{size, 1},
		{size - 1, 2},
		{size - 5000, 5001},
		{size + 1, 1},
		{size + 1<<30, 4096},
		{-1, 1},
		{-4096, 4096},
		{-1, 2},
		{math.MaxInt64, 1},
		{math.MaxInt64 - 10, 4096},
	} {
		if n, err := d.WriteAt(make([]byte, r[1]), r[0]); n != 0 || err == nil {
			t.Errorf("WriteAt(%d bytes, %d) = %d, %v; want 0 and an error, size is %d", r[1], r[0], n, err, size)
		}
		if err := d.Zero(r[0], r[1]); err == nil {
			t.Errorf("Zero(%d, %d) succeeded, size is %d", r[0], r[1], size)
		}
	}
	for _, r := range [][2]int64{{0, -1}, {4096, -4096}, {1, math.MaxInt64}, {0, math.MinInt64}, {0, size + 1}} {
		if err := d.Zero(r[0], r[1]); err == nil {
			t.Errorf("Zero(%d, %d) succeeded, size is %d", r[0], r[1], size)
		}
	}
	m.check(t)
}

// testModel applies random operations to the device and to a byte slice.
func testModel(t *testing.T, d block.Device) {
	_, rnd := newRand(t)
	m := newModel(t, d)
	for i := range 600 {
		off, n := randRange(rnd, d.Size())
		switch rnd.IntN(10) {
		case 0, 1, 2, 3:
			m.write(t, off, randBytes(rnd, n))
		case 4:
			m.write(t, off, make([]byte, n))
		case 5, 6:
			m.zero(t, off, n)
		case 7:
			if err := d.Sync(); err != nil {
				t.Fatalf("Sync: %v", err)
			}
		default:
			got := readFull(t, d, off, int(n))
			if i := firstDiff(got, m.want[off:off+n]); i >= 0 {
				t.Fatalf("ReadAt(%d bytes, %d) differs first at byte %d", n, off, off+int64(i))
			}
		}
		if i%100 == 99 {
			m.check(t)
		}
	}
	m.check(t)
	if em, ok := d.(block.ExtentMapper); ok {
		checkExtents(t, em, span{0, m.want}, 0, int64(len(m.want)))
	}
}

// testConcurrentDisjoint has goroutines work on interleaved pieces that share
// blocks: a device that reads, changes and writes back a block without a lock
// loses a neighbour's bytes.
func testConcurrentDisjoint(t *testing.T, d block.Device) {
	seed, rnd := newRand(t)
	m := newModel(t, d)
	const workers, piece = 8, 700 // no divisor of a block
	m.write(t, 0, randBytes(rnd, d.Size()))
	pieces := d.Size() / piece
	var wg sync.WaitGroup
	for g := range int64(workers) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(g)))
			for range 400 {
				i := rnd.Int64N(pieces/workers)*workers + g
				off, mine := i*piece, m.want[i*piece:(i+1)*piece]
				switch rnd.IntN(3) {
				case 0:
					if err := d.Zero(off, piece); err != nil {
						t.Errorf("Zero(%d, %d): %v", off, piece, err)
						return
					}
					clear(mine)
				case 1:
					p := randBytes(rnd, piece)
					if n, err := d.WriteAt(p, off); n != piece || err != nil {
						t.Errorf("WriteAt(%d bytes, %d) = %d, %v", piece, off, n, err)
						return
					}
					copy(mine, p)
				default:
					p := make([]byte, piece)
					if n, err := d.ReadAt(p, off); n != piece || err != nil {
						t.Errorf("ReadAt(%d bytes, %d) = %d, %v", piece, off, n, err)
						return
					}
					if !bytes.Equal(p, mine) {
						t.Errorf("piece at %d was disturbed by its neighbours (seed %d)", off, seed)
						return
					}
				}
				if rnd.IntN(50) == 0 {
					if err := d.Sync(); err != nil {
						t.Errorf("Sync: %v", err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if !t.Failed() {
		m.check(t)
	}
}

// testConcurrentOverlapping writes different bytes to one place at once: in
// the end every byte must be one of those written, and the rest untouched.
func testConcurrentOverlapping(t *testing.T, d block.Device) {
	_, rnd := newRand(t)
	m := newModel(t, d)
	m.write(t, 0, bytes.Repeat([]byte{0xee}, int(d.Size())))
	const off, n, workers = 1000, 20000, 6
	for range 20 {
		var wg sync.WaitGroup
		for g := range workers {
			wg.Go(func() {
				if g == 0 {
					if err := d.Zero(off, n); err != nil {
						t.Errorf("Zero: %v", err)
					}
					return
				}
				if _, err := d.WriteAt(bytes.Repeat([]byte{byte(g)}, n), off); err != nil {
					t.Errorf("WriteAt: %v", err)
				}
			})
		}
		wg.Wait()
		got := readFull(t, d, 0, 32<<10) // whole blocks around the range
		for i, b := range got {
			inside := i >= off && i < off+n
			if inside && b >= workers || !inside && b != 0xee {
				t.Fatalf("byte %d is %#x after overlapping writes to [%d, %d)", i, b, off, off+n)
			}
		}
		m.write(t, off, randBytes(rnd, n))
	}
}

func testClosed(t *testing.T, d block.Device) {
	if err := d.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("the second Close: %v; want nil", err)
	}
	checkClosed(t, d)
}

func checkClosed(t *testing.T, d block.Device) {
	t.Helper()
	p := make([]byte, 4096)
	if n, err := d.ReadAt(p, 0); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("ReadAt after Close: %d, %v; want 0, os.ErrClosed", n, err)
	}
	if n, err := d.WriteAt(p, 0); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("WriteAt after Close: %d, %v; want 0, os.ErrClosed", n, err)
	}
	if err := d.Zero(0, 4096); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Zero after Close: %v; want os.ErrClosed", err)
	}
	if err := d.Sync(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Sync after Close: %v; want os.ErrClosed", err)
	}
	if m, ok := d.(block.ExtentMapper); ok {
		if err := m.Extents(0, 4096, func(block.Extent) bool { return true }); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Extents after Close: %v; want os.ErrClosed", err)
		}
	}
}

// testCloseWhileBusy closes the device under load: each operation either
// works or fails with os.ErrClosed, none works that began after Close had
// returned, nothing hangs, and nothing panics.
func testCloseWhileBusy(t *testing.T, d block.Device) {
	var closed atomic.Bool
	var wg, busy sync.WaitGroup
	busy.Add(4)
	for g := range int64(4) {
		wg.Go(func() {
			signal := sync.OnceFunc(busy.Done)
			defer signal()
			p := make([]byte, 5000)
			off := g * 6000
			for i := 0; ; i++ {
				late := closed.Load()
				var err error
				switch i % 4 {
				case 0:
					_, err = d.WriteAt(p, off)
				case 1:
					_, err = d.ReadAt(p, off)
				case 2:
					err = d.Zero(off, 5000)
				case 3:
					err = d.Sync()
				}
				if err == nil && late {
					t.Error("an operation after Close succeeded")
					return
				}
				if err != nil {
					if !errors.Is(err, os.ErrClosed) {
						t.Errorf("operation while closing: %v; want success or os.ErrClosed", err)
					}
					return
				}
				if i == 8 {
					signal()
				}
			}
		})
	}
	busy.Wait()
	if err := d.Close(); err != nil {
		t.Errorf("Close while busy: %v", err)
	}
	closed.Store(true)
	wg.Wait()
	checkClosed(t, d)
}

func randBytes(rnd *rand.Rand, n int64) []byte {
	p := make([]byte, n+8)
	for i := int64(0); i < n; i += 8 {
		binary.NativeEndian.PutUint64(p[i:], rnd.Uint64())
	}
	return p[:n:n]
}
