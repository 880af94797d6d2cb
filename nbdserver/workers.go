package nbdserver

import "sync/atomic"

// queueLength is how many requests of a kind may wait for a worker. The budget
// usually binds first; this is for requests without a payload.
const queueLength = 1024

// A crew is a bounded set of workers of one connection, started on demand. It
// ends with the connection.
type crew struct {
	c       *conn
	queue   chan *request
	max     int
	started int          // only the reader starts workers
	load    atomic.Int64 // requests queued or at work
}

func newCrew(c *conn, max int) *crew {
	return &crew{c: c, queue: make(chan *request, queueLength), max: max}
}

// full reports whether submit would wait.
func (w *crew) full() bool { return len(w.queue) == cap(w.queue) }

// submit hands q to a worker. Only the connection's reader calls it.
func (w *crew) submit(q *request) {
	if load := w.load.Add(1); load > int64(w.started) && w.started < w.max {
		w.started++
		go w.work()
	}
	w.queue <- q
}

func (w *crew) work() {
	for q := range w.queue {
		w.c.execute(q)
		w.load.Add(-1)
		w.c.out.send(q)
	}
}
