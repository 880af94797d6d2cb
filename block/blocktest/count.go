package blocktest

import (
	"sync/atomic"

	"github.com/snapview/snapview/block"
)

// Counter is a Reader that counts what is asked of the Reader below it: the
// proof that something is, or is not, read. Optional interfaces are hidden.
// It is safe for concurrent use.
type Counter struct {
	block.Reader
	reads, bytes atomic.Int64
}

// Count returns r with its reads counted from zero.
func Count(r block.Reader) *Counter { return &Counter{Reader: r} }

// ReadAt counts the call and the bytes it returned, and forwards it.
func (c *Counter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.reads.Add(1)
	c.bytes.Add(int64(n))
	return n, err
}

// Reads returns the number of ReadAt calls since the last Reset.
func (c *Counter) Reads() int64 { return c.reads.Load() }

// Bytes returns the number of bytes read since the last Reset.
func (c *Counter) Bytes() int64 { return c.bytes.Load() }

// Reset starts both counts anew.
func (c *Counter) Reset() {
	c.reads.Store(0)
	c.bytes.Store(0)
}
