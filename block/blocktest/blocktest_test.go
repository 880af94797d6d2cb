package blocktest_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/block/blocktest"
)

func TestMemory_IsADevice(t *testing.T) {
	blocktest.TestDevice(t, func(*testing.T) block.Device { return block.NewMemory(700_001) })
}

func TestMemory_FromBytesIsADevice(t *testing.T) {
	data := bytes.Repeat([]byte("snapshot"), 20_000)
	blocktest.TestDevice(t, func(*testing.T) block.Device { return block.NewMemoryFrom(data) })
	if !bytes.Equal(data, bytes.Repeat([]byte("snapshot"), 20_000)) {
		t.Error("the caller's bytes were changed")
	}
}

func TestMemory_OfATerabyteIsCheap(t *testing.T) {
	m := block.NewMemory(1 << 40)
	blocktest.TestReader(t, func(*testing.T) block.Reader { return m })
	if _, err := m.WriteAt([]byte("x"), 1<<40-1); err != nil {
		t.Fatal(err)
	}
	if err := m.Zero(1<<40-1, 1); err != nil {
		t.Fatal(err)
	}
}

func TestCheckRange(t *testing.T) {
	for _, c := range []struct {
		off, n, size int64
		ok           bool
	}{
		{0, 0, 0, true},
		{0, 10, 10, true},
		{10, 0, 10, true},
		{1, 10, 10, false},
		{11, 0, 10, false},
		{-1, 1, 10, false},
		{0, -1, 10, false},
		{1, math.MaxInt64, math.MaxInt64, false},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64, false},
	} {
		err := block.CheckRange(c.off, c.n, c.size)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, block.ErrRange) {
			t.Errorf("CheckRange(%d, %d, %d) = %v", c.off, c.n, c.size, err)
		}
	}
}

func TestFaultDevice_FailsTheChosenOperation(t *testing.T) {
	d := block.NewMemory(1 << 20)
	p := make([]byte, 10)
	run := func(d block.Device) error {
		if _, err := d.WriteAt(p, 0); err != nil {
			return err
		}
		if _, err := d.ReadAt(p, 0); err != nil {
			return err
		}
		if err := d.Zero(0, 10); err != nil {
			return err
		}
		return d.Sync()
	}
	n := int64(0)
	for ; ; n++ {
		f := blocktest.NewFaults(n, blocktest.AnyOp)
		err := run(blocktest.FaultDevice(d, f))
		if f.Hit() != errors.Is(err, blocktest.ErrInjected) {
			t.Fatalf("n = %d: hit is %v, error %v", n, f.Hit(), err)
		}
		if !f.Hit() {
			break
		}
	}
	if n != 4 {
		t.Errorf("%d operations could be failed, want 4", n)
	}
	f := blocktest.NewFaults(0, blocktest.OpSync)
	fd := blocktest.FaultDevice(d, f)
	if err := run(fd); !errors.Is(err, blocktest.ErrInjected) || f.Seen() != 1 {
		t.Errorf("first Sync: %v, %d seen", err, f.Seen())
	}
	if err := run(fd); err != nil {
		t.Errorf("fails more than once: %v", err)
	}
	f.Arm(0, -1, blocktest.OpRead)
	for range 3 {
		if _, err := fd.ReadAt(p, 0); !errors.Is(err, blocktest.ErrInjected) {
			t.Errorf("reads that should all fail: %v", err)
		}
	}
	f.Disarm()
	if err := run(fd); err != nil {
		t.Errorf("after Disarm: %v", err)
	}
}

func TestCount(t *testing.T) {
	c := blocktest.Count(block.NewMemory(100))
	c.ReadAt(make([]byte, 60), 0)
	c.ReadAt(make([]byte, 60), 60)
	if c.Reads() != 2 || c.Bytes() != 100 {
		t.Errorf("%d reads of %d bytes, want 2 of 100", c.Reads(), c.Bytes())
	}
	c.Reset()
	if c.Reads() != 0 || c.Bytes() != 0 {
		t.Error("Reset did not")
	}
}
