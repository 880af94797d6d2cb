package webtest

import (
	"context"
	"fmt"
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
			{Name: "archive_command", Value: "pgbackrest archive-push %p", File: "postgresql.conf"},
		},
	}
}

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
	st.Holding, st.HoldingWhy = holding, ""
	if holding {
		st.HoldingWhy = "the overlay's limit is reached"
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

// SetLimit implements web.Session.
func (s *Session) SetLimit(_ context.Context, bytes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes < 0 {
		return fmt.Errorf("limit %d is negative: %w", bytes, web.ErrInvalid)
	}
	s.info.Stats.LimitBytes = bytes
	s.info.Stats.Holding = bytes > 0 && s.info.Stats.OverlayBytes >= bytes
	sample := s.sampleLocked()
	s.emitLocked(web.Event{Type: web.EventHold, Sample: &sample, Message: "the limit was changed"})
	return nil
}

// Growth implements web.Session: it deals the overlay's bytes out in fixed
// shares.
func (s *Session) Growth(_ context.Context, since string) (web.Growth, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.info.Stats.OverlayBytes
	if since != "" {
		found := false
		for _, c := range s.checkpoints {
			found = found || c.ID == since
		}
		if !found {
			return web.Growth{}, fmt.Errorf("checkpoint %q: %w", since, web.ErrNotFound)
		}
		total /= 2
	}
	g := web.Growth{At: time.Now().UTC(), Since: since, TotalBytes: total, FreeBytes: total / 50}
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
	causes["metadata"] = rest + g.FreeBytes
	for _, c := range []string{"wal", "data", "index", "metadata", "temporary", "control", "configuration"} {
		g.Causes = append(g.Causes, web.CauseGrowth{Cause: c, Bytes: causes[c]})
	}
	return g, nil
}

// Checkpoints implements web.Session.
func (s *Session) Checkpoints(context.Context) ([]web.Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.HasLayers {
		return nil, web.ErrNotSupported
	}
	return append([]web.Checkpoint(nil), s.checkpoints...), nil
}

// Checkpoint implements web.Session.
func (s *Session) Checkpoint(_ context.Context, name string) (web.Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.HasLayers {
		return web.Checkpoint{}, web.ErrNotSupported
	}
	c := web.Checkpoint{
		ID: fmt.Sprintf("c%d", len(s.checkpoints)+1), Name: name,
		CreatedAt: time.Now().UTC(), OverlayBytes: s.info.Stats.OverlayBytes,
	}
	if n := len(s.checkpoints); n > 0 {
		c.Parent = s.checkpoints[n-1].ID
	}
	s.checkpoints = append(s.checkpoints, c)
	return c, nil
}

// Fork implements web.Session.
func (s *Session) Fork(_ context.Context, opts web.ForkOptions) (web.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.HasLayers {
		return nil, web.ErrNotSupported
	}
	fork := NewSession(fmt.Sprintf("%s-f%d", s.id, time.Now().UnixNano()%100000), s.DSNs)
	fork.HasLayers = true
	fork.info.Name, fork.info.Writable = opts.Name, opts.Writable
	if s.sessions != nil {
		s.sessions.Add(fork)
	}
	return fork, nil
}
