package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/web"
)

// Events translates the session's events for the page.
func (v *sessionView) Events(ctx context.Context, after int64) (<-chan web.Event, error) {
	out := make(chan web.Event, 64)
	go func() {
		defer close(out)
		//nolint:errcheck // it ends with the session or with ctx
		v.Session.Events(ctx, uint64(max(after, 0)), func(e session.Event) bool {
			translated, ok := webEvent(e)
			if !ok {
				return true
			}
			select {
			case out <- translated:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	return out, nil
}

// webEvent is a session's event in the words of the API. ok is false for what
// the page has no use for.
func webEvent(e session.Event) (event web.Event, ok bool) {
	out := web.Event{ID: int64(e.ID), Time: e.At, Message: e.Message}
	switch e.Kind {
	case session.PhaseBegan:
		out.Type = web.EventPhase
		out.Phase = &web.Phase{Name: string(e.Phase), State: web.PhaseRunning, StartedAt: &e.At}
	case session.PhaseEnded:
		began := e.At.Add(-e.Took)
		out.Type = web.EventPhase
		out.Phase = &web.Phase{Name: string(e.Phase), State: web.PhaseDone, StartedAt: &began, Millis: millis(e.Took)}
	case session.Progress:
		if e.Phase == "" {
			return out, false
		}
		out.Type = web.EventPhase
		out.Phase = &web.Phase{Name: string(e.Phase), State: web.PhaseRunning, Detail: e.Message}
	case session.Sampled:
		s := webSample(*e.Sample)
		out.Type, out.Sample = web.EventOverlay, &s
	case session.Held:
		out.Type = web.EventHold // without figures: the next sample has them
	case session.Notice:
		out.Type = web.EventWarning
		out.Warning = &web.Warning{Code: "notice", Severity: web.SeverityWarning, Title: e.Message}
	case session.Changed:
		switch e.State {
		case session.Closing:
			out.Type = web.EventClosing
		case session.Closed, session.Failed:
			out.Type, out.State = web.EventClosed, web.State(e.State)
		default:
			out.Type, out.State = web.EventState, web.State(e.State)
		}
	default:
		return out, false
	}
	return out, true
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// phases adds the events up to how far each phase of opening is.
func (v *sessionView) phases() []web.Phase {
	names := []session.Phase{session.Identify, session.LayOut, session.AttachIt, session.Recover}
	phases := make([]web.Phase, len(names))
	index := map[session.Phase]*web.Phase{}
	for i, name := range names {
		phases[i] = web.Phase{Name: string(name), State: web.PhasePending}
		index[name] = &phases[i]
	}
	for _, e := range v.Happened() {
		if e.Kind == session.Changed { // what was going on has come to an end
			for i := range phases {
				if p := &phases[i]; p.State == web.PhaseRunning && p.Millis == 0 {
					p.Millis = millis(e.At.Sub(*p.StartedAt))
				}
			}
		}
		p := index[e.Phase]
		if p == nil {
			continue
		}
		switch e.Kind {
		case session.PhaseBegan:
			p.State, p.StartedAt = web.PhaseRunning, &e.At
		case session.PhaseEnded:
			p.State, p.Millis = web.PhaseDone, millis(e.Took)
		case session.Progress:
			p.Detail = e.Message
		}
	}
	if v.Err() != nil {
		for i := range phases {
			if phases[i].State == web.PhaseRunning {
				phases[i].State = web.PhaseFailed
			}
		}
	}
	return phases
}

// failureOf says why a session failed, with PostgreSQL's own words where they
// are the reason.
func failureOf(err error) *web.Failure {
	f := &web.Failure{Message: err.Error()}
	var start *pgrunner.StartError
	if errors.As(err, &start) {
		f.Phase, f.Message, f.Log = start.Phase, start.Cause, start.Log
		f.Hint = strings.TrimSpace(start.Advice + "\n" + start.Hint)
	}
	return f
}
