package webtest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/snapview/snapview/web"
)

func demoSnapshot(at time.Time) web.Snapshot {
	return web.Snapshot{
		Reference: "/backups/2026-11-20", Kind: "tar-directory", Major: 15, SystemIdentifier: "7423914655018213377", Timeline: 1,
		CheckpointLSN: "0/2000060", RedoLSN: "0/2000028", CheckpointTime: &at, BackupStartedAt: &at, BackupMethod: "streamed",
		ClusterState: "in production", Label: "pg_basebackup base backup", Bytes: 1532 << 20, Files: 1204,
		Tablespaces: []web.Tablespace{{OID: 16384, Location: "/srv/fast", Bytes: 12 << 20}},
		Facts:       []web.Fact{{Name: "Data checksums", Value: "on"}, {Name: "Block size", Value: "8 KiB"}, {Name: "max_connections", Value: "200"}},
		Warnings: []web.Warning{
			{Code: "unlogged-empty", Severity: web.SeverityWarning, Title: "1 unlogged table is empty", Detail: "A base backup does not hold the rows of shop.carts.", Hint: "They cannot be brought back from this backup."},
			{Code: "preload-missing", Severity: web.SeverityInfo, Title: "pg_stat_statements is not loaded", Detail: "shared_preload_libraries of the backup is not active here."},
		},
		Changes: []web.Change{
			{Path: "postgresql.conf", What: "replaced", Why: "nothing of the source host's configuration may stay active"},
			{Path: "standby.signal", What: "created", Why: "the server is read-only"},
		},
		Settings: []web.Setting{
			{Name: "max_connections", Value: "200", File: "postgresql.conf", Used: true},
			{Name: "archive_command", Value: "pgbackrest archive-push %p", File: "postgresql.conf", Effect: "off: a session never touches the source's WAL archive"},
			{Name: "work_mem", Value: "1GB", File: "postgresql.auto.conf", Becomes: &workMem},
		},
	}
}

var workMem = "16MB"

// Grow adds bytes to the overlay and to what was read from the backup, as a
// sample and an event.
func (s *Session) Grow(overlay, read int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info.State != web.StateReady {
		return
	}
	st := &s.info.Stats
	st.BackupBytesRead += read
	if room := st.LimitBytes - st.OverlayBytes; st.LimitBytes > 0 && overlay > room {
		overlay = max(room, 0)
	}
	st.OverlayBytes += overlay
	holding := st.LimitBytes > 0 && st.OverlayBytes >= st.LimitBytes
	changed := holding != st.Holding
	st.Holding, st.HoldingWhy, st.HoldingReason = holding, "", ""
	if holding {
		st.HoldingWhy, st.HoldingReason = "The overlay has reached its limit.", "quota"
	}
	sample := s.sampleLocked()
	s.samples = append(s.samples, sample)
	if len(s.samples) > 2000 {
		s.samples = append(s.samples[:0:0], s.samples[1000:]...)
	}
	s.emitLocked(web.Event{Type: web.EventOverlay, Sample: &sample})
	if changed {
		s.emitLocked(web.Event{Type: web.EventHold, Sample: &sample, Message: st.HoldingWhy})
	}
}

func (s *Session) sampleLocked() web.Sample {
	st := s.info.Stats
	return web.Sample{Time: time.Now().UTC(), OverlayBytes: st.OverlayBytes, BackupBytesRead: st.BackupBytesRead, Holding: st.Holding}
}

// Samples implements web.Session.
func (s *Session) Samples(_ context.Context, since time.Time) ([]web.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []web.Sample
	for _, sample := range s.samples {
		if sample.Time.After(since) {
			list = append(list, sample)
		}
	}
	return list, nil
}

// Keep implements web.Session. A day is the longest.
func (s *Session) Keep(_ context.Context, d time.Duration) (time.Time, error) {
	if d == 0 || d > 24*time.Hour {
		return time.Time{}, fmt.Errorf("%w: a session may be kept 24h0m0s at most from now", web.ErrInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info.State != web.StateOpening && s.info.State != web.StateReady {
		return time.Time{}, web.ErrNotReady
	}
	end := time.Now().UTC().Add(d)
	s.info.ExpiresAt = &end
	s.emitLocked(web.Event{Type: web.EventWarning, Warning: &web.Warning{Code: "notice", Severity: web.SeverityInfo, Title: "The time to live was changed"}})
	return end, nil
}

// SetLimit implements web.Session.
func (s *Session) SetLimit(_ context.Context, bytes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes < 0 {
		return fmt.Errorf("limit %d is negative: %w", bytes, web.ErrInvalid)
	}
	s.info.Stats.LimitBytes = bytes
	st := &s.info.Stats
	st.HoldingWhy, st.HoldingReason = "", ""
	if st.Holding = bytes > 0 && st.OverlayBytes >= bytes; st.Holding {
		st.HoldingWhy, st.HoldingReason = "The overlay has reached its limit.", "quota"
	}
	sample := s.sampleLocked()
	s.emitLocked(web.Event{Type: web.EventHold, Sample: &sample, Message: "the limit was changed"})
	return nil
}

// Growth implements web.Session: it deals the overlay's bytes out in fixed
// shares.
func (s *Session) Growth(_ context.Context, since, until string) (web.Growth, error) {
	total := s.Info().Stats.OverlayBytes
	t := s.layers()
	defer t.mu.Unlock()
	if t.top(s.id) == nil {
		return web.Growth{}, web.ErrNotReady
	}
	chain := t.chain(t.top(s.id).ID)
	if until != "" {
		if t.find(until) == nil {
			return web.Growth{}, fmt.Errorf("checkpoint %q: %w", until, web.ErrNotFound)
		}
		chain = t.chain(until)
		total /= 3
	}
	if since != "" && since != "base" {
		if t.find(since) == nil {
			return web.Growth{}, fmt.Errorf("checkpoint %q: %w", since, web.ErrNotFound)
		}
		if !slices.Contains(chain, since) {
			return web.Growth{}, fmt.Errorf("checkpoint %s: %w: it does not lie below the other", since, web.ErrInvalid)
		}
		total /= 2
	}
	if since == until && until != "" {
		total = 0
	}
	g := dealOut(total)
	g.Since, g.Until = since, until
	if until != "" {
		g.Notes = []string{"One relation is shown by the number of its file: the catalogue does not know it, as it was dropped or rewritten since."}
	}
	return g, nil
}

// GrowthSteps implements web.Session.
func (s *Session) GrowthSteps(_ context.Context, since, until string) ([]web.GrowthStep, error) {
	now := s.Info().Stats.OverlayBytes
	t := s.layers()
	defer t.mu.Unlock()
	if t.top(s.id) == nil {
		return nil, web.ErrNotReady
	}
	to := until
	if to == "" {
		to = t.top(s.id).ID
	}
	if t.find(to) == nil {
		return nil, fmt.Errorf("checkpoint %q: %w", to, web.ErrNotFound)
	}
	var steps []web.GrowthStep
	var sum int64
	before := "base"
	for _, id := range t.chain(to) {
		l := t.find(id)
		bytes := l.OverlayBytes
		step := web.GrowthStep{Since: before, Until: id, Name: l.Name, At: l.CreatedAt}
		if l.Sealed {
			step.At = *l.SealedAt
		} else {
			step.Until, step.At, bytes = "", time.Now().UTC(), now/3
		}
		before = id
		g := dealOut(bytes)
		sum += bytes
		step.Bytes, step.TotalBytes, step.Causes, step.Relations = bytes, sum, g.Causes, g.Relations
		steps = append(steps, step)
	}
	if i := slices.IndexFunc(steps, func(step web.GrowthStep) bool { return step.Since == since }); i > 0 {
		steps = steps[i:]
	}
	return steps, nil
}

func dealOut(total int64) web.Growth {
	g := web.Growth{At: time.Now().UTC(), TotalBytes: total, FreeBytes: total / 50}
	rest := total - g.FreeBytes
	causes := map[string]int64{}
	add := func(path string, share int64, cause string, rel *web.RelationGrowth) {
		bytes := total * share / 100
		rest -= bytes
		causes[cause] += bytes
		f := web.FileGrowth{Path: path, Bytes: bytes, FileBytes: bytes * 3, Extents: int(1 + share%4), Cause: cause}
		if rel != nil {
			rel.Bytes, rel.Cause = bytes, cause
			f.Relation = rel.Database + "." + rel.Schema + "." + rel.Name
			g.Relations = append(g.Relations, *rel)
		}
		g.Files = append(g.Files, f)
	}
	add("pg_wal/000000010000000000000003", 34, "wal", nil)
	add("base/16385/16402", 18, "data", &web.RelationGrowth{Database: DemoDatabase, Schema: "shop", Name: "customers", Kind: "table", OID: 16402})
	add("base/16385/16412", 11, "index", &web.RelationGrowth{Database: DemoDatabase, Schema: "shop", Name: "orders_pkey", Kind: "index", OID: 16412, Table: "shop.orders"})
	add("base/16385/1249", 8, "data", &web.RelationGrowth{Database: DemoDatabase, Schema: "pg_catalog", Name: "pg_attribute", Kind: "table", OID: 1249})
	add("base/16385/pgsql_tmp/pgsql_tmp812.0", 7, "temporary", nil)
	add("global/pg_control", 4, "control", nil)
	add("postgresql.conf", 4, "configuration", nil)
	g.MetadataBytes = rest
	causes["metadata"], causes["free"] = rest, g.FreeBytes
	for _, c := range []string{"wal", "data", "index", "metadata", "temporary", "control", "configuration", "free"} {
		g.Causes = append(g.Causes, web.CauseGrowth{Cause: c, Bytes: causes[c]})
	}
	return g
}
