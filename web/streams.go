package web

import (
	"net/http"
	"sync"
)

const (
	// maxStreams is how many event streams one of Users may have open. Tabs of a
	// browser share one for each session, so it is far from what anybody looks at.
	maxStreams = 64
	// maxNamelessStreams is how many they may be of the operator, who is everybody
	// where people are not told apart.
	maxNamelessStreams = 512
)

// streams counts the event streams that are open, by user.
type streams struct {
	mu   sync.Mutex
	open map[string]int
	all  int
}

func newStreams() *streams { return &streams{open: make(map[string]int)} }

// begin counts one more; the caller calls leave when it has ended.
func (s *streams) begin(user string) (leave func(), err error) {
	most := maxStreams
	if user == "" {
		most = maxNamelessStreams
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[user] >= most {
		return nil, problem(http.StatusTooManyRequests, "busy", "too many event streams are open at once").
			withHint("close pages of snapview that nobody looks at")
	}
	s.open[user]++
	s.all++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.open[user]--; s.open[user] == 0 {
			delete(s.open, user)
		}
	}, nil
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}
