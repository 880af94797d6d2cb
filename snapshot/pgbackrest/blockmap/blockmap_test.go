package blockmap

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// A builder writes maps the way the format's description says.
type builder []byte

func (b *builder) put(values ...uint64) *builder {
	for _, v := range values {
		*b = binary.AppendUvarint(*b, v)
	}
	return b
}

// sums appends n checksums of two bytes, counted from first.
func (b *builder) sums(first, n int) *builder {
	for i := range n {
		*b = append(*b, byte(first+i), 0xcc)
	}
	return b
}

// example is a map of 10 blocks of 8 KiB, the last one of 100 bytes:
//
//	0-1   backup 0, bundle 7, offset 100, super block of 4 blocks, 500 stored: blocks 0-1
//	2-3   backup 1, its own file, offset 0, super block of 2 blocks, 300 stored
//	4     backup 0 goes on: block 3 (2 was replaced)
//	5-8   backup 0, a gap of 50, 4 blocks, 600 stored, complete
//	9     backup 0, next super block, one block of 100 bytes, 90 stored
func example() (data []byte, size int64) {
	b := &builder{}
	b.put(0)
	b.put(0<<3|2|4, 7, 100).put(500<<3|1|2|4, 4<<1, (2-1)<<1).sums(0, 2)
	b.put(1<<3).put(zigzag(300-500)<<3|1|2, 2<<1).sums(2, 2)
	b.put(0<<3|2|4).put(0<<1|1, 1).sums(4, 1)
	b.put(0<<3|4|1, 50).put(zigzag(600-500)<<3).sums(5, 4)
	b.put(zigzag(90-600)<<3|1|2, 0<<1|1, 100).sums(9, 1)
	return *b, 9*8192 + 100
}

func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func TestParse(t *testing.T) {
	data, size := example()
	m, err := Parse(data, size, 8192, 2)
	if err != nil {
		t.Fatal(err)
	}
	supers := []Super{
		{0, 7, 100, 500, 4 * 8192},
		{1, 0, 0, 300, 2 * 8192},
		{0, 7, 650, 600, 4 * 8192},
		{0, 7, 1250, 90, 100},
	}
	blocks := []Block{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {0, 3}, {2, 0}, {2, 1}, {2, 2}, {2, 3}, {3, 0}}
	if !slices.Equal(m.Supers, supers) || !slices.Equal(m.Blocks, blocks) {
		t.Errorf("%+v\n%+v", m.Supers, m.Blocks)
	}
	for i := range m.Blocks {
		if got := m.Sum(i); len(got) != 2 || got[0] != byte(i) {
			t.Errorf("checksum of block %d: %x", i, got)
		}
	}
}

func TestParse_RefusesDamage(t *testing.T) {
	data, size := example()
	for i := range data {
		if _, err := Parse(data[:i], size, 8192, 2); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	for what, c := range map[string]struct {
		data      []byte
		size      int64
		blockSize int64
	}{
		"of a shorter file":   {data, size - 8192, 8192},
		"of a longer file":    {data, size + 8192, 8192},
		"more behind it":      {append(slices.Clone(data), 0), size, 8192},
		"a later version":     {append([]byte{1}, data[1:]...), size, 8192},
		"no size":             {data, 0, 8192},
		"no size of blocks":   {data, size, 0},
		"an absurd size":      {data, 1 << 62, 8192},
		"goes on in nothing":  {*(&builder{}).put(0, 0<<3|2, 1, 0<<3|2|4, 0).sums(0, 100), size, 8192},
		"numbers without end": {slices.Repeat([]byte{0xff}, 1000), size, 8192},
	} {
		if _, err := Parse(c.data, c.size, c.blockSize, 2); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	data, size := example()
	f.Add(data, size, int64(8192), 2)
	f.Fuzz(func(t *testing.T, data []byte, size, blockSize int64, sumSize int) {
		m, err := Parse(data, size, blockSize, sumSize)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		if int64(len(m.Blocks)) != (size+blockSize-1)/blockSize {
			t.Errorf("%d blocks for %d bytes", len(m.Blocks), size)
		}
		for i, b := range m.Blocks {
			s := m.Supers[b.Super]
			if int64(b.Index)*blockSize >= s.Size || s.Offset < 0 || s.Stored <= 0 || len(m.Sum(i)) != sumSize {
				t.Errorf("block %d: %+v of %+v", i, b, s)
			}
		}
	})
}
