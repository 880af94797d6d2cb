package webtest

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/snapview/snapview/web"
)

// A Catalogue is a list of snapshots that is made up; opening one makes a
// session over the Cluster. It implements web.Catalogue.
type Catalogue struct {
	Sessions *Sessions
	DSNs     func(database string) string
	// OpenTime is how long a session takes to open.
	OpenTime time.Duration
	// Max is how many sessions may be open; 0 means no limit.
	Max int

	mu     sync.Mutex
	opened int
	looked time.Time
	wg     sync.WaitGroup
}

var _ web.Catalogue = (*Catalogue)(nil)

// Wait returns when nothing is being opened.
func (c *Catalogue) Wait() { c.wg.Wait() }

// BrokenSnapshot is the reference of one that cannot be opened.
const BrokenSnapshot = "/backups/2026-11-17"

// ScatteredSnapshot is the reference of an incremental one whose full backup,
// ScatteredParent, lies elsewhere and must be named.
const (
	ScatteredSnapshot = "/backups/incremental/friday"
	ScatteredParent   = "/backups/full/thursday"
)

func (c *Catalogue) items() []web.CatalogueEntry {
	day := time.Date(2026, 11, 20, 2, 14, 9, 0, time.UTC)
	var items []web.CatalogueEntry
	for i := range 9 {
		at := day.AddDate(0, 0, -i)
		e := web.CatalogueEntry{
			Reference: "/backups/" + at.Format(time.DateOnly), Store: "/backups", Kind: "tar folder", Label: at.Format(time.DateOnly),
			Type: "full", Time: &at, Bytes: int64(1532-11*i) << 20, Major: 15, SystemIdentifier: "7710508723054575464", Timeline: 1,
			StartLSN: fmt.Sprintf("2/%X000028", 90-4*i), StopLSN: fmt.Sprintf("2/%X000100", 92-4*i),
		}
		if e.Reference == BrokenSnapshot {
			e.Problem = "base.tar is cut short, 734003200 bytes into what it holds"
		}
		items = append(items, e)
	}
	for i, label := range []string{"20261119-231500F_20261120-111500I", "20261119-231500F"} {
		at := day.Add(-time.Duration(3+12*i) * time.Hour)
		e := web.CatalogueEntry{
			Reference: "/var/lib/pgbackrest#main/" + label, Store: "/var/lib/pgbackrest", Kind: "pgbackrest", Label: label,
			Type: "incremental", Time: &at, Bytes: 310 << 30, StoredBytes: int64(4+90*i) << 30, Major: 17,
			SystemIdentifier: "7710508723054570017", Timeline: 3, StartLSN: "51/A0000028", Parent: "20261119-231500F",
		}
		if i == 1 {
			e.Type, e.Parent = "full", ""
		}
		items = append(items, e)
	}
	for i, reference := range []string{ScatteredSnapshot, ScatteredParent} {
		at := time.Date(2026, 11, 13-i, 22, 10, 0, 0, time.UTC)
		e := web.CatalogueEntry{
			Reference: reference, Store: "/backups", Kind: "data folder", Label: path.Base(reference), Time: &at, Bytes: int64(40+800*i) << 20,
			Type: "incremental", Major: 17, SystemIdentifier: "7710508723054577777", Timeline: 1, StartLSN: fmt.Sprintf("7/%X000028", 9-i),
		}
		if i == 1 {
			e.Type = "full"
		} else {
			e.Kind = "incremental" // as a real one is: a word that its type is too
		}
		items = append(items, e)
	}
	slices.SortStableFunc(items, func(a, b web.CatalogueEntry) int { return b.Time.Compare(*a.Time) })
	return items
}

// List implements web.Catalogue.
func (c *Catalogue) List(context.Context) (web.CatalogueList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looked.IsZero() {
		c.looked = time.Now().UTC()
	}
	looked := c.looked
	return web.CatalogueList{
		Items: c.items(),
		Stores: []web.Store{
			{Reference: "/backups", CheckedAt: &looked, Millis: 41, Snapshots: 11},
			{Reference: "/var/lib/pgbackrest", CheckedAt: &looked, Millis: 12, Snapshots: 2},
			{Reference: "/mnt/nas", CheckedAt: &looked, Problem: "stat /mnt/nas: host is down"},
		},
		Limits: web.OpenLimits{Sessions: c.Max, MaxOverlayBytes: 10 << 30, MaxTTL: 24 * 3600, DefaultTTL: 8 * 3600, Writable: true},
	}, nil
}

// Refresh implements web.Catalogue.
func (c *Catalogue) Refresh(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = time.Now().UTC()
	return nil
}

func (c *Catalogue) find(reference string) (web.CatalogueEntry, error) {
	for _, e := range c.items() {
		if e.Reference == reference {
			return e, nil
		}
	}
	return web.CatalogueEntry{}, fmt.Errorf("%s is not in the catalogue: %w", reference, web.ErrNotFound)
}

// Preflight implements web.Catalogue.
func (c *Catalogue) Preflight(_ context.Context, reference string, chain []string) (web.Snapshot, error) {
	e, err := c.find(reference)
	if err != nil {
		return web.Snapshot{}, err
	}
	if err := c.checkChain(e, chain); err != nil {
		return web.Snapshot{}, err
	}
	s := demoSnapshot(time.Now())
	s.Reference, s.Kind, s.Major, s.SystemIdentifier, s.Bytes = e.Reference, e.Kind, e.Major, e.SystemIdentifier, e.Bytes
	s.Changes = nil
	if e.Problem != "" {
		s.Warnings = append([]web.Warning{{Code: "archive", Severity: web.SeverityDanger, Title: e.Problem}}, s.Warnings...)
	}
	return s, nil
}

// checkChain wants the full backup of the one incremental snapshot that needs it.
func (c *Catalogue) checkChain(e web.CatalogueEntry, chain []string) error {
	for _, reference := range chain {
		if _, err := c.find(reference); err != nil {
			return err
		}
	}
	if e.Reference == ScatteredSnapshot && !slices.Contains(chain, ScatteredParent) {
		return fmt.Errorf("%w: %s builds on the backup of 2026-11-12 22:10:00 UTC, which does not lie beside it: name it with --chain", web.ErrConflict, e.Reference)
	}
	return nil
}

// Open implements web.Catalogue.
func (c *Catalogue) Open(_ context.Context, opts web.OpenOptions) (web.Session, error) {
	e, err := c.find(opts.Reference)
	if err != nil {
		return nil, err
	}
	if err := c.checkChain(e, opts.Chain); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Max > 0 && c.opened >= c.Max {
		return nil, fmt.Errorf("%d sessions are open, which is as many as are allowed: %w", c.opened, web.ErrConflict)
	}
	c.opened++
	s := NewSession(fmt.Sprintf("opened-%d", c.opened), c.DSNs)
	s.HasLayers = true
	s.openSlowly(e, opts, c.OpenTime, &c.wg)
	c.Sessions.Add(s)
	return s, nil
}

// openSlowly makes a session go through its phases, or fail at the first one
// when its snapshot is broken.
func (s *Session) openSlowly(e web.CatalogueEntry, opts web.OpenOptions, takes time.Duration, wg *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	phases := s.info.Phases
	s.info.Phases, s.events = nil, nil
	s.info.State, s.info.ReadyAt, s.info.CreatedAt = web.StateOpening, nil, time.Now().UTC()
	s.info.Reference, s.info.Kind, s.info.Name, s.info.Writable = e.Reference, e.Kind, opts.Name, opts.Writable
	s.info.Owner = opts.Owner
	s.info.Stats = web.Stats{LimitBytes: opts.MaxOverlayBytes, BackupBytes: e.Bytes, BaseBytes: 1 << 40}
	s.samples = nil
	s.emitLocked(web.Event{Type: web.EventState, State: web.StateOpening})
	wg.Go(func() {
		for _, p := range phases {
			time.Sleep(takes / time.Duration(len(phases)))
			now := time.Now().UTC()
			s.mu.Lock()
			if s.info.State != web.StateOpening {
				s.mu.Unlock()
				return // closed meanwhile
			}
			if e.Problem != "" {
				failure := web.Failure{Phase: p.Name, Message: e.Problem, Hint: "fetch the backup again"}
				p.State, p.StartedAt = web.PhaseFailed, &now
				s.info.Phases = append(s.info.Phases, p)
				s.info.State, s.info.Failure = web.StateFailed, &failure
				s.emitLocked(web.Event{Type: web.EventPhase, Phase: &p})
				s.emitLocked(web.Event{Type: web.EventState, State: web.StateFailed, Failure: &failure})
				s.mu.Unlock()
				return
			}
			p.StartedAt = &now
			s.info.Phases = append(s.info.Phases, p)
			s.emitLocked(web.Event{Type: web.EventPhase, Phase: &p})
			s.mu.Unlock()
		}
		now := time.Now().UTC()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.info.State == web.StateOpening {
			s.info.State, s.info.ReadyAt = web.StateReady, &now
			s.emitLocked(web.Event{Type: web.EventState, State: web.StateReady})
		}
	})
}
