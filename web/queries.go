package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
)

// Why a statement was stopped; causes of its context.
var (
	errCancelled = errors.New("the statement was cancelled")
	errClosing   = cancelledBecause("the session is being torn down")
	errDeadline  = errors.New("the statement's time is up")
)

// cancelledBecause is a cause of its own that still counts as cancelled.
type cancelledBecause string

func (why cancelledBecause) Error() string { return string(why) }

func (cancelledBecause) Is(target error) bool { return target == errCancelled }

// queries knows the statements that run, so that they can be listed and
// cancelled by name.
type queries struct {
	most    int // per session
	perUser int // over all sessions; who has no name has no limit of his own

	mu   sync.Mutex
	runs map[queryKey]*running
	// refused counts statements that did not run because others do.
	refusedBySession, refusedByUser atomic.Int64
}

type queryKey struct{ session, id string }

// running is one statement or export.
type running struct {
	key      queryKey
	user     string // who runs it; empty: the operator
	kind     string
	database string
	sql      string
	started  time.Time
	rows     atomic.Int64
	bytes    atomic.Int64 // sent, of an export or a dump
	cancel   context.CancelCauseFunc
}

func newQueries(most, perUser int) *queries {
	return &queries{most: most, perUser: perUser, runs: make(map[queryKey]*running)}
}

var queryIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// begin registers a statement under id, or a new one if it is empty. The
// context that comes back ends with the statement's time, when it is
// cancelled, and with ctx. end must be called.
func (q *queries) begin(ctx context.Context, user, session, id, kind, database, sql string, timeout time.Duration) (context.Context, *running, error) {
	if id == "" {
		id = newSecret()[:16]
	} else if !queryIDForm.MatchString(id) {
		return nil, nil, badRequest("the id may have 1 to 64 letters, digits, - and _")
	}
	r := &running{key: queryKey{session, id}, user: user, kind: kind, database: database, sql: firstRunes(sql, 1000), started: time.Now()}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.runs[r.key] != nil {
		return nil, nil, problem(http.StatusConflict, "conflict", "a statement with the id "+id+" runs already")
	}
	if err := q.busy(user, session); err != nil {
		return nil, nil, err
	}
	ctx, cancelTime := context.WithTimeoutCause(ctx, timeout, errDeadline)
	ctx, cancel := context.WithCancelCause(ctx)
	r.cancel = func(cause error) { cancel(cause); cancelTime() }
	q.runs[r.key] = r
	return ctx, r, nil
}

// count is how many statements run.
func (q *queries) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.runs)
}

// busy refuses a statement when as many run as may; q.mu is held.
func (q *queries) busy(user, session string) error {
	here := 0
	var own []*running
	for key, r := range q.runs {
		if key.session == session {
			here++
		}
		if user != "" && r.user == user {
			own = append(own, r)
		}
	}
	if here >= q.most {
		q.refusedBySession.Add(1)
		return problem(http.StatusTooManyRequests, "busy", "too many statements of this session run at once").
			withHint("wait for one to end, or cancel one")
	}
	if len(own) < q.perUser {
		return nil
	}
	q.refusedByUser.Add(1)
	oldest := slices.MinFunc(own, func(a, b *running) int { return a.started.Compare(b.started) })
	return problem(http.StatusTooManyRequests, "busy", fmt.Sprintf(
		"%s runs %d statements at once, which is as many as one person may over all sessions; the oldest has run for %v in session %s: %s",
		user, len(own), time.Since(oldest.started).Round(time.Second), oldest.key.session, firstRunes(oldest.sql, 80))).
		withHint("wait for one to end, or cancel one")
}

func (q *queries) end(r *running) {
	r.cancel(nil)
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.runs, r.key)
}

// cancelOne cancels a statement if may says yes to the user who runs it. found
// says whether there is one.
func (q *queries) cancelOne(key queryKey, may func(user string) bool) (found, cancelled bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.runs[key]
	if r == nil {
		return false, false
	}
	if !may(r.user) {
		return true, false
	}
	r.cancel(errCancelled)
	return true, true
}

func (q *queries) cancelSession(id string, cause error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, r := range q.runs {
		if key.session == id {
			r.cancel(cause)
		}
	}
}

func (q *queries) cancelAll(cause error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.runs {
		r.cancel(cause)
	}
}

type runningQuery struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	Database  string    `json:"database"`
	SQL       string    `json:"sql"`
	StartedAt time.Time `json:"startedAt"`
	Millis    float64   `json:"ms"`
	Rows      int64     `json:"rows"`
	Bytes     int64     `json:"bytes,omitempty"`
}

func (s *Server) listQueries(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	id := session.Info().ID
	list := []runningQuery{}
	s.queries.mu.Lock()
	for key, r := range s.queries.runs {
		if key.session == id {
			list = append(list, runningQuery{
				ID: key.id, Kind: r.kind, Database: r.database, SQL: r.sql,
				StartedAt: r.started.UTC(), Millis: millis(time.Since(r.started)), Rows: r.rows.Load(), Bytes: r.bytes.Load(),
			})
		}
	}
	s.queries.mu.Unlock()
	sort.Slice(list, func(i, j int) bool { return list[i].StartedAt.Before(list[j].StartedAt) })
	return c.JSON(http.StatusOK, items[runningQuery]{Items: list})
}

// cancelQuery lets people cancel what they run themselves, the owner of the
// session whatever runs on it, and the operator everything.
func (s *Server) cancelQuery(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	info, me := session.Info(), userOf(c)
	found, cancelled := s.queries.cancelOne(queryKey{info.ID, param(c, "qid")}, func(user string) bool {
		return me == "" || me == user || me == info.Owner
	})
	switch {
	case !found:
		return problem(http.StatusNotFound, "query-not-found", "no statement of that id runs")
	case !cancelled:
		return problem(http.StatusForbidden, "not-owner", "the statement is somebody else's").
			withHint("its author, the owner of the session and the operator can cancel it")
	}
	return c.NoContent(http.StatusNoContent)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i] + "…"
		}
		n--
	}
	return s
}

// timeout turns a client's wish in seconds into a duration within the
// server's limit.
func (s *Server) timeout(seconds float64) (time.Duration, error) {
	if seconds == 0 {
		return s.opts.StatementTimeout, nil
	}
	if seconds < 0 || seconds > 86400 {
		return 0, badRequest("timeoutSeconds must be more than 0 and at most 86400")
	}
	return min(time.Duration(seconds*float64(time.Second)), s.opts.StatementTimeout), nil
}
