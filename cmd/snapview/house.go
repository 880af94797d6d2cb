package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/web"
)

// A house holds the sessions of this process: the one that the command opened,
// if it did, those that were opened through the page, and forks, each of which
// is closed by itself.
type house struct {
	app   *app
	ctx   context.Context // of the command
	pages *pages
	// limits hold for sessions that are opened through the page, forks among
	// them; nil where none is.
	limits *houseLimits

	mu     sync.Mutex
	views  []*sessionView
	coming int            // let in by begin, and not among views yet
	closed bool           // no more sessions
	starts sync.WaitGroup // of sessions that house.open and house.fork made
}

var _ web.Sessions = (*house)(nil)

// newHouse returns a house with the session that the command opened, if any.
func (a *app) newHouse(ctx context.Context, first *session.Session, database string) *house {
	h := &house{app: a, ctx: ctx}
	if first != nil {
		h.views = []*sessionView{{Session: first, house: h, database: database, own: true}}
	}
	return h
}

// serve lets the pages answer for the sessions, and for those to come.
func (h *house) serve(p *pages) error {
	h.pages = p
	for _, v := range h.all() {
		if err := p.control(v.Session); err != nil {
			return err
		}
	}
	return nil
}

// List implements web.Sessions.
func (h *house) List(context.Context) ([]web.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []web.Session
	for _, v := range slices.Backward(h.views) {
		list = append(list, v)
	}
	return list, nil
}

// Get implements web.Sessions.
func (h *house) Get(_ context.Context, id string) (web.Session, error) {
	for _, v := range h.all() {
		if v.ID() == id {
			v.Touch()
			return v, nil
		}
	}
	return nil, fmt.Errorf("session %s: %w", id, web.ErrNotFound)
}

func (h *house) all() []*sessionView {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.views)
}

// errClosingDown is for those who come too late.
var errClosingDown = fmt.Errorf("%w: snapview is closing down", web.ErrConflict)

// begin lets a session be made, unless the house closes, has no room for one
// more, or may have none that is written to. Either launch or unmade must follow.
func (h *house) begin(writable bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errClosingDown
	}
	if writable && h.limits != nil && !h.limits.Writable {
		return fmt.Errorf("%w: scratch servers are not allowed here (snapview serve --allow-writable)", web.ErrInvalid)
	}
	if err := h.noRoom(); err != nil {
		return fmt.Errorf("%w: %w", web.ErrConflict, err)
	}
	h.coming++
	h.starts.Add(1)
	return nil
}

// unmade gives back what begin let in and nobody made.
func (h *house) unmade() {
	h.mu.Lock()
	h.coming--
	h.mu.Unlock()
	h.starts.Done()
}

// ended says whether nothing is held any more.
func (v *sessionView) ended() bool {
	select {
	case <-v.Done():
		return true
	default:
		return false
	}
}

// keepClosed is how long sessions that are closed stay on the list of a process
// that opens others, and maxClosed how many of them.
const (
	keepClosed = time.Hour
	maxClosed  = 50
)

// forget takes closed sessions that are old, or too many, off the list; h.mu
// is held. The session that the command itself opened stays.
func (h *house) forget() {
	closed := 0
	for _, v := range slices.Backward(h.views) { // newest first
		if v.ended() {
			if closed++; closed > maxClosed || time.Since(v.Session.Info().Opened) > keepClosed {
				v.forgotten = !v.own
			}
		}
	}
	h.views = slices.DeleteFunc(h.views, func(v *sessionView) bool { return v.forgotten })
}

// open makes a session and begins to start it. Its caller has called begin.
func (h *house) open(o session.Options, database, owner string) (*sessionView, error) {
	s, err := session.New(o)
	if err != nil {
		h.unmade()
		return nil, err
	}
	return h.launch(&sessionView{Session: s, house: h, database: database, owner: owner}, "session")
}

// fork makes a fork of a session for its owner and begins to start it.
func (h *house) fork(ctx context.Context, parent *sessionView, o session.ForkOptions, owner string) (*sessionView, error) {
	if err := h.begin(o.Writable); err != nil {
		return nil, err
	}
	s, err := parent.Session.Fork(ctx, o)
	if err != nil {
		h.unmade()
		return nil, err
	}
	return h.launch(&sessionView{Session: s, house: h, database: parent.database, owner: owner}, "fork")
}

// launch shows a session that was made and starts it beside.
func (h *house) launch(v *sessionView, kind string) (*sessionView, error) {
	s := v.Session
	if err := h.pages.control(s); err != nil {
		h.unmade()
		return nil, errors.Join(err, closeSession(s))
	}
	h.mu.Lock()
	h.coming--
	h.forget()
	h.views = append(h.views, v)
	h.mu.Unlock()
	go func() {
		defer h.starts.Done()
		h.app.announce(s, kind, "opening", nil)
		err := s.Start(h.ctx)
		if err != nil {
			h.app.announce(s, kind, "failed", err)
			return
		}
		h.app.announce(s, kind, "ready", nil)
		go func() {
			<-s.Done()
			h.app.announce(s, kind, "closed", s.Err())
		}()
	}()
	return v, nil
}

// announce prints what becomes of a session that was not opened by the command
// itself on the command's output.
func (a *app) announce(s *session.Session, kind, state string, err error) {
	info := s.Info()
	if a.json {
		line := map[string]any{"event": kind, "id": info.ID, kind + "_state": state, "ref": info.Ref}
		if info.Parent != "" {
			line["parent"] = info.Parent
		}
		if err != nil {
			line["error"] = err.Error()
		}
		if !a.quiet {
			printJSON(a.out, line) //nolint:errcheck // nobody left to tell
		}
		return
	}
	of := info.Ref
	if info.Parent != "" {
		of = info.Parent
	}
	switch {
	case err != nil:
		fmt.Fprintf(a.err, "! %s %s of %s %s: %v\n", kind, info.ID, of, state, err)
	case !a.quiet:
		fmt.Fprintf(a.err, "%s %s of %s is %s\n", kind, info.ID, of, state)
	}
}

// untilEmpty waits until every session has ended, or the command is
// interrupted.
func (h *house) untilEmpty(ctx context.Context) error {
	for {
		living := false
		for _, v := range h.all() {
			if v.ended() {
				continue
			}
			living = true
			select {
			case <-v.Done():
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if !living {
			return nil
		}
	}
}

// close tears every session down, forks before what they came from, but for the
// one that the command itself opened.
func (h *house) close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	var errs []error
	for _, isFork := range []bool{true, false} {
		errs = append(errs, h.closeAll(func(v *sessionView) bool { return (v.Session.Info().Parent != "") == isFork }))
	}
	h.starts.Wait()
	// One that was being made meanwhile.
	errs = append(errs, h.closeAll(func(*sessionView) bool { return true }))
	return errors.Join(errs...)
}

// closeAll closes the sessions that the house opened and which says yes to.
func (h *house) closeAll(which func(*sessionView) bool) error {
	var closing sync.WaitGroup
	views := h.all()
	errs := make([]error, len(views))
	for i, v := range views {
		if !v.own && which(v) {
			closing.Go(func() { errs[i] = closeSession(v.Session) })
		}
	}
	closing.Wait()
	return errors.Join(errs...)
}
