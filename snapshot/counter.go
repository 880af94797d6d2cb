package snapshot

import (
	"io"
	"sync/atomic"
)

// A Counter counts the bytes read from a store. The zero value is ready.
type Counter struct{ n atomic.Int64 }

// Add counts n bytes more.
func (c *Counter) Add(n int) { c.n.Add(int64(n)) }

// Load returns the sum.
func (c *Counter) Load() int64 { return c.n.Load() }

// Reader returns r with its reads counted.
func (c *Counter) Reader(r io.ReaderAt) io.ReaderAt { return countedReader{r, c} }

type countedReader struct {
	r io.ReaderAt
	c *Counter
}

func (r countedReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.r.ReadAt(p, off)
	r.c.Add(n)
	return n, err
}
