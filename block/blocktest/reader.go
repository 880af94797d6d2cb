package blocktest

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/block"
)

// window bounds how much of a large reader is compared byte by byte: this
// much at its beginning and at its end.
const window = 4 << 20

// TestReader checks that the Reader which newReader makes keeps the contract
// of block.Reader: its size, reads at every kind of offset and length, the end
// of file, and concurrency. Its content is whatever it says when read in one
// piece; every other read must agree with that. Of a reader larger than 8 MiB
// only the first and the last 4 MiB are compared.
//
// newReader is called once for each subtest; it registers its own cleanup. If
// the Reader has the optional block.ExtentMapper, that is checked too.
func TestReader(t *testing.T, newReader func(t *testing.T) block.Reader) {
	t.Helper()
	t.Run("EOF", func(t *testing.T) { testEOF(t, newReader(t)) })
	t.Run("Unaligned", func(t *testing.T) { testUnalignedReads(t, newReader(t)) })
	t.Run("ConcurrentReads", func(t *testing.T) { testConcurrentReads(t, newReader(t)) })
	t.Run("Extents", func(t *testing.T) { testExtents(t, newReader(t)) })
}

// span is a part of a reader whose content is known.
type span struct {
	off  int64
	data []byte
}

// spans reads what the suite compares against: all of r, or both of its ends.
func spans(t *testing.T, r block.Reader) []span {
	t.Helper()
	size := r.Size()
	if size <= 0 {
		t.Fatalf("Size() = %d; the suite needs at least one byte", size)
	}
	if size <= 2*window {
		return []span{{0, readFull(t, r, 0, int(size))}}
	}
	return []span{
		{0, readFull(t, r, 0, window)},
		{size - window, readFull(t, r, size-window, window)},
	}
}

// readFull reads n bytes that must exist; io.EOF beside a full count is legal.
func readFull(t *testing.T, r block.Reader, off int64, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	got, err := r.ReadAt(p, off)
	if got != n || (err != nil && !(errors.Is(err, io.EOF) && off+int64(n) == r.Size())) {
		t.Fatalf("ReadAt(%d bytes, %d) = %d, %v; size is %d", n, off, got, err, r.Size())
	}
	return p
}

func testEOF(t *testing.T, r block.Reader) {
	size := r.Size()
	all := spans(t, r)
	tail := all[len(all)-1]

	n, err := r.ReadAt(make([]byte, 16), size)
	if n != 0 || err != io.EOF {
		t.Errorf("ReadAt at Size: %d, %v; want 0, io.EOF", n, err)
	}
	n, err = r.ReadAt(make([]byte, 16), size+1<<20)
	if n != 0 || err != io.EOF {
		t.Errorf("ReadAt past Size: %d, %v; want 0, io.EOF", n, err)
	}
	n, err = r.ReadAt(make([]byte, 16), math.MaxInt64-8)
	if n != 0 || err != io.EOF {
		t.Errorf("ReadAt at the largest offset: %d, %v; want 0, io.EOF", n, err)
	}
	for _, before := range []int64{1, 511, 4096, 5000} {
		if before > size {
			continue
		}
		p := bytes.Repeat([]byte{0xa5}, int(before)+100)
		n, err = r.ReadAt(p, size-before)
		if int64(n) != before || err != io.EOF {
			t.Errorf("ReadAt across the end, %d bytes before it: %d, %v; want %d, io.EOF", before, n, err, before)
			continue
		}
		if !bytes.Equal(p[:n], tail.data[int64(len(tail.data))-before:]) {
			t.Errorf("ReadAt across the end gave other bytes than a read up to it")
		}
	}
	if n, err = r.ReadAt(nil, 0); n != 0 || err != nil {
		t.Errorf("ReadAt of nothing: %d, %v; want 0, nil", n, err)
	}
	if n, err = r.ReadAt(make([]byte, 1), -1); n != 0 || err == nil || err == io.EOF {
		t.Errorf("ReadAt(-1): %d, %v; want an error other than io.EOF", n, err)
	}
	if again := r.Size(); again != size {
		t.Errorf("Size changed from %d to %d", size, again)
	}
}

func testUnalignedReads(t *testing.T, r block.Reader) {
	seed, rnd := newRand(t)
	for _, s := range spans(t, r) {
		for range 300 {
			off, n := randRange(rnd, int64(len(s.data)))
			compareRead(t, r, s, off, n, seed)
		}
	}
}

// compareRead reads n bytes at off within s into the middle of a larger
// buffer, so that a reader that writes outside its slice is seen.
func compareRead(t *testing.T, r block.Reader, s span, off, n int64, seed uint64) {
	t.Helper()
	const guard = 64
	buf := bytes.Repeat([]byte{0xa5}, int(n)+2*guard)
	p := buf[guard : guard+n : guard+n]
	got, err := r.ReadAt(p, s.off+off)
	if int64(got) != n || (err != nil && !(err == io.EOF && s.off+off+n == r.Size())) {
		t.Fatalf("ReadAt(%d bytes, %d) = %d, %v (seed %d)", n, s.off+off, got, err, seed)
	}
	if i := firstDiff(p, s.data[off:off+n]); i >= 0 {
		t.Fatalf("ReadAt(%d bytes, %d) differs first at byte %d: %#x, want %#x (seed %d)",
			n, s.off+off, s.off+off+int64(i), p[i], s.data[off+int64(i)], seed)
	}
	for i := range guard {
		if buf[i] != 0xa5 || buf[len(buf)-1-i] != 0xa5 {
			t.Fatalf("ReadAt(%d bytes, %d) wrote outside its slice", n, s.off+off)
		}
	}
}

func testConcurrentReads(t *testing.T, r block.Reader) {
	all := spans(t, r)
	seed, _ := newRand(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(g)))
			for range 100 {
				s := all[rnd.IntN(len(all))]
				off, n := randRange(rnd, int64(len(s.data)))
				p := make([]byte, n)
				got, err := r.ReadAt(p, s.off+off)
				if int64(got) != n || (err != nil && err != io.EOF) {
					t.Errorf("concurrent ReadAt(%d bytes, %d) = %d, %v (seed %d)", n, s.off+off, got, err, seed)
					return
				}
				if i := firstDiff(p, s.data[off:off+n]); i >= 0 {
					t.Errorf("concurrent ReadAt(%d bytes, %d) differs at byte %d (seed %d)", n, s.off+off, i, seed)
					return
				}
			}
		})
	}
	wg.Wait()
}

// testExtents checks that extents cover what was asked for in order and
// without gap, and that what they call zero reads as zeros.
func testExtents(t *testing.T, r block.Reader) {
	m, ok := r.(block.ExtentMapper)
	if !ok {
		return
	}
	for _, s := range spans(t, r) {
		checkExtents(t, m, s, 0, int64(len(s.data)))
	}
	_, rnd := newRand(t)
	for _, s := range spans(t, r) {
		for range 50 {
			off, n := randRange(rnd, int64(len(s.data)))
			checkExtents(t, m, s, off, n)
		}
	}
	if err := m.Extents(0, r.Size(), func(block.Extent) bool { return false }); err != nil {
		t.Errorf("Extents stopped by the caller: %v", err)
	}
	if err := m.Extents(-1, 1, func(block.Extent) bool { return true }); err == nil {
		t.Errorf("Extents(-1) succeeded")
	}
}

func checkExtents(t *testing.T, m block.ExtentMapper, s span, off, n int64) {
	t.Helper()
	at := s.off + off
	err := m.Extents(at, n, func(e block.Extent) bool {
		if e.Offset != at || e.Length <= 0 || e.Length > s.off+off+n-at {
			t.Fatalf("Extents(%d, %d) yielded %+v at %d", s.off+off, n, e, at)
		}
		if e.State&block.ExtentZero != 0 {
			part := s.data[at-s.off : at-s.off+e.Length]
			if i := firstNonZero(part); i >= 0 {
				t.Fatalf("extent %+v is said to be zero, but byte %d is %#x", e, at+int64(i), part[i])
			}
		}
		at += e.Length
		return true
	})
	if err != nil {
		t.Fatalf("Extents(%d, %d): %v", s.off+off, n, err)
	}
	if at != s.off+off+n {
		t.Fatalf("Extents(%d, %d) ended at %d", s.off+off, n, at)
	}
}

// newRand returns a source of random numbers and prints its seed, with which
// a failure can be repeated by putting it here.
func newRand(t *testing.T) (uint64, *rand.Rand) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return seed, rand.New(rand.NewPCG(seed, 0))
}

// randRange picks a range of at least one byte within size. It favours the
// neighbourhood of block boundaries, where mistakes live.
func randRange(rnd *rand.Rand, size int64) (off, n int64) {
	pick := func(limit int64) int64 {
		v := rnd.Int64N(limit)
		switch rnd.IntN(4) {
		case 0:
			v &^= 4095
		case 1:
			v = v&^4095 + rnd.Int64N(5) - 2
		}
		return min(max(v, 0), limit-1)
	}
	off = pick(size)
	limit := size - off
	switch rnd.IntN(4) {
	case 0:
		limit = min(limit, 600)
	case 1, 2:
		limit = min(limit, 20<<10)
	default:
		limit = min(limit, 512<<10)
	}
	return off, pick(limit) + 1
}

func firstDiff(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

func firstNonZero(p []byte) int {
	var zeros [4096]byte
	for at := 0; at < len(p); at += len(zeros) {
		part := p[at:min(at+len(zeros), len(p))]
		if bytes.Equal(part, zeros[:len(part)]) {
			continue
		}
		for i, b := range part {
			if b != 0 {
				return at + i
			}
		}
	}
	return -1
}
