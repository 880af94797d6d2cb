package block

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// memoryChunk is the unit in which a Memory takes and gives back space.
const memoryChunk = 64 << 10

var (
	_ Device       = (*Memory)(nil)
	_ ExtentMapper = (*Memory)(nil)
)

// ErrRange reports an operation on bytes that the device does not have: a
// negative offset or length, or a write or zero that reaches past Size.
var ErrRange = errors.New("range outside the device")

// CheckRange returns an error wrapping ErrRange unless the n bytes at off lie
// within a device of size bytes. It is safe against overflow.
func CheckRange(off, n, size int64) error {
	if off < 0 || n < 0 || off > size || n > size-off {
		return fmt.Errorf("%w: %d bytes at offset %d of %d", ErrRange, n, off, size)
	}
	return nil
}

// Memory is a Device in RAM: the reference implementation of the contract and
// the stand-in for real devices in tests. It is sparse: only chunks of 64 KiB
// that were written take memory, so that a Memory of a terabyte is cheap.
type Memory struct {
	size int64

	mu     sync.RWMutex // one lock for everything: correctness before speed
	chunks map[int64]*[memoryChunk]byte
	closed bool
}

// NewMemory returns a device of size bytes, all zero. A negative size counts
// as 0.
func NewMemory(size int64) *Memory {
	return &Memory{size: max(size, 0), chunks: make(map[int64]*[memoryChunk]byte)}
}

// NewMemoryFrom returns a device that holds a copy of data.
func NewMemoryFrom(data []byte) *Memory {
	m := NewMemory(int64(len(data)))
	m.store(data, 0)
	return m
}

// Size implements Reader.
func (m *Memory) Size() int64 { return m.size }

// ReadAt implements Reader.
func (m *Memory) ReadAt(p []byte, off int64) (int, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return 0, os.ErrClosed
	}
	if off < 0 {
		return 0, CheckRange(off, int64(len(p)), m.size)
	}
	if off >= m.size && len(p) > 0 {
		return 0, io.EOF
	}
	want := len(p)
	p = p[:min(int64(want), max(m.size-off, 0))]
	n := 0
	for n < len(p) {
		at := off + int64(n)
		in := at % memoryChunk
		part := p[n:min(len(p), n+int(memoryChunk-in))]
		if c := m.chunks[at/memoryChunk]; c != nil {
			copy(part, c[in:])
		} else {
			clear(part)
		}
		n += len(part)
	}
	if n < want {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements Device.
func (m *Memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, os.ErrClosed
	}
	if err := CheckRange(off, int64(len(p)), m.size); err != nil {
		return 0, err
	}
	m.store(p, off)
	return len(p), nil
}

// store copies p to off, which is known to lie within the device.
func (m *Memory) store(p []byte, off int64) {
	for len(p) > 0 {
		c := m.chunks[off/memoryChunk]
		if c == nil {
			c = new([memoryChunk]byte)
			m.chunks[off/memoryChunk] = c
		}
		n := copy(c[off%memoryChunk:], p)
		p, off = p[n:], off+int64(n)
	}
}

// Zero implements Device: whole chunks are given back.
func (m *Memory) Zero(off, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return os.ErrClosed
	}
	if err := CheckRange(off, n, m.size); err != nil {
		return err
	}
	for n > 0 {
		in := off % memoryChunk
		part := min(n, memoryChunk-in)
		if part == memoryChunk {
			delete(m.chunks, off/memoryChunk)
		} else if c := m.chunks[off/memoryChunk]; c != nil {
			clear(c[in : in+part])
		}
		off, n = off+part, n-part
	}
	return nil
}

// Sync implements Device. Memory is as stable as it gets.
func (m *Memory) Sync() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return os.ErrClosed
	}
	return nil
}

// Close implements Device and gives the memory back.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.chunks = true, nil
	return nil
}

// Extents implements ExtentMapper: chunks never written, or zeroed whole, are
// ExtentZero. yield must not call methods of m that write.
func (m *Memory) Extents(off, n int64, yield func(Extent) bool) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return os.ErrClosed
	}
	if err := CheckRange(off, n, m.size); err != nil {
		return err
	}
	for end := off + n; off < end; {
		e := Extent{Offset: off}
		if m.chunks[off/memoryChunk] == nil {
			e.State = ExtentZero
		}
		for off < end && (m.chunks[off/memoryChunk] == nil) == (e.State == ExtentZero) {
			off = min(end, (off/memoryChunk+1)*memoryChunk)
		}
		e.Length = off - e.Offset
		if !yield(e) {
			return nil
		}
	}
	return nil
}
