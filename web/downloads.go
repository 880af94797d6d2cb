package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
)

// errBrokenOff is of a download whose handler did not return, and did not say why.
var errBrokenOff = errors.New("snapview made a mistake; its log has the details")

// keepDownload is how long it is known how a download ended.
const keepDownload = 15 * time.Minute

// The states of a download.
const (
	downloadWaiting   = "waiting" // for the browser to ask for it
	downloadRunning   = "running"
	downloadDone      = "done" // everything was sent
	downloadFailed    = "failed"
	downloadCancelled = "cancelled"
)

// offered is a download in the list that the page shows. Its fields below
// tickets are guarded by tickets.mu.
type offered struct {
	key      queryKey
	user     string // who prepared it; empty: the operator
	file     download
	kind     string // export or dump
	fileName string
	database string
	expected int64 // rows, as far as is known; 0: not

	tickets *tickets
	state   string
	created time.Time
	expires time.Time
	started time.Time
	took    time.Duration // once it has ended
	run     *running
	stopped bool // by cancelDownload
	err     error
}

// runs tells which statement makes the file. o may be nil: then nobody asks.
func (o *offered) runs(run *running) {
	if o == nil {
		return
	}
	o.tickets.mu.Lock()
	defer o.tickets.mu.Unlock()
	if o.run = run; o.stopped {
		run.cancel(errCancelled)
	}
}

// stop cancels a download that was asked for, or will as soon as it has a
// statement. tickets.mu is held.
func (o *offered) stop() {
	if o.stopped = true; o.run != nil {
		o.run.cancel(errCancelled)
	}
}

// failed tells why the answer breaks off, which must happen before ended.
func (o *offered) failed(err error) {
	if o == nil {
		return
	}
	o.tickets.mu.Lock()
	defer o.tickets.mu.Unlock()
	o.err = err
}

func (o *offered) ended(err error) {
	o.tickets.mu.Lock()
	defer o.tickets.mu.Unlock()
	now := time.Now()
	o.took, o.expires, o.file = now.Sub(o.started), now.Add(keepDownload), nil
	if o.err == nil {
		o.err = err
	}
	switch {
	case o.err == nil:
		o.state = downloadDone
	case wasCancelled(o.err):
		o.state = downloadCancelled
	default:
		o.state = downloadFailed
	}
	o.tickets.forget(now)
}

// wasCancelled says whether a person wanted the end that a statement had: here,
// by stopping the download in the browser, or by stopping snapview.
func wasCancelled(err error) bool {
	var p *Problem
	return errors.Is(err, errCancelled) || errors.Is(err, errShutdown) || errors.Is(err, errClientGone) || errors.Is(err, context.Canceled) ||
		errors.As(err, &p) && p.Code == "cancelled"
}

// expectedRows is how many rows the file will about have; 0 if that is not
// known.
func (p *exportFile) expectedRows() int64 {
	rows := int64(0)
	switch {
	case p.Format == putBackFormat:
		return 0
	case len(p.Keys) > 0:
		rows = int64(len(p.Keys))
	case p.rel != nil && p.Relation != 0 && len(p.Filter) == 0 && p.rel.EstimatedRows > 0:
		rows = p.rel.EstimatedRows
	}
	if p.Limit > 0 && (rows > p.Limit || rows == 0 && p.Limit <= 1000) {
		rows = p.Limit
	}
	return rows
}

type downloadInfo struct {
	ID           string     `json:"id"`
	Kind         string     `json:"kind"`
	State        string     `json:"state"`
	FileName     string     `json:"fileName"`
	Database     string     `json:"database"`
	CreatedAt    time.Time  `json:"createdAt"`
	StartedAt    *time.Time `json:"startedAt,omitempty"`
	Millis       float64    `json:"ms"`
	Rows         int64      `json:"rows"`
	Bytes        int64      `json:"bytes"`
	ExpectedRows int64      `json:"expectedRows,omitempty"`
	Error        *Problem   `json:"error,omitempty"`
}

// info is what the page is told. tickets.mu is held.
func (o *offered) info() downloadInfo {
	i := downloadInfo{
		ID: o.key.id, Kind: o.kind, State: o.state, FileName: o.fileName, Database: o.database, CreatedAt: o.created.UTC(), ExpectedRows: o.expected,
	}
	if !o.started.IsZero() {
		started := o.started.UTC()
		i.StartedAt, i.Millis = &started, millis(o.took)
		if o.state == downloadRunning {
			i.Millis = millis(time.Since(o.started))
		}
	}
	if o.run != nil {
		i.Rows, i.Bytes = o.run.rows.Load(), o.run.bytes.Load()
	}
	switch {
	case errors.Is(o.err, errClientGone), errors.Is(o.err, context.Canceled):
		i.Error = problem(http.StatusConflict, "cancelled", "the browser stopped taking the file")
	case o.err != nil:
		i.Error = problemOf(o.err, "")
	}
	return i
}

// listDownloads tells people of what they download themselves, and the operator
// of everything.
func (s *Server) listDownloads(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	id, me := session.Info().ID, userOf(c)
	list := []downloadInfo{}
	s.tickets.mu.Lock()
	s.tickets.forget(time.Now())
	for key, o := range s.tickets.open {
		if key.session == id && (me == "" || me == o.user) {
			list = append(list, o.info())
		}
	}
	s.tickets.mu.Unlock()
	slices.SortFunc(list, func(a, b downloadInfo) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return c.JSON(http.StatusOK, items[downloadInfo]{Items: list})
}

// cancelDownload ends a download that runs, withdraws one that waits, and
// forgets one that has ended. Who may cancel the statement may do it.
func (s *Server) cancelDownload(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	info, me := session.Info(), userOf(c)
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	o := s.tickets.open[queryKey{info.ID, param(c, "eid")}]
	switch {
	case o == nil:
		return problem(http.StatusNotFound, "export-not-found", "no download of that id waits or runs")
	case me != "" && me != o.user && me != info.Owner:
		return problem(http.StatusForbidden, "not-owner", "the download is somebody else's").
			withHint("who began it, the owner of the session and the operator can cancel it")
	case o.state == downloadRunning:
		o.stop()
	default:
		delete(s.tickets.open, o.key)
	}
	return c.NoContent(http.StatusNoContent)
}
