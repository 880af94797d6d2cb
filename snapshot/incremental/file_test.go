package incremental

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/snapview/snapview/snapshot"
)

// makeDelta writes an incremental file whose block b is filled with fill.
func makeDelta(trunc uint32, fill byte, blocks ...uint32) []byte {
	var b []byte
	for _, v := range append([]uint32{magic, uint32(len(blocks)), trunc}, blocks...) {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	if len(blocks) > 0 {
		b = append(b, make([]byte, (blockSize-len(b)%blockSize)%blockSize)...)
	}
	for _, n := range blocks {
		b = append(b, bytes.Repeat([]byte{fill}, blockSize-4)...)
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

func parse(t testing.TB, b []byte) *delta {
	t.Helper()
	d, err := readDelta(bytes.NewReader(b), int64(len(b)), "test")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Random chains, compared with applying the deltas one after the other.
func TestMerged_EqualsApplyingInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 50 {
		full := make([]byte, blockSize*(1+rnd.IntN(30)))
		for i := range full {
			full[i] = byte(rnd.Int())
		}
		state := slices.Clone(full)
		files := []older{{full: bytes.NewReader(full), size: int64(len(full))}}
		var newest *delta
		for gen := range 1 + rnd.IntN(4) {
			before := len(state) / blockSize
			trunc := before
			if rnd.IntN(3) == 0 {
				trunc = 1 + rnd.IntN(before)
			}
			after := trunc + rnd.IntN(5)
			var blocks []uint32
			for b := range after {
				if b >= trunc || rnd.IntN(4) == 0 {
					blocks = append(blocks, uint32(b))
				}
			}
			raw := makeDelta(uint32(trunc), byte(gen+1), blocks...)
			d := parse(t, raw)
			next := make([]byte, d.length()*blockSize)
			copy(next, state[:trunc*blockSize])
			for _, b := range blocks {
				i, _ := slices.BinarySearch(d.blocks, b)
				off := d.data + int64(i)*blockSize
				copy(next[int(b)*blockSize:], raw[off:off+blockSize])
			}
			if newest != nil {
				files = append([]older{{delta: newest}}, files...)
			}
			state, newest = next, d
		}
		m := &merged{newest: newest, load: func() ([]older, error) { return files, nil }}
		got, err := io.ReadAll(io.NewSectionReader(m, 0, newest.length()*blockSize))
		if err != nil || !bytes.Equal(got, state) {
			t.Fatalf("%d bytes, want %d (%v), equal: %v", len(got), len(state), err, bytes.Equal(got, state))
		}
		for range 50 {
			off := rnd.IntN(len(state))
			p := bytes.Repeat([]byte{0xee}, min(1+rnd.IntN(5*blockSize), len(state)-off))
			if _, err := m.ReadAt(p, int64(off)); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p, state[off:off+len(p)]) {
				t.Fatalf("%d bytes at %d differ (%v)", len(p), off, err)
			}
		}
	}
}

// A relation that grew without a block being written reads as zeros there.
func TestMerged_MissingBlocksAreZeros(t *testing.T) {
	full := bytes.Repeat([]byte{9}, blockSize+100) // last block not whole
	m := &merged{newest: parse(t, makeDelta(4, 1)), load: func() ([]older, error) {
		return []older{{full: bytes.NewReader(full), size: int64(len(full))}}, nil
	}}
	got := make([]byte, 4*blockSize)
	if _, err := m.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	if want := append(slices.Clone(full), make([]byte, 3*blockSize-100)...); !bytes.Equal(got, want) {
		t.Error("other bytes")
	}
}

func TestReadDelta_RefusesDamage(t *testing.T) {
	good := makeDelta(5, 1, 1, 3)
	change := func(f func(b []byte)) []byte { b := slices.Clone(good); f(b); return b }
	for name, b := range map[string][]byte{
		"empty":         nil,
		"short":         good[:8],
		"cut":           good[:len(good)-1],
		"other magic":   change(func(b []byte) { b[0]++ }),
		"many blocks":   change(func(b []byte) { b[7] = 0xff }),
		"long":          change(func(b []byte) { b[11] = 0xff }),
		"out of order":  change(func(b []byte) { b[12] = 3 }),
		"out of range":  change(func(b []byte) { b[19] = 1 }),
		"not a segment": bytes.Repeat([]byte{1}, 8192),
	} {
		if _, err := readDelta(bytes.NewReader(b), int64(len(b)), name); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDelta(f *testing.F) {
	f.Add(makeDelta(5, 1, 1, 3))
	f.Add(makeDelta(3, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := readDelta(bytes.NewReader(b), int64(len(b)), "fuzz")
		if err != nil {
			return
		}
		m := &merged{newest: d, load: func() ([]older, error) { return nil, nil }}
		if n := d.length() * blockSize; n > 0 {
			p := make([]byte, 3*blockSize)
			for _, off := range []int64{0, n / 2, n - 1} {
				if _, err := m.ReadAt(p, off); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
		}
	})
}
