package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// keepAlive is how often a silent stream sends a comment, less than what
// proxies take for dead.
const keepAlive = 15 * time.Second

// streamEvents sends a session's events as server-sent events (WHATWG HTML,
// section 9.2), beginning after the id that the client saw last.
func (s *Server) streamEvents(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	after, err := lastEventID(c)
	if err != nil {
		return err
	}
	leave, err := s.streams.begin(userOf(c))
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	events, err := session.Events(ctx, after)
	if err != nil {
		return err
	}
	w := c.Response()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	out := newFlusher(ctx, w)
	// Come back soon after a break, and see that the stream is open.
	if err := out.send("retry: 1000\n\n"); err != nil {
		return nil
	}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return nil
			}
			data, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("event %d: %w", e.ID, err)
			}
			if err := out.send(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Type, data)); err != nil {
				return nil // the client is gone
			}
		case <-tick.C:
			if err := out.send(": alive\n\n"); err != nil {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func lastEventID(c echo.Context) (int64, error) {
	v := c.Request().Header.Get("Last-Event-ID")
	if v == "" {
		v = c.QueryParam("after")
	}
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, badRequest("the last event's id is not a number: " + strconv.Quote(v))
	}
	return n, nil
}
