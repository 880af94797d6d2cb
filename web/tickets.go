package web

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// ticketLife is how long a prepared export waits for its download.
const ticketLife = 2 * time.Minute

const (
	// maxTickets is how many wait at once, of everybody, and how many that ended
	// are remembered.
	maxTickets = 200
	// maxTicketsPerUser is how many of them may be one user's, so that nobody takes
	// the others' places. The operator, and everybody where people are not told
	// apart, has no such limit.
	maxTicketsPerUser = 40
)

// A download is a file that was prepared by a POST and waits for the browser: a
// download is a plain GET, which must not carry a statement in its address.
type download interface {
	// send answers the GET. It is called once. What it runs, and what breaks
	// the answer off, it tells offer.
	send(s *Server, c echo.Context, session Session, offer *offered) error
}

// tickets are the downloads that wait, that run, and that ended lately: the
// browser tells a page nothing of its downloads, so the page asks here.
type tickets struct {
	mu   sync.Mutex
	open map[queryKey]*offered
}

func newTickets() *tickets { return &tickets{open: make(map[queryKey]*offered)} }

func (t *tickets) add(o *offered) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.forget(now)
	waiting, own := 0, 0
	for _, have := range t.open {
		if have.state == downloadWaiting {
			if waiting++; have.user == o.user {
				own++
			}
		}
	}
	switch {
	case o.user != "" && own >= maxTicketsPerUser:
		return problem(http.StatusTooManyRequests, "busy", strconv.Itoa(own)+" of your exports wait to be downloaded").
			withHint("withdraw some, or wait two minutes until they expire")
	case waiting >= maxTickets:
		return problem(http.StatusTooManyRequests, "busy", "too many exports wait to be downloaded")
	}
	o.tickets, o.state, o.created, o.expires = t, downloadWaiting, now, now.Add(ticketLife)
	t.open[o.key] = o
	return nil
}

// take hands a download out, once, and to nobody but who prepared it.
func (t *tickets) take(key queryKey, user string) *offered {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.open[key]
	if o == nil || o.state != downloadWaiting || o.user != user {
		return nil
	}
	if time.Now().After(o.expires) {
		delete(t.open, key)
		return nil
	}
	o.state, o.started = downloadRunning, time.Now()
	return o
}

// forget drops what has expired, and of what has ended, where that is too much,
// the oldest of whoever has the most. mu is held.
func (t *tickets) forget(now time.Time) {
	oldest, ended, all := make(map[string]*offered), make(map[string]int), 0
	for key, o := range t.open {
		switch {
		case o.state == downloadRunning:
		case now.After(o.expires):
			delete(t.open, key)
		case o.state != downloadWaiting:
			all++
			ended[o.user]++
			if have := oldest[o.user]; have == nil || o.expires.Before(have.expires) {
				oldest[o.user] = o
			}
		}
	}
	if all > maxTickets {
		most := slices.MaxFunc(slices.Collect(maps.Keys(ended)), func(a, b string) int { return cmp.Compare(ended[a], ended[b]) })
		delete(t.open, oldest[most].key)
	}
}

func (s *Server) createExport(c echo.Context) error {
	session, plan, err := s.requestedExport(c)
	if err != nil {
		return err
	}
	// Through the gate once without running it, to say what is wrong while
	// the page can still show it.
	ctx, cancel := catalogContext(c)
	defer cancel()
	open, err := plan.open(ctx, s, session)
	if err != nil {
		return err
	}
	open.close()
	p := plan.file()
	return s.offer(c, session, plan, offered{kind: "export", fileName: p.name, database: p.database, expected: p.expectedRows()})
}

// offer keeps a download for the browser and answers with where it is. Of o it
// takes what the page is told of the file.
func (s *Server) offer(c echo.Context, session Session, file download, o offered) error {
	o.key, o.user, o.file = queryKey{session.Info().ID, newSecret()[:22]}, userOf(c), file
	if err := s.tickets.add(&o); err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, map[string]any{
		"id": o.key.id, "url": "/api/v1/sessions/" + o.key.session + "/exports/" + o.key.id, "expiresAt": o.expires.UTC(), "fileName": o.fileName,
	})
}

func (s *Server) downloadExport(c echo.Context) (err error) {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	o := s.tickets.take(queryKey{session.Info().ID, param(c, "eid")}, userOf(c))
	if o == nil {
		return problem(http.StatusNotFound, "export-not-found", "this export was downloaded already, or has expired")
	}
	err = errBrokenOff // unless send returns
	defer func() { o.ended(err) }()
	return o.file.send(s, c, session, o)
}
