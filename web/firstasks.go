package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// firstAskTimeout ends one in any case, a little after the handler should have.
	firstAskTimeout = catalogTimeout + 5*time.Second
	// maxFirstAsks is how many are under way at once; pages beyond come without
	// answers and ask for themselves.
	maxFirstAsks = 32
	// firstAskBytes bounds an answer that is kept for the page's own request.
	firstAskBytes = 1 << 20
)

// firstAsks are the requests that pages will make and that the server has begun
// to answer (firstanswers.go). The page does not wait long for them, since the
// first statement on a cold catalogue of a remote backup may take seconds. They go
// on without it: a statement that is cancelled costs its connection, and the page
// asks for the same at once. Then it gets the answer that is under way.
type firstAsks struct {
	mu   sync.Mutex
	open map[firstKey]*firstAsk
}

// A firstKey is what must be the same for an answer to be the same, besides what
// the guard has checked of each request by itself.
type firstKey struct{ session, user, uri string }

// A firstAsk is one of them. Of answer and failed nobody reads before done is closed.
type firstAsk struct {
	cancel context.CancelFunc
	done   chan struct{}
	answer *answerWriter
	failed bool // to come to an end
}

func newFirstAsks() *firstAsks { return &firstAsks{open: make(map[firstKey]*firstAsk)} }

func (f *firstAsks) get(key firstKey) *firstAsk {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[key]
}

// closeSession ends what is under way in a session that is about to end. Nobody
// waits for it.
func (f *firstAsks) closeSession(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, ask := range f.open {
		if key.session == id {
			ask.cancel()
		}
	}
}

// begin returns what is under way of that key, or begins it with the rights and
// headers of r; nil when too much is under way.
func (s *Server) beginFirstAsk(key firstKey, r *http.Request) *firstAsk {
	f := s.first
	f.mu.Lock()
	defer f.mu.Unlock()
	if ask := f.open[key]; ask != nil {
		return ask
	}
	if len(f.open) >= maxFirstAsks || s.ctx.Err() != nil {
		return nil
	}
	ctx := context.WithValue(context.WithoutCancel(r.Context()), firstAskKey{}, firstAskRuns)
	ctx, cancel := context.WithTimeout(ctx, firstAskTimeout)
	stop := context.AfterFunc(s.ctx, cancel)
	ask := &firstAsk{cancel: cancel, done: make(chan struct{}), answer: newAnswerWriter(firstAskBytes)}
	f.open[key] = ask
	request := r.Clone(ctx)
	request.Body = http.NoBody
	go func() {
		defer func() {
			if recover() != nil { // what recoverPanics hands on would end the process here
				ask.failed = true
			}
			ask.failed = ask.failed || ctx.Err() != nil || ask.answer.over || ask.answer.status == 0
			stop()
			cancel()
			f.mu.Lock()
			delete(f.open, key)
			f.mu.Unlock()
			close(ask.done)
		}()
		s.http.Handler.ServeHTTP(ask.answer, request)
	}()
	return ask
}

// joinFirstAsk answers a request with what is under way of the same user, if that
// comes to an end. It follows the guard, which has let the request in by itself.
func (s *Server) joinFirstAsk(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		role := r.Context().Value(firstAskKey{})
		if r.Method != http.MethodGet || role == firstAskRuns || isControl(r.Context()) {
			return next(c)
		}
		key := firstKey{param(c, "id"), userOf(c), r.URL.RequestURI()}
		var ask *firstAsk
		if role == firstAskWaits {
			if ask = s.beginFirstAsk(key, r); ask == nil {
				return c.NoContent(http.StatusServiceUnavailable)
			}
		} else if ask = s.first.get(key); ask == nil {
			return next(c)
		}
		select {
		case <-ask.done:
		case <-r.Context().Done():
			return r.Context().Err()
		}
		switch {
		case !ask.failed:
			return c.Blob(ask.answer.status, ask.answer.header.Get(echo.HeaderContentType), ask.answer.body.Bytes())
		case role == firstAskWaits:
			return c.NoContent(http.StatusServiceUnavailable)
		}
		return next(c)
	}
}
