package session

import (
	"context"
	"fmt"
	"time"
)

// sampleEvery is how often the figures are looked at; none of it does I/O but
// one fstat.
const sampleEvery = time.Second

// watch looks after a session that is ready: its figures, its time to live,
// and whether its server is alive. It ends with the session.
func (s *Session) watch() {
	p, _ := s.get()
	go s.sample()
	s.mu.Lock()
	s.armExpiry()
	s.mu.Unlock()
	context.AfterFunc(s.life, s.disarmExpiry)
	if s.opts.Idle > 0 {
		go s.closeWhenIdle()
	}
	if p.server != nil {
		go s.closeWhenServerDies()
	}
}

// End closes the session on its own account: it waits for the end, and what
// could not be given back is told as a notice.
func (s *Session) End(why string) {
	ctx, cancel := context.WithTimeout(context.Background(), teardownTime)
	defer cancel()
	if err := s.closeBecause(ctx, why); err != nil {
		s.notice(err.Error())
	}
}

func (s *Session) closeWhenIdle() {
	for {
		s.mu.Lock()
		left := time.Until(s.used.Add(s.opts.Idle))
		s.mu.Unlock()
		if left <= 0 {
			s.End(fmt.Sprintf("nobody used it for %v", s.opts.Idle))
			return
		}
		select {
		case <-time.After(left):
		case <-s.life.Done():
			return
		}
	}
}

func (s *Session) closeWhenServerDies() {
	p, _ := s.get()
	select {
	case <-p.server.Done():
	case <-s.life.Done():
		return
	}
	if s.life.Err() != nil {
		return
	}
	err := fmt.Errorf("PostgreSQL ended by itself: %w", p.server.Err())
	s.mu.Lock()
	s.failure = err
	s.mu.Unlock()
	s.End(err.Error())
}

// sample keeps the session's figures over time and tells when they change.
func (s *Session) sample() {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		f := s.Figures()
		sample := Sample{At: time.Now(), OverlayBytes: f.OverlayBytes, ReadBytes: f.ReadBytes, Holding: f.Holding}
		if s.history.add(sample) {
			s.events.add(Event{Kind: Sampled, Sample: &sample})
		}
		select {
		case <-ticker.C:
		case <-s.life.Done():
			return
		}
	}
}

// Samples returns the session's figures over its life, those after a moment.
func (s *Session) Samples(since time.Time) []Sample { return s.history.since(since) }
