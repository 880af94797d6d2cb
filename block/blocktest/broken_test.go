package blocktest_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/block/blocktest"
)

// brokenEnv names the mistake that TestBroken gives to the suite.
const brokenEnv = "BLOCKTEST_BROKEN"

// broken are devices with one mistake each, and the subtest that must see it.
var broken = map[string]struct {
	seenBy string
	make   func(*block.Memory) block.Device
}{
	"short read without error": {"EOF", func(m *block.Memory) block.Device { return &shortRead{m} }},
	"error instead of EOF":     {"EOF", func(m *block.Memory) block.Device { return &strictRead{m} }},
	"write past the end":       {"OutOfRange", func(m *block.Memory) block.Device { return &cutWrite{m} }},
	"zero whole blocks":        {"ZeroThenRead", func(m *block.Memory) block.Device { return &roundZero{m} }},
	"write whole blocks":       {"ConcurrentDisjoint", func(m *block.Memory) block.Device { return &blockWrite{m} }},
	"zero does nothing":        {"ZeroThenRead", func(m *block.Memory) block.Device { return &noZero{m} }},
	"close twice":              {"Closed", func(m *block.Memory) block.Device { return &closeOnce{Memory: m} }},
	"alive after close":        {"Closed", func(m *block.Memory) block.Device { return &undead{m} }},
	"wrong extents":            {"Extents", func(m *block.Memory) block.Device { return &allZero{m} }},
}

// TestSuite_SeesMistakes runs the suite, in a process of its own, on devices
// that break the contract: each must fail where the mistake shows.
func TestSuite_SeesMistakes(t *testing.T) {
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestBroken$/^"+b.seenBy+"$", "-test.v")
			cmd.Env = append(os.Environ(), brokenEnv+"="+name)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("the suite accepts this device: %v", err)
			}
			if !strings.Contains(string(out), "--- FAIL: TestBroken/"+b.seenBy+" ") {
				t.Errorf("%s did not see it:\n%s", b.seenBy, out)
			}
		})
	}
}

// TestBroken is run by TestSuite_SeesMistakes only.
func TestBroken(t *testing.T) {
	b, ok := broken[os.Getenv(brokenEnv)]
	if !ok {
		return
	}
	blocktest.TestDevice(t, func(*testing.T) block.Device { return b.make(block.NewMemory(300_001)) })
}

type shortRead struct{ *block.Memory }

func (d *shortRead) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.Memory.ReadAt(p, off)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

type strictRead struct{ *block.Memory }

func (d *strictRead) ReadAt(p []byte, off int64) (int, error) {
	if err := block.CheckRange(off, int64(len(p)), d.Size()); err != nil {
		return 0, err
	}
	return d.Memory.ReadAt(p, off)
}

type cutWrite struct{ *block.Memory }

func (d *cutWrite) WriteAt(p []byte, off int64) (int, error) {
	if off >= 0 && off < d.Size() && int64(len(p)) > d.Size()-off {
		n, _ := d.Memory.WriteAt(p[:d.Size()-off], off)
		return n, io.ErrShortWrite
	}
	return d.Memory.WriteAt(p, off)
}

type roundZero struct{ *block.Memory }

func (d *roundZero) Zero(off, n int64) error {
	if off >= 0 && n > 0 && off+n <= d.Size() {
		start := off &^ 4095
		off, n = start, min((off+n+4095)&^4095, d.Size())-start
	}
	return d.Memory.Zero(off, n)
}

// blockWrite reads, changes and writes back whole blocks without a lock.
type blockWrite struct{ *block.Memory }

func (d *blockWrite) WriteAt(p []byte, off int64) (int, error) {
	if err := block.CheckRange(off, int64(len(p)), d.Size()); err != nil || len(p) == 0 {
		return d.Memory.WriteAt(p, off)
	}
	start := off &^ 4095
	buf := make([]byte, min((off+int64(len(p))+4095)&^4095, d.Size())-start)
	if _, err := d.ReadAt(buf, start); err != nil && err != io.EOF {
		return 0, err
	}
	time.Sleep(50 * time.Microsecond) // so that the mistake shows for certain
	copy(buf[off-start:], p)
	if _, err := d.Memory.WriteAt(buf, start); err != nil {
		return 0, err
	}
	return len(p), nil
}

type noZero struct{ *block.Memory }

func (d *noZero) Zero(off, n int64) error { return block.CheckRange(off, n, d.Size()) }

type closeOnce struct {
	*block.Memory
	closed bool
}

func (d *closeOnce) Close() error {
	if d.closed {
		return os.ErrClosed
	}
	d.closed = true
	return d.Memory.Close()
}

type undead struct{ *block.Memory }

func (d *undead) Close() error { return nil }

type allZero struct{ *block.Memory }

func (d *allZero) Extents(off, n int64, yield func(block.Extent) bool) error {
	if err := block.CheckRange(off, n, d.Size()); err != nil {
		return err
	}
	yield(block.Extent{Offset: off, Length: n, State: block.ExtentZero})
	return nil
}
