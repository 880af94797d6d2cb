package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// errExclusive stops writeShared at a block that needs the region for itself.
var errExclusive = errors.New("needs the region for itself")

// noRoom is the error of a write that must wait.
type noRoom struct {
	why  HoldReason
	need int64 // blocks
}

func (e *noRoom) Error() string { return "no room: " + string(e.why) }

// writePiece writes p, which lies in one region, and waits for room as long as
// it must. It waits without any lock.
func (o *Overlay) writePiece(p []byte, off int64) (done int, err error) {
	var t ticket
	region := o.region(off)
	for done < len(p) {
		var k int
		o.mu.RLock()
		if o.closed.Load() {
			err = os.ErrClosed
		} else {
			region.RLock()
			k, err = o.writeShared(p[done:], off+int64(done))
			region.RUnlock()
			if err == errExclusive {
				region.Lock()
				var n int
				n, err = o.writeExclusive(p[done+k:], off+int64(done+k))
				region.Unlock()
				k += n
			}
		}
		o.changes.Add(1)
		o.mu.RUnlock()
		done += k
		if err == nil {
			continue
		}
		if full, ok := err.(*noRoom); ok {
			err = o.waitForRoom(&t, full.why, full.need)
		} else if isNoRoom(err) {
			err = o.waitForRoom(&t, HoldDiskFull, 0)
		}
		if err != nil {
			break
		}
	}
	o.hold.leave(&t)
	o.written.Add(int64(done))
	return done, err
}

// writeShared writes from p what it can beside other writers: whole blocks,
// and parts of blocks that the top holds already.
func (o *Overlay) writeShared(p []byte, off int64) (done int, err error) {
	for done < len(p) {
		q, at := p[done:], off+int64(done)
		b, in := uint64(at/BlockSize), int(at%BlockSize)
		var n int
		if whole := o.wholeBlocks(q, at); whole == 0 {
			n = min(BlockSize-in, len(q))
			if src, _ := o.m.span(b, 1); src != o.top {
				return done, errExclusive
			}
			_, err = o.data.f.WriteAt(q[:n], at)
		} else {
			var zero bool
			n, zero = sameKind(q[:whole])
			blocks := (n + BlockSize - 1) / BlockSize
			if !zero {
				err = o.storeBlocks(q[:n], b, blocks)
			} else if o.m.countNot(b, blocks, o.top) == blocks {
				o.count(o.m.set(b, blocks, srcZeroTop, o.top, o.top), srcZeroTop)
			} else {
				return done, errExclusive
			}
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// writeExclusive writes the first block, or the first run of zeros, of p, for
// which it has the region alone.
func (o *Overlay) writeExclusive(p []byte, off int64) (int, error) {
	b, in := uint64(off/BlockSize), int(off%BlockSize)
	if whole := o.wholeBlocks(p, off); whole > 0 {
		n, zero := sameKind(p[:whole])
		blocks := (n + BlockSize - 1) / BlockSize
		if zero {
			o.zeroRun(b, blocks)
			return n, nil
		}
		if err := o.storeBlocks(p[:n], b, blocks); err != nil {
			return 0, err
		}
		return n, nil
	}
	n := min(BlockSize-in, len(p))
	p = p[:n]
	buf := blockPool.Get().(*[BlockSize]byte)
	defer blockPool.Put(buf)
	blk := buf[:o.sizeOf(b, 1)]
	if _, err := o.readAll(blk, int64(b)*BlockSize); err != nil {
		return 0, err
	}
	copy(blk[in:], p)
	if isZero(blk) {
		o.zeroRun(b, 1)
		return n, nil
	}
	if err := o.storeBlocks(blk, b, 1); err != nil {
		return 0, err
	}
	return n, nil
}

var blockPool = sync.Pool{New: func() any { return new([BlockSize]byte) }}

// storeBlocks puts n whole blocks into the top's data file with one write, and then
// into the map.
func (o *Overlay) storeBlocks(p []byte, b uint64, n int) error {
	need := o.m.countNot(b, n, o.top)
	if need == 0 {
		_, err := o.data.f.WriteAt(p, int64(b)*BlockSize)
		return err
	}
	if err := o.reserve(int64(need)); err != nil {
		return err
	}
	if _, err := o.data.f.WriteAt(p, int64(b)*BlockSize); err != nil {
		o.release(int64(need))
		return err
	}
	t := o.m.set(b, n, o.top, noSource, o.top)
	o.count(t, o.top)
	// Another write may have stored some of these blocks in the meantime.
	if extra := need - (t.base + t.zeroTop + t.zeroBelow + t.below); extra > 0 {
		o.release(int64(extra))
	}
	return nil
}

// count keeps the figures of Stats: t blocks became src.
func (o *Overlay) count(t tally, src source) {
	o.viewHeld.Add(-int64(t.top + t.below))
	o.viewZero.Add(-int64(t.zeroTop + t.zeroBelow))
	o.topHeld.Add(-int64(t.top))
	o.topZero.Add(-int64(t.zeroTop))
	all := int64(t.base + t.zeroTop + t.zeroBelow + t.top + t.below)
	if src == srcZeroTop {
		o.viewZero.Add(all)
		o.topZero.Add(all)
	} else {
		o.viewHeld.Add(all)
		o.topHeld.Add(all)
	}
}

// zeroRun makes n whole blocks zeros and frees what the top holds of them. The
// caller has their regions to itself.
func (o *Overlay) zeroRun(b uint64, n int) {
	freed := int64(0)
	for n > 0 {
		src, k := o.m.span(b, n)
		if !isZeroSource(src) {
			o.count(o.m.set(b, k, srcZeroTop, noSource, o.top), srcZeroTop)
		}
		if src == o.top {
			// Where the host cannot punch holes the data stays, unread.
			_ = punch(o.data.f, int64(b)*BlockSize, int64(k)*BlockSize)
			freed += int64(k)
		}
		b, n = b+uint64(k), n-k
	}
	if freed > 0 {
		o.release(freed)
		o.hold.wake()
	}
}

// largeZero is the length from which Zero takes all regions at once, in bytes.
const largeZero = regionSize * regionCount

// zeroBlocks makes whole blocks zeros, at most n bytes of them, and returns how
// many bytes it did.
func (o *Overlay) zeroBlocks(off, n int64) (int64, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed.Load() {
		return 0, os.ErrClosed
	}
	if n >= largeZero {
		n = min(n, 1<<40) // a count of blocks must fit into 31 bits
		for i := range o.regions {
			o.regions[i].Lock()
			defer o.regions[i].Unlock()
		}
	} else {
		n = min(n, regionSize-off%regionSize)
		r := o.region(off)
		r.Lock()
		defer r.Unlock()
	}
	o.zeroRun(uint64(off/BlockSize), int((n+BlockSize-1)/BlockSize))
	o.changes.Add(1)
	return n, nil
}

// wholeBlocks returns how many bytes at the beginning of p make whole blocks.
// The device's last block is whole when p reaches the device's end.
func (o *Overlay) wholeBlocks(p []byte, off int64) int {
	if off%BlockSize != 0 {
		return 0
	}
	if off+int64(len(p)) == o.size {
		return len(p)
	}
	return len(p) / BlockSize * BlockSize
}

// sameKind returns the length of the longest beginning of p, in blocks of which
// only the last may be short, that is all zeros or has no block of zeros.
func sameKind(p []byte) (n int, zero bool) {
	zero = isZero(p[:min(BlockSize, len(p))])
	for n = min(BlockSize, len(p)); n < len(p); {
		k := min(BlockSize, len(p)-n)
		if isZero(p[n:n+k]) != zero {
			break
		}
		n += k
	}
	return n, zero
}

// isZero reports whether p, at most a block, is all zeros. Most blocks that
// are not say so in their first bytes.
func isZero(p []byte) bool {
	if len(p) >= 8 && binary.LittleEndian.Uint64(p) != 0 {
		return false
	}
	return bytes.Equal(p, zeroBlock[:len(p)])
}

// reclaim frees what a crash left in the top's data file beyond what its map
// holds, so that the file's allocation is what the overlay says.
func (o *Overlay) reclaim() error { return punchUnheld(o.data.f, o.m, o.top, o.size) }

func punchUnheld(f *os.File, m *blockMap, src source, size int64) error {
	return dataRuns(f, size, func(off, end int64) error {
		var err error
		first, last := uint64(off/BlockSize), blockCount(end)
		m.extents(first, last-first, func(b, n uint64, s source) bool {
			if s != src {
				err = punch(f, int64(b)*BlockSize, int64(n)*BlockSize)
			}
			return err == nil
		})
		if errors.Is(err, unix.EOPNOTSUPP) {
			return nil
		}
		return err
	})
}
