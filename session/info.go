package session

import (
	"time"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
)

// Info is a session at one moment.
type Info struct {
	ID       string
	Ref      string
	Name     string
	Parent   string // the session that it is a fork of; empty if it is none
	State    State
	Why      string // it is closing or closed
	Failure  error
	Opened   time.Time
	Ready    time.Time // zero until it is
	Expires  time.Time // end of the time to live; zero without one
	Idle     time.Time // when it ends if nobody uses it; zero without a limit
	Writable bool

	Snapshot *snapshot.Snapshot // nil until identified
	Plan     *pgrunner.Plan     // nil until identified
	Version  string             // of the server; empty until it runs

	Method     attach.Method // empty until attached
	Device     string
	MountPoint string

	NBDSocket string
	NBDAddr   string // of the TCP export; empty without one
	PSQLAddr  string // of the psql endpoint; empty without one
}

// Info returns what the session is at this moment. It never waits.
func (s *Session) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.parts
	i := Info{
		ID: s.id, Ref: sources.Redact(s.opts.Ref), State: s.state, Why: s.why, Failure: s.failure,
		Opened: s.opened, Ready: s.ready, Expires: s.expires, Writable: s.opts.Writable,
		Snapshot: p.snapshot, Plan: p.plan, NBDAddr: p.nbdAddr, Name: s.opts.Name,
	}
	if s.origin != nil {
		i.Parent = s.origin.parent
	}
	if s.opts.Idle > 0 {
		i.Idle = s.used.Add(s.opts.Idle)
	}
	if p.nbd != nil {
		i.NBDSocket = s.ledger.dir + "/" + nbdSocket
	}
	if p.disk != nil {
		i.Method, i.Device, i.MountPoint = p.disk.Method(), p.disk.DeviceName(), p.disk.MountPoint()
	}
	if p.server != nil {
		i.Version = p.server.Version()
	}
	if p.endpoint != nil {
		i.PSQLAddr = p.endpoint.Addr().String()
	}
	return i
}

// Server returns the running server, or ErrNotReady.
func (s *Session) Server() (*pgrunner.Server, error) {
	p, state := s.get()
	if p.server == nil || state != Ready && state != Opening {
		return nil, ErrNotReady
	}
	return p.server, nil
}

// Figures are a session's numbers at one moment, in bytes. A session and its
// forks read the backup through one disk, and each counts the layers below its
// own as well as its own.
type Figures struct {
	OverlayBytes int64 // data that the overlay holds, as du counts it
	LimitBytes   int64 // of the overlay; 0: none
	BaseBytes    int64 // of the virtual disk
	BackupBytes  int64 // of the files in the backup
	ReadBytes    int64 // read from the backup since it was opened
	Holding      bool  // writes wait for room
	HoldReason   cow.HoldReason
}

// Figures returns the session's numbers. What is not there yet counts zero.
func (s *Session) Figures() Figures {
	p, state := s.get()
	var f Figures
	if p.snapshot != nil {
		f.BackupBytes, f.ReadBytes = p.snapshot.Size.Bytes, p.snapshot.BytesRead()
	}
	if p.base != nil {
		f.BaseBytes = p.base.Size()
	}
	if p.overlay == nil || state == Closed || state == Failed {
		return f
	}
	if st, err := p.overlay.Stats(); err == nil {
		f.OverlayBytes, f.LimitBytes = st.Allocated, st.Limit
		f.Holding, f.HoldReason = st.Holding > 0, st.HoldReason
	}
	return f
}

// SetLimit changes how many bytes the overlay may hold; 0 lifts the limit.
func (s *Session) SetLimit(bytes int64) error {
	p, _ := s.get()
	if p.overlay == nil {
		return ErrNotReady
	}
	p.overlay.SetLimit(bytes)
	return nil
}

// Happened returns the events that are kept, oldest first.
func (s *Session) Happened() []Event {
	events, _, _ := s.events.next(0)
	return events
}
