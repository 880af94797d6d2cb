package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/web"
)

// A house holds the sessions of this process: the one that was opened, and its
// forks, each of which is closed by itself. The process ends after the last.
type house struct {
	app   *app
	ctx   context.Context // of the command
	pages *pages

	mu     sync.Mutex
	views  []*sessionView // the first one is the one that was opened
	closed bool           // no forks any more
	starts sync.WaitGroup // of forks
}

var _ web.Sessions = (*house)(nil)

func (a *app) newHouse(ctx context.Context, first *session.Session, database string) *house {
	h := &house{app: a, ctx: ctx}
	h.views = []*sessionView{{Session: first, house: h, database: database}}
	return h
}

// serve lets the pages answer for the first session, and for forks to come.
func (h *house) serve(p *pages) error {
	h.pages = p
	return p.control(h.views[0].Session)
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

// fork makes a fork of a session and begins to start it.
func (h *house) fork(ctx context.Context, parent *sessionView, o session.ForkOptions) (*sessionView, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, errClosingDown
	}
	h.starts.Add(1)
	h.mu.Unlock()
	s, err := parent.Session.Fork(ctx, o)
	if err != nil {
		h.starts.Done()
		return nil, err
	}
	if err := h.pages.control(s); err != nil {
		h.starts.Done()
		return nil, errors.Join(err, closeSession(s))
	}
	v := &sessionView{Session: s, house: h, database: parent.database}
	h.mu.Lock()
	h.views = append(h.views, v)
	h.mu.Unlock()
	go func() {
		defer h.starts.Done()
		h.app.announce(s, "opening", nil)
		err := s.Start(h.ctx)
		if err != nil {
			h.app.announce(s, "failed", err)
			return
		}
		h.app.announce(s, "ready", nil)
		go func() {
			<-s.Done()
			h.app.announce(s, "closed", s.Err())
		}()
	}()
	return v, nil
}

// announce prints what becomes of a fork on the output of the command that its
// parent was opened by.
func (a *app) announce(s *session.Session, state string, err error) {
	info := s.Info()
	if a.json {
		line := map[string]any{"event": "fork", "id": info.ID, "parent": info.Parent, "fork_state": state}
		if err != nil {
			line["error"] = err.Error()
		}
		if !a.quiet {
			printJSON(a.out, line) //nolint:errcheck // nobody left to tell
		}
		return
	}
	switch {
	case err != nil:
		fmt.Fprintf(a.err, "! fork %s of %s %s: %v\n", info.ID, info.Parent, state, err)
	case !a.quiet:
		fmt.Fprintf(a.err, "fork %s of %s is %s\n", info.ID, info.Parent, state)
	}
}

// untilEmpty waits until every session has ended, or the command is
// interrupted.
func (h *house) untilEmpty(ctx context.Context) error {
	for {
		living := false
		for _, v := range h.all() {
			select {
			case <-v.Done():
				continue
			default:
				living = true
			}
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

// close tears all forks down.
func (h *house) close() error {
	h.mu.Lock()
	h.closed = true
	forks := slices.Clone(h.views[1:])
	h.mu.Unlock()
	errs := make([]error, len(forks))
	var closing sync.WaitGroup
	for i, v := range forks {
		closing.Go(func() { errs[i] = closeSession(v.Session) })
	}
	closing.Wait()
	h.starts.Wait()
	// One that was being made meanwhile.
	for _, v := range h.all()[1+len(forks):] {
		errs = append(errs, closeSession(v.Session))
	}
	return errors.Join(errs...)
}
