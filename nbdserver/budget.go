package nbdserver

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// privateMemory is what each connection may hold without asking the server's
// budget, in bytes. Small requests are therefore served however much the other
// clients hold.
const privateMemory = 2 << 20

// A budget bounds the bytes of requests and replies in flight on one
// connection. Three semaphores make it: the connection's private memory, its
// share of the server's, and the server's own. Whoever waits holds nothing of
// the request that it waits for, so requests cannot deadlock each other.
//
// Not counted are the fixed buffers of a connection (inputSize + batchSize).
type budget struct {
	server  *semaphore.Weighted
	share   *semaphore.Weighted
	private *semaphore.Weighted
}

// newBudget returns the server's budget, of which forConn makes connections'.
func newBudget(total int64) *budget {
	return &budget{server: semaphore.NewWeighted(total)}
}

func (b *budget) forConn(limit int64) *budget {
	return &budget{
		server:  b.server,
		share:   semaphore.NewWeighted(limit),
		private: semaphore.NewWeighted(privateMemory),
	}
}

// A grant is memory acquired from a budget.
type grant struct {
	n       int64
	private bool
}

// tryAcquire returns at once; ok is false if the memory is not to be had now.
func (b *budget) tryAcquire(n int64) (g grant, ok bool) {
	if b.private.TryAcquire(n) {
		return grant{n, true}, true
	}
	if !b.share.TryAcquire(n) {
		return grant{}, false
	}
	if !b.server.TryAcquire(n) {
		b.share.Release(n)
		return grant{}, false
	}
	return grant{n, false}, true
}

// acquire waits for n bytes until ctx ends.
func (b *budget) acquire(ctx context.Context, n int64) (grant, error) {
	if g, ok := b.tryAcquire(n); ok {
		return g, nil
	}
	if err := b.share.Acquire(ctx, n); err != nil {
		return grant{}, err
	}
	if err := b.server.Acquire(ctx, n); err != nil {
		b.share.Release(n)
		return grant{}, err
	}
	return grant{n, false}, nil
}

func (b *budget) release(g grant) {
	switch {
	case g.n == 0:
	case g.private:
		b.private.Release(g.n)
	default:
		b.server.Release(g.n)
		b.share.Release(g.n)
	}
}
