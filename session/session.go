package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/nbdserver"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
)

// ErrNotReady is returned by what needs a session that is ready.
var ErrNotReady = errors.New("the session is not ready")

// A Session is one backup that is open, or on its way there, or was. Its
// methods may be called concurrently and in every state.
type Session struct {
	id     string
	opts   Options
	log    *slog.Logger
	ledger *ledger
	origin *origin // nil unless it is a fork

	events  journal
	history history
	undo    undoList

	closing context.CancelFunc // ends opening, and what runs beside the session
	life    context.Context    // done when closing began
	started chan struct{}      // closed when Start has returned
	done    chan struct{}      // closed when nothing is held any more

	mu       sync.Mutex
	state    State
	failure  error
	why      string // the session is closed
	began    bool   // Start was called
	closeErr error
	opened   time.Time
	ready    time.Time
	used     time.Time
	expires  time.Time   // end of its time to live; zero without one
	expiry   *time.Timer // closes it then; nil while it is not ready, or without an end
	parts    parts
}

// parts are what a session is made of; each is set once, when it is there.
type parts struct {
	snapshot *snapshot.Snapshot
	laidOut  *sharedDisk // what snapshot, base and store belong to
	base     *watchedBase
	store    *cow.Store
	overlay  *cow.Overlay
	device   block.Device // the overlay, as it is served and attached
	nbd      *nbdserver.Server
	nbdAddr  string
	disk     *attach.Attachment
	plan     *pgrunner.Plan
	server   *pgrunner.Server
	endpoint *pgrunner.Endpoint
}

// New makes a session's folder and takes its lock. Nothing is opened before
// Start. The caller must call Close in the end, whether Start failed or not.
func New(opts Options) (*Session, error) { return newSession(opts, Record{}) }

// newSession is New with what the ledger says besides.
func newSession(opts Options, record Record) (*Session, error) {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := checkStateDir(opts.StateDir); err != nil {
		return nil, err
	}
	now := time.Now()
	// The last ten characters of a ULID are random and short enough to type.
	u := ulid.Make().String()
	s := &Session{
		id:      strings.ToLower(u[len(u)-10:]),
		opts:    opts,
		started: make(chan struct{}),
		done:    make(chan struct{}),
		state:   Opening,
		opened:  now,
		used:    now,
	}
	s.log = log.With("session", s.id)
	record.ID, record.Ref, record.Name = s.id, sources.Redact(opts.Ref), opts.Name
	record.State, record.PID, record.Opened = Opening, os.Getpid(), now
	if opts.TTL > 0 {
		s.expires = now.Add(opts.TTL)
		record.Expires = s.expires
	}
	var err error
	if s.ledger, err = createLedger(sessionsDir(opts.StateDir), record); err != nil {
		return nil, err
	}
	s.life, s.closing = context.WithCancel(context.Background())
	s.events.add(Event{Kind: Changed, State: Opening})
	return s, nil
}

// checkStateDir refuses paths too long for the sockets below them: a unix
// socket's address holds 107 bytes (unix(7)).
func checkStateDir(dir string) error {
	if dir == "" || !filepath.IsAbs(dir) {
		return fmt.Errorf("the state directory %q is no absolute path", dir)
	}
	const below = "/sessions/0123456789/run/socket/.s.PGSQL.5432.lock"
	if len(dir)+len(below) > 107 {
		return fmt.Errorf("the state directory %s is too long a path for the sockets below it: at most %d bytes", dir, 107-len(below))
	}
	return nil
}

// ID is the session's name for people and in the state directory.
func (s *Session) ID() string { return s.id }

// Dir is the session's folder.
func (s *Session) Dir() string { return s.ledger.dir }

// ControlSocket is where the session's API is to be served for the command line.
func (s *Session) ControlSocket() string { return filepath.Join(s.ledger.dir, controlSock) }

// Events calls yield for every event after the given id that is still kept,
// then for those that come, until the session has ended or yield returns
// false (nil), or ctx is done.
func (s *Session) Events(ctx context.Context, after uint64, yield func(Event) bool) error {
	return s.events.follow(ctx, after, yield)
}

// Done is closed when the session holds nothing any more.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why a session failed, nil while it has not.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Touch says that somebody uses the session.
func (s *Session) Touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = time.Now()
}

// get returns the parts that are there by now.
func (s *Session) get() (parts, State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts, s.state
}

// with runs change under the lock.
func (s *Session) with(change func(*parts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.parts)
}

// notice tells people something that is neither progress nor an end.
func (s *Session) notice(message string) {
	s.log.Info(message)
	s.events.add(Event{Kind: Notice, Message: message})
}

// setState moves the session on and tells it. It returns false if the session
// is past that state already.
func (s *Session) setState(to State, why error) bool {
	order := map[State]int{Opening: 0, Ready: 1, Closing: 2, Closed: 3, Failed: 3}
	s.mu.Lock()
	if order[to] <= order[s.state] {
		s.mu.Unlock()
		return false
	}
	s.state = to
	e := Event{Kind: Changed, State: to, Took: time.Since(s.opened)}
	switch {
	case why != nil:
		e.Message = why.Error()
	case to == Closing:
		e.Message = s.why
	}
	s.mu.Unlock()
	if err := s.ledger.update(func(r *Record) { r.State = to }); err != nil {
		s.log.Error("the ledger cannot be written", "error", err)
	}
	s.events.add(e)
	return true
}

// Close tears the session down and returns when nothing is held any more, with
// everything that could not be given back. It may be called at any time, and
// again: after a failure it tries again what is left. The context bounds how
// long a busy mount or a slow server is waited for.
func (s *Session) Close(ctx context.Context) error { return s.closeBecause(ctx, "closed") }

func (s *Session) closeBecause(ctx context.Context, why string) error {
	s.mu.Lock()
	if s.why == "" {
		s.why = why
	}
	waitForStart := s.began
	s.mu.Unlock()
	s.setState(Closing, nil)
	s.closing()
	if p, _ := s.get(); p.laidOut != nil {
		p.laidOut.hurry()
	}
	if waitForStart {
		select {
		case <-s.started:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.tearDown(ctx)
}

// tearDown gives everything back and, once nothing is left, removes the folder.
func (s *Session) tearDown(ctx context.Context) error {
	began := func(name string) { s.events.add(Event{Kind: Progress, Message: "closing: " + name}) }
	err := s.undo.run(ctx, began)

	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return s.closeErr
	default:
	}
	s.closeErr = err
	if err != nil {
		return fmt.Errorf("closing session %s: %w", s.id, err)
	}
	if err := s.ledger.remove(); err != nil {
		s.closeErr = fmt.Errorf("closing session %s: %w", s.id, err)
		return s.closeErr
	}
	e := Event{Kind: Changed, State: Closed, Took: time.Since(s.opened), Message: s.why}
	if s.failure != nil {
		e.State, e.Message = Failed, s.failure.Error()
	}
	s.state = e.State
	s.events.add(e)
	s.events.end()
	close(s.done)
	return nil
}

// closer adapts an io.Closer to the undo list.
func closer(c io.Closer) func(context.Context) error {
	return func(context.Context) error { return c.Close() }
}
