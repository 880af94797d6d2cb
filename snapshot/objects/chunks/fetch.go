package chunks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/snapview/snapview/snapshot/objects"
)

// A start is a flight that the caller has begun and must bring to its end.
type start struct {
	n int64
	f *flight
}

// begin starts flights for those chunks from first to last that are neither in
// memory nor under way.
func (o *object) begin(first, last int64) (started []start) {
	s := o.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := first; n <= last; n++ {
		k := key{o.id, n}
		if s.memory.Contains(k) || s.flights[k] != nil {
			continue
		}
		f := &flight{done: make(chan struct{})}
		s.flights[k] = f
		started = append(started, start{n, f})
	}
	return started
}

// demand returns where the chunks from first to last are or will be; those
// that are nowhere yet are read from disk or begun to be fetched. With exact,
// their neighbours are not fetched with them.
func (o *object) demand(first, last int64, exact bool) []slot {
	slots := make([]slot, last-first+1)
	var started []start
	s := o.store
	s.mu.Lock()
	for i := range slots {
		k := key{o.id, first + int64(i)}
		if data, ok := s.memory.Get(k); ok {
			slots[i].data = data
			continue
		}
		if slots[i].f = s.flights[k]; slots[i].f == nil {
			f := &flight{done: make(chan struct{})}
			s.flights[k], slots[i].f = f, f
			started = append(started, start{first + int64(i), f})
		}
	}
	s.mu.Unlock()
	if len(started) == 0 {
		return slots
	}
	if started = o.fromDisk(started); len(started) == 0 {
		return slots
	}
	if !exact && len(started) < around {
		started = o.widen(started)
	}
	for len(started) > 0 {
		run := contiguous(started)
		started = started[len(run):]
		s.spawn(func() {
			select {
			case s.requests <- struct{}{}:
				defer func() { <-s.requests }()
				o.fetch(run)
			case <-s.ctx.Done():
				o.fail(run, s.ctx.Err())
			}
		})
	}
	return slots
}

// widen adds neighbours to a short run: the rest of the aligned block around
// it, as far as that is in one piece with it and not on disk.
func (o *object) widen(run []start) []start {
	if len(contiguous(run)) < len(run) {
		return run
	}
	first, last := run[0].n, run[len(run)-1].n
	lo := first / around * around
	hi := min((last/around+1)*around-1, (o.size-1)/chunkSize)
	before := o.fromDisk(o.begin(lo, first-1))
	after := o.fromDisk(o.begin(last+1, hi))
	all := append(append(before, run...), after...)
	return all
}

// contiguous returns the longest beginning of the flights that one request can
// fetch.
func contiguous(started []start) []start {
	n := 1
	for n < len(started) && n < maxRun && started[n].n == started[n-1].n+1 {
		n++
	}
	return started[:n]
}

// spawn runs f, which Close waits for. The caller is within enter and leave.
func (s *Store) spawn(f func()) {
	s.busy.Add(1)
	go func() {
		defer s.busy.Done()
		f()
	}()
}

// land ends a flight with its data.
func (o *object) land(st start, data []byte) {
	s := o.store
	st.f.data = data
	s.mu.Lock()
	k := key{o.id, st.n}
	s.memory.Add(k, data)
	delete(s.flights, k)
	s.mu.Unlock()
	close(st.f.done)
}

// fail ends flights without.
func (o *object) fail(run []start, err error) {
	s := o.store
	s.mu.Lock()
	for _, st := range run {
		st.f.err = err
		delete(s.flights, key{o.id, st.n})
	}
	s.mu.Unlock()
	for _, st := range run {
		close(st.f.done)
	}
}

// fromDisk lands what the disk has and returns the rest.
func (o *object) fromDisk(started []start) (rest []start) {
	if o.disk == nil {
		return started
	}
	r := o.disk.reader(o.version)
	defer r.close()
	for _, st := range started {
		if data := r.chunk(st.n, o.length(st.n)); data != nil {
			o.land(st, data)
		} else {
			rest = append(rest, st)
		}
	}
	return rest
}

// fetch brings chunks from the store, one request for each run, and keeps them.
func (o *object) fetch(started []start) {
	for len(started) > 0 {
		run := contiguous(started)
		started = started[len(run):]
		got, err := o.request(run)
		if err != nil {
			o.fail(run[len(got):], err)
		}
		if o.disk != nil && len(got) > 0 {
			o.disk.write(o.version, run[0].n, got)
		}
	}
}

// request asks for a run and lands each chunk when it has come. It returns
// what came.
func (o *object) request(run []start) (got [][]byte, err error) {
	ctx, cancel := context.WithCancelCause(o.store.ctx)
	defer cancel(nil)
	watch := o.store.watch(func() { cancel(errStalled) })
	defer watch.stop()
	defer func() {
		if errors.Is(context.Cause(ctx), errStalled) && err != nil {
			err = objects.Passing(fmt.Errorf("%s: %w", o.name, errStalled))
		}
	}()
	first, last := run[0].n, run[len(run)-1].n
	off := first * chunkSize
	n := last*chunkSize + int64(o.length(last)) - off
	var body io.ReadCloser
	if o.ranged != nil {
		if body, err = o.ranged.Range(ctx, off, n); err != nil {
			return nil, err
		}
	} else {
		body = io.NopCloser(io.NewSectionReader(o.in, off, n))
	}
	for _, st := range run {
		watch.moved()
		data := make([]byte, o.length(st.n))
		if _, err := io.ReadFull(body, data); err != nil {
			return got, errors.Join(err, body.Close())
		}
		got = append(got, data)
		o.store.outage.over()
		o.land(st, data)
	}
	return got, body.Close()
}

// A watch ends a request that does not get on.
type watch struct {
	since  atomic.Int64 // Unix ns
	ticker *time.Ticker
	done   chan struct{}
}

// watch calls stalled once if too much time passes between calls of moved.
func (s *Store) watch(stalled func()) *watch {
	w := &watch{ticker: time.NewTicker(look), done: make(chan struct{})}
	w.moved()
	go func() {
		for {
			select {
			case now := <-w.ticker.C:
				idle := now.UnixNano() - w.since.Load()
				if idle > s.stall.Load() {
					stalled()
					return
				}
				if idle > int64(slow) {
					s.outage.begins(errSlow)
				}
			case <-w.done:
				return
			}
		}
	}()
	return w
}

func (w *watch) moved() { w.since.Store(time.Now().UnixNano()) }

func (w *watch) stop() {
	w.ticker.Stop()
	close(w.done)
}
