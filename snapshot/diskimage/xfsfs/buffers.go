package xfsfs

import (
	"bytes"
	"math/bits"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// Layout of a buffer's item: a bit map says which pieces of the buffer the
// regions behind it hold.
const (
	bufferInodes = 1 << 0 // it holds inodes, whose items have all but a list
	bufferCancel = 1 << 1 // its place is given up: what was logged of it is void
	bufferQuota  = 1<<2 | 1<<3 | 1<<4

	piece     = 128       // bytes for a bit
	maxBuffer = 128 << 10 // bytes
	kindShift = 11        // of the flags: what the buffer is
	// Quotas, headers of groups, free space and indexes of directories,
	// attributes, maps of realtime devices.
	kindsNotRead = 1<<5 | 1<<6 | 1<<7 | 1<<12 | 1<<13 | 1<<14 | 1<<15 | 1<<16 | 1<<17 | 1<<19 | 1<<20
)

// A buffer is what an item says of one.
type buffer struct {
	span
	flags uint16
	bits  []byte
}

func (r *replayer) parseBuffer(i *item) (buffer, error) {
	b := i.regions[0]
	if len(b) < 20 {
		return buffer{}, broken("a buffer's item of %d bytes", len(b))
	}
	words := int64(le.Uint32(b[16:]))
	out := buffer{span{int64(le.Uint64(b[8:])), int64(le.Uint16(b[6:]))}, le.Uint16(b[4:]), nil}
	end := r.f.size / sector
	if out.count == 0 || out.count*sector > maxBuffer || out.at < 0 || out.at > end-out.count || words > int64(len(b)-20)/4 {
		return buffer{}, broken("a buffer of %d sectors at %d of %d, %d words", out.count, out.at, end, words)
	}
	out.bits = b[20 : 20+4*words]
	return out, nil
}

// next finds the first run of bits at or behind one; count is 0 if there is none.
func (b *buffer) next(from int) (first, count int) {
	set := func(n int) bool { return b.bits[n/8]&(1<<(n%8)) != 0 }
	n := len(b.bits) * 8
	for first = from; first < n && !set(first); first++ {
		if first%8 == 0 && b.bits[first/8] == 0 {
			first += 7
		}
	}
	for end := first; end < n && set(end); end++ {
		count++
	}
	return first, count
}

// buffer replays one, unless what is in its place is newer.
func (r *replayer) buffer(b buffer, regions [][]byte, lsn uint64) error {
	if b.flags&bufferQuota != 0 || kindsNotRead>>(b.flags>>kindShift)&1 != 0 {
		return nil
	}
	content := make([]byte, b.count*sector)
	if err := imagefs.ReadFull(r.f.r, content, b.at*sector); err != nil {
		return err
	}
	r.f.overlay.patch(content, b.at*sector)
	if there := r.f.stamp(content); there != 0 && there >= lsn {
		return nil
	}
	dirty := make([]uint64, (b.count+63)/64)
	for at := 0; ; {
		first, count := b.next(at)
		if count == 0 {
			break
		}
		if len(regions) == 0 {
			return broken("its item has too few regions")
		}
		// A run may be in several regions.
		data := regions[0]
		regions = regions[1:]
		count = min(count, len(data)/piece)
		if count == 0 || (first+count)*piece > len(content) {
			return broken("its item has %d bytes for byte %d of %d", len(data), first*piece, len(content))
		}
		copy(content[first*piece:], data[:count*piece])
		for s := first * piece / sector; s <= (first*piece+count*piece-1)/sector; s++ {
			dirty[s/64] |= 1 << (s % 64)
		}
		at = first + count
	}
	return r.store(b.at, content, dirty)
}

// store puts the sectors that were changed into the overlay.
func (r *replayer) store(at int64, content []byte, dirty []uint64) error {
	for w, word := range dirty {
		for ; word != 0; word &= word - 1 {
			s := int64(w*64 + bits.TrailingZeros64(word))
			if err := r.f.overlay.put(at+s, content[s*sector:][:sector]); err != nil {
				return err
			}
		}
	}
	return nil
}

// stamp is the LSN that a block in its place bears: that of the last change that
// it holds. It is 0 for blocks that bear none, which are always replayed.
func (f *FS) stamp(b []byte) uint64 {
	if !f.v5 {
		return 0
	}
	lsn, id := 0, 0
	switch be.Uint32(b) {
	case 0x41425442, 0x41425443, 0x41423342, 0x41423343, // ABTB ABTC AB3B AB3C: free space
		0x524D4233, 0x52334643, // RMB3 R3FC: reverse maps, reference counts
		0x49414254, 0x49414233, 0x46494254, 0x46494233: // IABT IAB3 FIBT FIB3: inodes
		lsn, id = 24, 32
	case magicMap4, magicMap5:
		lsn, id = 32, 40
	case magicDirBlock5, magicDirData5:
		lsn, id = 16, 24
	case magicSymlink:
		lsn, id = 48, 16
	case magicSuperblock:
		if !bytes.Equal(b[32:48], f.uuid) {
			return 0
		}
		return valid(be.Uint64(b[240:]))
	default:
		return 0
	}
	if !bytes.Equal(b[id:id+16], f.metaUUID) {
		return 0 // of an older file system in the same place
	}
	return valid(be.Uint64(b[lsn:]))
}

// valid is an LSN, or 0 if it is the one that says nothing.
func valid(lsn uint64) uint64 {
	if lsn == 1<<64-1 {
		return 0
	}
	return lsn
}
