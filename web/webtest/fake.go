package webtest

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/web"
)

// Sessions is a set of sessions in memory; it implements web.Sessions.
type Sessions struct {
	// Limits are those of all sessions together; nil where nobody shares them.
	// What is used of them is counted.
	Limits *web.Totals

	mu   sync.Mutex
	list []*Session
}

var (
	_ web.Sessions = (*Sessions)(nil)
	_ web.Session  = (*Session)(nil)
)

// Add adds a session to those that are listed.
func (s *Sessions) Add(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session.sessions = s
	s.list = append(s.list, session)
}

// List implements web.Sessions.
func (s *Sessions) List(context.Context) ([]web.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]web.Session, 0, len(s.list))
	for i := len(s.list) - 1; i >= 0; i-- {
		list = append(list, s.list[i])
	}
	return list, nil
}

// Totals implements web.Sessions.
func (s *Sessions) Totals(ctx context.Context) *web.Totals {
	if s.Limits == nil {
		return nil
	}
	t := *s.Limits
	list, _ := s.List(ctx) //nolint:errcheck // it never fails
	for _, session := range list {
		switch i := session.Info(); i.State {
		case web.StateClosed, web.StateFailed:
		default:
			t.Sessions.Used++
			t.OverlayBytes.Used += i.Stats.OverlayBytes
			t.MemoryBytes.Used += 2 << 30
		}
	}
	return &t
}

// Get implements web.Sessions.
func (s *Sessions) Get(_ context.Context, id string) (web.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, session := range s.list {
		if session.id == id {
			return session, nil
		}
	}
	return nil, fmt.Errorf("session %q: %w", id, web.ErrNotFound)
}

// A Session is one whose server is a Cluster and whose figures are made up.
type Session struct {
	// DSNs gives the connection string of a database; nil means that there
	// is no server.
	DSNs func(database string) string
	// HasLayers says whether the session has checkpoints and forks.
	HasLayers bool
	// CloseDelay is how long tearing down takes.
	CloseDelay time.Duration
	// MergeTime is how long merging two layers takes.
	MergeTime time.Duration
	// Dumps stands in for pg_dump; nil means the one on PATH.
	Dumps func(ctx context.Context, opts web.DumpOptions, w io.Writer) error

	id       string
	sessions *Sessions
	wg       sync.WaitGroup

	mu       sync.Mutex
	info     web.Info
	snapshot web.Snapshot
	samples  []web.Sample
	tree     *tree // shared with forks; nil until it is asked for
	events   []web.Event
	changed  chan struct{} // closed and replaced at each event
}

// NewSession returns a session that is ready.
func NewSession(id string, dsns func(database string) string) *Session {
	now := time.Now().UTC()
	created, ready := now.Add(-90*time.Second), now.Add(-89*time.Second)
	expires := now.Add(2 * time.Hour)
	s := &Session{
		DSNs: dsns, id: id, changed: make(chan struct{}),
		info: web.Info{
			ID: id, Name: "shop, nightly", Owner: "dba", State: web.StateReady, Reference: "/backups/2026-11-20",
			Kind: "tar-directory", Postgres: "15.18", Moment: "end of the backup, 2026-11-20 02:14:09 UTC",
			CreatedAt: created, ReadyAt: &ready, ExpiresAt: &expires, Runner: "local", Attachment: "fuse", DefaultDatabase: DemoDatabase,
			Psql: &web.PsqlEndpoint{Host: "127.0.0.1", Port: 54329, User: Reader, Database: DemoDatabase},
			Stats: web.Stats{
				OverlayBytes: 294912, LimitBytes: 5 << 30, BaseBytes: 1 << 40, BackupBytes: 1532 << 20, BackupBytesRead: 1654784,
			},
		},
		snapshot: demoSnapshot(created),
	}
	start := created
	for i, p := range []struct {
		name, detail string
		ms           float64
	}{
		{"identify", "PostgreSQL 15, tar files", 3.1}, {"lay-out", "1,204 files, 1.5 GiB", 12.7},
		{"attach", "FUSE and a loop device", 61.2}, {"recover", "redo from 0/2000028", 412.9}, {"ready", "5 databases", 133.4},
	} {
		at := start
		phase := web.Phase{Name: p.name, State: web.PhaseDone, Detail: p.detail, StartedAt: &at, Millis: p.ms}
		s.info.Phases = append(s.info.Phases, phase)
		s.events = append(s.events, web.Event{ID: int64(i + 1), Type: web.EventPhase, Time: at, Phase: &phase})
		start = start.Add(time.Duration(p.ms * float64(time.Millisecond)))
	}
	s.events = append(s.events, web.Event{ID: int64(len(s.events) + 1), Type: web.EventState, Time: start, State: web.StateReady})
	for i := 0; i < 45; i++ {
		s.samples = append(s.samples, web.Sample{
			Time:            created.Add(time.Duration(i) * 2 * time.Second),
			OverlayBytes:    s.info.Stats.OverlayBytes * int64(20+i) / 65,
			BackupBytesRead: s.info.Stats.BackupBytesRead * int64(10+i) / 55,
		})
	}
	return s
}

// Info implements web.Session.
func (s *Session) Info() web.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := s.info
	info.Phases = append([]web.Phase(nil), s.info.Phases...)
	return info
}

// Snapshot implements web.Session.
func (s *Session) Snapshot(context.Context) (web.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot, nil
}

// DSN implements web.Session.
func (s *Session) DSN(database string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.DSNs == nil || s.info.State != web.StateReady {
		return "", web.ErrNotReady
	}
	return s.DSNs(database), nil
}

// Dump implements web.Session.
func (s *Session) Dump(ctx context.Context, opts web.DumpOptions, w io.Writer) error {
	if s.Dumps != nil {
		return s.Dumps(ctx, opts, w)
	}
	dsn, err := s.DSN(opts.Database)
	if err != nil {
		return err
	}
	args := []string{"--no-sync", "--dbname=" + dsn}
	if opts.SchemaOnly {
		args = append(args, "--schema-only")
	}
	for _, t := range opts.Tables {
		args = append(args, "--table="+pgx.Identifier{t.Schema, t.Name}.Sanitize())
	}
	var complaints strings.Builder
	cmd := exec.CommandContext(ctx, "pg_dump", args...)
	cmd.Stdout, cmd.Stderr = w, &complaints
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("pg_dump: %w: %s", err, complaints.String())
	}
	return nil
}

// Close implements web.Session.
func (s *Session) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info.State == web.StateClosing || s.info.State == web.StateClosed {
		return nil
	}
	s.info.State = web.StateClosing
	s.emitLocked(web.Event{Type: web.EventClosing, State: web.StateClosing, Message: "asked for on the page"})
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for _, name := range []string{"close-server", "close-mount", "close-overlay"} {
			time.Sleep(s.CloseDelay / 3)
			now := time.Now().UTC()
			s.mu.Lock()
			phase := web.Phase{Name: name, State: web.PhaseDone, StartedAt: &now, Millis: 12}
			s.info.Phases = append(s.info.Phases, phase)
			s.emitLocked(web.Event{Type: web.EventPhase, Phase: &phase})
			s.mu.Unlock()
		}
		s.closeLayers()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.info.State = web.StateClosed
		s.info.Stats.OverlayBytes = 0
		s.emitLocked(web.Event{Type: web.EventClosed, State: web.StateClosed, Message: "nothing is left"})
	}()
	return nil
}

// Wait returns when a teardown that was begun has ended.
func (s *Session) Wait() { s.wg.Wait() }

// Emit adds an event; its id and time are filled in.
func (s *Session) Emit(e web.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emitLocked(e)
}

func (s *Session) emitLocked(e web.Event) {
	e.ID = 1
	if n := len(s.events); n > 0 {
		e.ID = s.events[n-1].ID + 1
	}
	e.Time = time.Now().UTC()
	s.events = append(s.events, e)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Events implements web.Session. It keeps every event for ever.
func (s *Session) Events(ctx context.Context, after int64) (<-chan web.Event, error) {
	out := make(chan web.Event)
	go func() {
		defer close(out)
		for {
			s.mu.Lock()
			changed := s.changed
			var pending []web.Event
			for _, e := range s.events {
				if e.ID > after {
					pending = append(pending, e)
				}
			}
			s.mu.Unlock()
			for _, e := range pending {
				select {
				case out <- e:
					after = e.ID
				case <-ctx.Done():
					return
				}
				if e.Type == web.EventClosed {
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
