package session

import (
	"context"
	"sync"
	"time"
)

// State is where a session stands in its life.
type State string

// The states, in order; a session ends closed or failed.
const (
	Opening State = "opening"
	Ready   State = "ready"
	Closing State = "closing"
	Closed  State = "closed"
	Failed  State = "failed"
)

// Phase is a part of opening that people are told about.
type Phase string

// The phases, in order.
const (
	Identify Phase = "identify"
	LayOut   Phase = "lay out"
	AttachIt Phase = "attach"
	Recover  Phase = "recover"
)

// EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	PhaseBegan EventKind = "phase-began" // Phase
	PhaseEnded EventKind = "phase-ended" // Phase, Took
	Progress   EventKind = "progress"    // Phase, Message
	Changed    EventKind = "state"       // State, Took since opening began, Message on failure
	Sampled    EventKind = "sample"      // Sample
	Held       EventKind = "hold"        // writes are held, Message says why; Held false: they go on
	Notice     EventKind = "notice"      // Message
)

// An Event is something that happened to a session.
type Event struct {
	ID      uint64        `json:"id"` // counts from 1
	At      time.Time     `json:"at"`
	Kind    EventKind     `json:"kind"`
	State   State         `json:"state,omitempty"`
	Phase   Phase         `json:"phase,omitempty"`
	Took    time.Duration `json:"took,omitempty"`
	Message string        `json:"message,omitempty"`
	Held    bool          `json:"held,omitempty"`
	Done    int64         `json:"done,omitempty"`  // bytes, of a Progress that is counted
	Total   int64         `json:"total,omitempty"` //
	Sample  *Sample       `json:"sample,omitempty"`
}

// keptEvents bounds the replay: a session of a week samples 600,000 times.
const keptEvents = 4096

// journal keeps the last events and hands them to those who listen. The zero
// value is ready. It is safe for concurrent use.
type journal struct {
	mu     sync.Mutex
	kept   []Event
	last   uint64
	closed bool
	wake   chan struct{} // closed and replaced at every event
}

func (j *journal) add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	j.last++
	e.ID = j.last
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if len(j.kept) >= keptEvents {
		// Samples are kept elsewhere too; what happened is not.
		j.kept = append(j.kept[:0:0], j.kept[keptEvents/4:]...)
	}
	j.kept = append(j.kept, e)
	j.broadcast()
}

// end lets listeners finish; later events are dropped.
func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.closed = true
		j.broadcast()
	}
}

func (j *journal) broadcast() {
	if j.wake != nil {
		close(j.wake)
	}
	j.wake = make(chan struct{})
}

// next returns the kept events after the given one, and a channel that is
// closed when there are more. ended says that there will be none.
func (j *journal) next(after uint64) (events []Event, more <-chan struct{}, ended bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.wake == nil {
		j.wake = make(chan struct{})
	}
	for i := len(j.kept); i > 0 && j.kept[i-1].ID > after; i-- {
		events = j.kept[i-1:]
	}
	return events, j.wake, j.closed
}

// follow calls yield for every event after the given one, old ones first, until
// the journal ends (nil), yield returns false (nil) or ctx is done.
func (j *journal) follow(ctx context.Context, after uint64, yield func(Event) bool) error {
	for {
		events, more, ended := j.next(after)
		for _, e := range events {
			if !yield(e) {
				return nil
			}
			after = e.ID
		}
		if ended && len(events) == 0 {
			return nil
		}
		if ended {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
