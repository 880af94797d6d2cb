package session

import (
	"fmt"
	"time"
)

// Keep changes when the session's time to live is over: after d from now, or
// never for 0. What it may stay unused holds beside it, and begins anew. It
// returns the new end, the zero Time for never, and ErrNotReady for a session
// that closes or is closed: one that has begun to end cannot be kept.
func (s *Session) Keep(d time.Duration) (time.Time, error) {
	if d < 0 {
		return time.Time{}, fmt.Errorf("a time to live of %v", d)
	}
	now := time.Now()
	s.mu.Lock()
	if s.state != Opening && s.state != Ready {
		s.mu.Unlock()
		return time.Time{}, ErrNotReady
	}
	s.expires, s.used = time.Time{}, now
	if d > 0 {
		s.expires = now.Add(d)
	}
	end := s.expires
	if s.state == Ready {
		s.armExpiry()
	}
	s.mu.Unlock()
	// Everybody who looks at it is shown another end from now on.
	if end.IsZero() {
		s.notice("it stays open until somebody closes it")
	} else {
		s.notice("its time to live is over at " + end.UTC().Format(time.DateTime) + " UTC from now on")
	}
	// Of two at once the later one is written, whichever writes last.
	return end, s.ledger.update(func(r *Record) { r.Expires = s.Info().Expires })
}

// armExpiry sets the timer to the end of the time to live; s.mu is held.
func (s *Session) armExpiry() {
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	if s.expires.IsZero() {
		return
	}
	end := s.expires
	s.expiry = time.AfterFunc(time.Until(end), func() {
		// It may have been changed while this began to run.
		if s.Info().Expires.Equal(end) {
			s.End(fmt.Sprintf("its time to live of %v is over", end.Sub(s.opened).Round(time.Second)))
		}
	})
}

// disarmExpiry stops the timer for good: the session has begun to close.
func (s *Session) disarmExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
}
