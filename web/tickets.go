package web

import (
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// ticketLife is how long a prepared export waits for its download.
const ticketLife = 2 * time.Minute

// maxTickets is how many wait at once.
const maxTickets = 200

// A download is a file that was prepared by a POST and waits for the browser: a
// download is a plain GET, which must not carry a statement in its address.
type download interface {
	// send answers the GET. It is called once.
	send(s *Server, c echo.Context, session Session) error
}

// tickets are the downloads that wait.
type tickets struct {
	mu   sync.Mutex
	open map[queryKey]ticket
}

type ticket struct {
	file    download
	expires time.Time
}

func newTickets() *tickets { return &tickets{open: make(map[queryKey]ticket)} }

func (t *tickets) add(key queryKey, file download) (time.Time, error) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, have := range t.open {
		if now.After(have.expires) {
			delete(t.open, k)
		}
	}
	if len(t.open) >= maxTickets {
		return time.Time{}, problem(http.StatusTooManyRequests, "busy", "too many exports wait to be downloaded")
	}
	expires := now.Add(ticketLife)
	t.open[key] = ticket{file, expires}
	return expires, nil
}

func (t *tickets) take(key queryKey) download {
	t.mu.Lock()
	defer t.mu.Unlock()
	have, ok := t.open[key]
	delete(t.open, key)
	if !ok || time.Now().After(have.expires) {
		return nil
	}
	return have.file
}

func (s *Server) createExport(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var body exportRequest
	if err := readBody(c, &body); err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	plan, err := s.planExport(ctx, session, param(c, "db"), body)
	if err != nil {
		return err
	}
	// Through the gate once without running it, to say what is wrong while
	// the page can still show it.
	open, err := plan.open(ctx, s, session)
	if err != nil {
		return err
	}
	open.close()
	return s.offer(c, session, plan)
}

// offer keeps a download for the browser and answers with where it is.
func (s *Server) offer(c echo.Context, session Session, file download) error {
	key := queryKey{session.Info().ID, newSecret()[:22]}
	expires, err := s.tickets.add(key, file)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, map[string]any{
		"id": key.id, "url": "/api/v1/sessions/" + key.session + "/exports/" + key.id, "expiresAt": expires.UTC(),
	})
}

func (s *Server) downloadExport(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	file := s.tickets.take(queryKey{session.Info().ID, param(c, "eid")})
	if file == nil {
		return problem(http.StatusNotFound, "export-not-found", "this export was downloaded already, or has expired")
	}
	return file.send(s, c, session)
}
