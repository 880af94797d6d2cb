package blocktest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/snapview/snapview/block"
)

// ErrInjected is wrapped by every error that a Faults injects.
var ErrInjected = errors.New("injected fault")

// An Op is a set of kinds of operations.
type Op uint8

// The kinds of operations; combine them with |.
const (
	OpRead Op = 1 << iota
	OpWrite
	OpZero
	OpSync
	OpClose

	AnyOp = OpRead | OpWrite | OpZero | OpSync | OpClose
)

// String names the operation for error messages.
func (o Op) String() string {
	switch o {
	case OpRead:
		return "read"
	case OpWrite:
		return "write"
	case OpZero:
		return "zero"
	case OpSync:
		return "sync"
	case OpClose:
		return "close"
	default:
		return fmt.Sprintf("ops %#x", uint8(o))
	}
}

// Faults decides which operations fail. Several decorators may share one, so
// that "the nth I/O" counts over all of them. It is safe for concurrent use.
// Injected operations do not reach the device below.
type Faults struct {
	mu    sync.Mutex
	ops   Op
	first int64 // index of the first operation to fail
	last  int64 // index of the last one to fail
	seen  int64
	hits  int64
}

// NewFaults returns a Faults that lets the first n operations of the given
// kinds pass and fails the one after them, once. A negative n fails nothing.
func NewFaults(n int64, ops Op) *Faults {
	f := &Faults{}
	f.Arm(n, 1, ops)
	return f
}

// Arm starts the count anew: after n operations of the given kinds have
// passed, the next times of them fail; times < 0 means all that follow. A
// negative n disarms.
func (f *Faults) Arm(n, times int64, ops Op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.hits, f.ops, f.first = 0, 0, ops, n
	switch {
	case n < 0:
		f.first, f.last = 0, -1
	case times < 0:
		f.last = 1<<63 - 1
	default:
		f.last = n + times - 1
	}
}

// Disarm lets every later operation pass: the fault has healed.
func (f *Faults) Disarm() { f.Arm(-1, 0, 0) }

// Hit reports whether any operation was failed since the last Arm.
func (f *Faults) Hit() bool { return f.Hits() > 0 }

// Hits returns how many operations were failed since the last Arm.
func (f *Faults) Hits() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Seen returns how many operations of the armed kinds came since the last Arm,
// failed ones included.
func (f *Faults) Seen() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

func (f *Faults) check(op Op, off, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ops&op == 0 {
		return nil
	}
	i := f.seen
	f.seen++
	if i < f.first || i > f.last {
		return nil
	}
	f.hits++
	return fmt.Errorf("%s #%d of %d bytes at %d: %w", op, i, n, off, ErrInjected)
}

// FaultReader returns r with the reads failing that f chooses. Optional
// interfaces of r are hidden, so that no byte goes past the faults.
func FaultReader(r block.Reader, f *Faults) block.Reader {
	return &faultReader{Reader: r, f: f}
}

type faultReader struct {
	block.Reader
	f *Faults
}

func (r *faultReader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.f.check(OpRead, off, int64(len(p))); err != nil {
		return 0, err
	}
	return r.Reader.ReadAt(p, off)
}

// FaultDevice returns d with the operations failing that f chooses. Optional
// interfaces of d are hidden. A failed Close does not close d.
func FaultDevice(d block.Device, f *Faults) block.Device {
	return &faultDevice{Device: d, f: f}
}

type faultDevice struct {
	block.Device
	f *Faults
}

func (d *faultDevice) ReadAt(p []byte, off int64) (int, error) {
	if err := d.f.check(OpRead, off, int64(len(p))); err != nil {
		return 0, err
	}
	return d.Device.ReadAt(p, off)
}

func (d *faultDevice) WriteAt(p []byte, off int64) (int, error) {
	if err := d.f.check(OpWrite, off, int64(len(p))); err != nil {
		return 0, err
	}
	return d.Device.WriteAt(p, off)
}

func (d *faultDevice) Zero(off, n int64) error {
	if err := d.f.check(OpZero, off, n); err != nil {
		return err
	}
	return d.Device.Zero(off, n)
}

func (d *faultDevice) Sync() error {
	if err := d.f.check(OpSync, 0, 0); err != nil {
		return err
	}
	return d.Device.Sync()
}

func (d *faultDevice) Close() error {
	if err := d.f.check(OpClose, 0, 0); err != nil {
		return err
	}
	return d.Device.Close()
}
