package chunks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/snapview/snapview/snapshot/objects"
)

// Pauses between tries grow from the first to the last, each half to one and a
// half of it, so that readers who failed together do not come back together.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 3 * time.Second
)

func pause(try int) time.Duration {
	d := lastPause
	if try < 6 {
		d = min(firstPause<<try, lastPause)
	}
	return d/2 + rand.N(d)
}

// retry calls f until it succeeds, fails for good, or patience ends. The
// context that f is given ends with ctx and with the store.
func (s *Store) retry(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	var began time.Time
	for try := 0; ; try++ {
		err := f(ctx)
		if err == nil {
			s.outage.over()
			return nil
		}
		if cerr := ctx.Err(); cerr != nil {
			if s.ctx.Err() != nil {
				return os.ErrClosed
			}
			return cerr
		}
		if !objects.IsPassing(err) {
			return err
		}
		now := time.Now()
		if began.IsZero() {
			began = now
		}
		wait := pause(try)
		if now.Add(wait).Sub(began) > time.Duration(s.patience.Load()) {
			return fmt.Errorf("%w (tried %d times in %s)", err, try+1, now.Sub(began).Round(time.Second))
		}
		if try > 0 {
			s.outage.begins(err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// An outage remembers whether the store answers, to tell of it once.
type outage struct {
	name   string
	notice func(string)

	mu    sync.Mutex
	since time.Time // zero while the store answers
}

func (o *outage) begins(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		return
	}
	o.since = time.Now()
	if o.notice != nil {
		o.notice(fmt.Sprintf("reading waits for %s: %v", o.name, err))
	}
}

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	if o.notice != nil {
		o.notice(fmt.Sprintf("%s answers again, after %s", o.name, time.Since(o.since).Round(100*time.Millisecond)))
	}
	o.since = time.Time{}
}

var (
	// errDropped ends a flight that was read ahead and could not begin.
	errDropped = errors.New("not read ahead")
	errSlow    = fmt.Errorf("no answer for %s", slow)
	errStalled = errors.New("no answer, or too slow a one")
)
