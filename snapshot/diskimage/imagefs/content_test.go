package imagefs

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
)

func TestContent_HolesAndExtents(t *testing.T) {
	disk := make([]byte, 64*16)
	for i := range disk {
		disk[i] = byte(i / 16)
	}
	loads := 0
	c := NewContent(Layout{
		Size: 16*8 + 5, Block: 16, Place: -1,
		Load: func() (x Extents, err error) {
			loads++
			return x, errors.Join(
				x.Add(Extent{Logical: 1, Physical: 10, Count: 1}), x.Add(Extent{Logical: 2, Physical: 11, Count: 1}),
				x.Add(Extent{Logical: 5, Physical: 30, Count: 1}), x.Add(Extent{Logical: 1 << 60, Physical: 40, Count: 1 << 40}))
		},
		Read: func(p []byte, first uint64, off int64) error { copy(p, disk[int64(first)*16+off:]); return nil },
	})
	want := make([]byte, c.Size)
	for i := range want {
		switch i / 16 {
		case 1, 2:
			want[i] = byte(9 + i/16)
		case 5:
			want[i] = 30
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(c, 0, math.MaxInt64))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for off := range c.Size {
		b := make([]byte, 37)
		n, err := c.ReadAt(b, off)
		if int64(n) != min(37, c.Size-off) || !bytes.Equal(b[:n], want[off:][:n]) || (err == nil) != (off+37 < c.Size) {
			t.Errorf("at %d: %d bytes, %v", off, n, err)
		}
	}
	if loads != 1 {
		t.Errorf("the extents were looked for %d times", loads)
	}
	if list, _ := c.Extents(); len(list) != 3 {
		t.Errorf("neighbours were not joined: %v", list)
	}
}

func TestExtents_AddRefuses(t *testing.T) {
	x := Extents{{Logical: 5, Physical: 1, Count: 5}}
	if err := x.Add(Extent{Logical: 9, Physical: 20, Count: 1}); err == nil {
		t.Error("one that overlaps")
	}
	if err := x.Add(Extent{Logical: 10, Physical: 20, Count: math.MaxUint64}); err == nil {
		t.Error("one without an end")
	}
}
