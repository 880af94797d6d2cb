package cow

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/snapview/snapview/block"
)

// testMapFile is a map file after one Sync and after two, the second with a
// record of several frames.
func testMapFile(t testing.TB) (one, two []byte) {
	t.Helper()
	b := Base{Reader: block.NewMemory(64 << 20)}
	s := newTestStore(t, b)
	o := newTop(t, s, LayerID{}, b)
	rnd := newRand(11)
	round := func(n int) []byte {
		for range n {
			b := rnd.Uint64N(o.m.blocks)
			o.m.set(b, 1, o.top, noSource, o.top)
			o.m.set((b*7)%o.m.blocks, 1, srcZeroTop, noSource, o.top)
		}
		o.changes.Add(1)
		must(t, o.Sync())
		data, err := os.ReadFile(s.mapPath(o.Top()))
		must(t, err)
		return data
	}
	return round(10), round(400)
}

func sameBlocks(a, b *layerMap) bool { return a.held.Equals(b.held) && a.zero.Equals(b.zero) }

func TestMap_AppendCutAnywhereIsTheSyncBefore(t *testing.T) {
	one, two := testMapFile(t)
	if !bytes.HasPrefix(two, one) || len(two)-len(one) < 3*frameSize || len(two)-len(one) > 12*frameSize {
		t.Fatalf("the second Sync appended %d bytes to %d", len(two)-len(one), len(one))
	}
	first, err := parseMap("one", one)
	must(t, err)
	second, err := parseMap("two", two)
	must(t, err)
	if sameBlocks(first, second) {
		t.Fatal("both Syncs give the same map")
	}
	for n := len(one); n <= len(two); n++ {
		m, err := parseMap("cut", two[:n])
		if err != nil {
			t.Fatalf("cut after byte %d of %d: %v", n, len(two), err)
		}
		want := first
		if n == len(two) {
			want = second
		}
		if !sameBlocks(m, want) || m.torn != (n > len(one) && n < len(two)) {
			t.Fatalf("cut after byte %d of %d: another map than a Sync's (torn: %v)", n, len(two), m.torn)
		}
	}
	// Sectors get to a disk in any order: every subset of them.
	frames := (len(two) - len(one)) / frameSize
	for mask := range 1 << frames {
		b := bytes.Clone(two)
		for k := range frames {
			if mask>>k&1 == 0 {
				clear(b[len(one)+k*frameSize:][:frameSize])
			}
		}
		m, err := parseMap("holes", b)
		if err != nil {
			t.Fatalf("sectors %b of the append: %v", mask, err)
		}
		want := first
		if mask == 1<<frames-1 {
			want = second
		}
		if !sameBlocks(m, want) {
			t.Fatalf("sectors %b of the append: another map than a Sync's", mask)
		}
	}
}

func TestMap_EveryFlippedByteIsRefusedWithItsPlace(t *testing.T) {
	_, two := testMapFile(t)
	for _, file := range [][]byte{two, sealedMap(t)} {
		for i := range file {
			b := bytes.Clone(file)
			b[i] ^= byte(1 + i%255)
			_, err := parseMap("flipped", b)
			var d *DamageError
			if !errors.As(err, &d) || !errors.Is(err, ErrDamaged) {
				t.Fatalf("byte %d changed: %v", i, err)
			}
			if d.Offset != int64(i)/frameSize*frameSize {
				t.Fatalf("byte %d changed, but %v", i, err)
			}
		}
	}
}

func sealedMap(t testing.TB) []byte {
	m := &layerMap{
		header: header{version: formatVersion, blockSize: BlockSize, size: 1 << 30, id: NewLayerID(), sealed: true},
		held:   roaring.BitmapOf(1, 5, 100_000, 200_000), zero: roaring.BitmapOf(7, 9),
		seal: seal{name: "before the migration"},
	}
	rnd := newRand(4)
	for range 600 {
		m.held.Add(uint32(10 + rnd.IntN(100_000)))
	}
	b, err := encodeMap(m)
	must(t, err)
	got, err := parseMap("sealed", b)
	must(t, err)
	if !sameBlocks(got, m) || got.name != m.name || !got.sealed {
		t.Fatal("a sealed map reads back otherwise")
	}
	return b
}

func TestMap_SealedFileCutAnywhereIsRefused(t *testing.T) {
	file := sealedMap(t)
	for n := range file {
		if _, err := parseMap("cut", file[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut after byte %d: %v", n, err)
		}
	}
	if _, err := parseMap("longer", append(bytes.Clone(file), 0)); !errors.Is(err, ErrDamaged) {
		t.Fatalf("one byte more: %v", err)
	}
}

func TestMap_ABlankAmidSyncedRecordsIsRefused(t *testing.T) {
	one, two := testMapFile(t)
	b := bytes.Clone(two)
	clear(b[len(one)-frameSize : len(one)]) // the first Sync's record
	_, err := parseMap("blank", b)
	var d *DamageError
	if !errors.As(err, &d) || d.Offset != int64(len(one)-frameSize) {
		t.Errorf("a record of an older Sync is gone: %v", err)
	}
	for _, file := range [][]byte{one[:2*frameSize], sealedMap(t)} { // no appended part
		for k := frameSize; k < len(file); k += frameSize {
			b := bytes.Clone(file)
			clear(b[k : k+frameSize])
			if _, err := parseMap("blank", b); !errors.As(err, &d) || d.Offset != int64(k) {
				t.Errorf("frame %d is gone: %v", k/frameSize, err)
			}
		}
	}
}

func TestMap_IsWrittenAnewWhenItsLogGrows(t *testing.T) {
	b, model := testBase(16 << 20)
	s := newTestStoreIn(t, fastDir(t), b)
	o := newTop(t, s, LayerID{}, b)
	rnd := newRand(2)
	const syncs = 500
	for range syncs {
		write(t, o, model, randomBytes(rnd, 8192), rnd.Int64N(2<<10)*8192)
		must(t, o.Sync())
	}
	fi, err := os.Stat(s.mapPath(o.Top()))
	must(t, err)
	if fi.Size() > 4*logSlack*frameSize {
		t.Errorf("the map has %d bytes after %d Syncs", fi.Size(), syncs)
	}
	id := o.Top()
	must(t, o.Close())
	if o, err = s.Open(id, b, noHeadroom); err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	wantBytes(t, "disk", readAll(t, o), model)
	if names, _ := filepath.Glob(filepath.Join(s.Dir(), layersDir, "*"+tmpSuffix)); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func FuzzParseMap(f *testing.F) {
	one, two := testMapFile(f)
	f.Add(one)
	f.Add(two)
	f.Add(sealedMap(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		fixSums(b) // else no change would get past the checksums
		m, err := parseMap("fuzz", b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("not a DamageError: %v", err)
			}
			return
		}
		n := blockCount(m.size)
		for _, bits := range []*roaring.Bitmap{m.held, m.zero} {
			if !bits.IsEmpty() && uint64(bits.Maximum()) >= n {
				t.Fatalf("block %d of %d", bits.Maximum(), n)
			}
		}
		if m.held.Intersects(m.zero) {
			t.Fatal("a block is held and zero")
		}
		if m.frames*frameSize > uint64(len(b)) {
			t.Fatalf("%d frames in %d bytes", m.frames, len(b))
		}
		if m.size <= 1<<32 {
			newBlockMap(m.size).load(m.held, m.zero, srcLayer, srcZeroTop)
		}
	})
}

// fixSums gives every frame the checksum of its bytes.
func fixSums(b []byte) {
	var salt []byte
	for n := 0; (n+1)*frameSize <= len(b); n++ {
		fr := b[n*frameSize : (n+1)*frameSize]
		sum := frameSum(salt, fr)
		fr[4], fr[5], fr[6], fr[7] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
		if n == 0 {
			salt = bytes.Clone(fr[frameHead+80 : frameHead+96])
		}
	}
}
