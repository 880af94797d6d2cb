package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
	"github.com/snapview/snapview/web"
)

// A catalogue keeps a list of the snapshots in some stores and opens those on
// it. It implements web.Catalogue.
type catalogue struct {
	house  *house
	stores []string
	depth  int
	reads  snapshot.Options // how snapshots are asked what they are
	opens  session.Options  // how they are opened, but for what is asked for
	limits web.OpenLimits

	refreshing sync.Mutex
	mu         sync.Mutex
	found      []storeState // by store, as stores
}

type storeState struct {
	web.Store
	items []snapshot.Listing
}

var _ web.Catalogue = (*catalogue)(nil)

func newCatalogue(h *house, stores []string, depth int, opens session.Options, limits web.OpenLimits) *catalogue {
	c := &catalogue{house: h, stores: stores, depth: depth, reads: opens.Snapshot, opens: opens, limits: limits}
	for _, ref := range stores {
		c.found = append(c.found, storeState{Store: web.Store{Reference: sources.Redact(ref)}})
	}
	return c
}

// shown returns the stores as they may be shown.
func (c *catalogue) shown() (refs []string) {
	for _, s := range c.stores {
		refs = append(refs, sources.Redact(s))
	}
	return refs
}

// keepUp looks at the stores at once and then every so often, until ctx is done.
func (c *catalogue) keepUp(ctx context.Context, every time.Duration) {
	for {
		if c.Refresh(ctx) != nil {
			return
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
}

// Refresh implements web.Catalogue. What goes wrong with a store stands in the
// list; the error is ctx's.
func (c *catalogue) Refresh(ctx context.Context) error {
	c.refreshing.Lock()
	defer c.refreshing.Unlock()
	for i, ref := range c.stores {
		began := time.Now()
		state := storeState{Store: web.Store{Reference: sources.Redact(ref)}}
		var mu sync.Mutex
		items, err := sources.List(ctx, ref, sources.ListOptions{
			Snapshot: c.reads, Depth: c.depth,
			Skipped: func(path string, err error) {
				mu.Lock()
				defer mu.Unlock()
				if len(state.Skipped) < 100 {
					state.Skipped = append(state.Skipped, fmt.Sprintf("%s: %v", path, err))
				}
			},
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		now := time.Now().UTC()
		state.CheckedAt, state.Millis = &now, float64(now.Sub(began))/float64(time.Millisecond)
		state.items, state.Snapshots = items, len(items)
		if err != nil {
			state.Problem = strings.TrimPrefix(err.Error(), state.Reference+": ") // it stands beside it
		}
		c.mu.Lock()
		c.found[i] = state
		c.mu.Unlock()
	}
	return nil
}

// List implements web.Catalogue.
func (c *catalogue) List(context.Context) (web.CatalogueList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := web.CatalogueList{Limits: c.limits}
	for _, s := range c.found {
		list.Stores = append(list.Stores, s.Store)
		for _, l := range s.items {
			list.Items = append(list.Items, catalogueEntry(s.Reference, l))
		}
	}
	slices.SortStableFunc(list.Items, func(a, b web.CatalogueEntry) int {
		switch {
		case a.Time == nil && b.Time == nil:
			return 0
		case a.Time == nil:
			return 1
		case b.Time == nil:
			return -1
		}
		return b.Time.Compare(*a.Time)
	})
	return list, nil
}

func catalogueEntry(store string, l snapshot.Listing) web.CatalogueEntry {
	e := web.CatalogueEntry{
		Reference: l.Ref, Store: store, Kind: string(l.Kind), Label: l.Label, Type: l.Type, Time: timeOrNil(l.Time),
		Bytes: l.Bytes, StoredBytes: l.StoredBytes, Major: l.PGVersion, SystemIdentifier: number(l.SystemID),
		Timeline: int64(l.Timeline), StartLSN: lsn(l.StartLSN), StopLSN: lsn(l.StopLSN), Parent: l.Parent, Problem: l.Problem,
	}
	return e
}

// reveal returns what to open references by that are on the list, which shows
// no secrets of its stores' addresses. Nothing else is touched for a client.
func (c *catalogue) reveal(refs ...string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	real := make([]string, len(refs))
	for i, ref := range refs {
		at := slices.IndexFunc(c.found, func(s storeState) bool {
			return slices.ContainsFunc(s.items, func(l snapshot.Listing) bool { return l.Ref == ref })
		})
		if at < 0 {
			return nil, fmt.Errorf("%w: %s is not in the catalogue", web.ErrNotFound, ref)
		}
		real[i] = sources.Reveal(c.stores[at], ref)
	}
	return real, nil
}

// Preflight implements web.Catalogue.
func (c *catalogue) Preflight(ctx context.Context, ref string, chain []string) (web.Snapshot, error) {
	refs, err := c.reveal(append([]string{ref}, chain...)...)
	if err != nil {
		return web.Snapshot{}, err
	}
	opts := c.reads
	opts.Chain = refs[1:]
	snap, err := sources.Open(ctx, refs[0], opts)
	if err != nil {
		return web.Snapshot{}, fmt.Errorf("%w: %w", web.ErrConflict, err)
	}
	defer snap.Close()
	out := webSnapshot(snap)
	addChecks(&out, serverChecks(ctx, snap, pgrunner.Config{Runner: c.opens.Runner, Image: c.opens.Image}))
	if err := c.house.full(); err != nil {
		out.Warnings = append(out.Warnings, web.Warning{
			Code: "no-room", Severity: web.SeverityWarning, Title: "There is no room for one more session now", Detail: err.Error(),
		})
	}
	return out, nil
}

// Open implements web.Catalogue.
func (c *catalogue) Open(_ context.Context, o web.OpenOptions) (web.Session, error) {
	refs, err := c.reveal(append([]string{o.Reference}, o.Chain...)...)
	if err != nil {
		return nil, err
	}
	opts, err := c.options(o)
	if err != nil {
		return nil, err
	}
	opts.Ref, opts.Snapshot.Chain = refs[0], refs[1:]
	if err := c.house.begin(opts.Writable); err != nil {
		return nil, err
	}
	v, err := c.house.open(opts, o.Database, o.Owner)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// options are those of a session that was asked for, within the limits.
func (c *catalogue) options(o web.OpenOptions) (session.Options, error) {
	opts := c.opens
	opts.Name = o.Name
	invalid := func(format string, args ...any) (session.Options, error) {
		return opts, fmt.Errorf("%w: "+format, append([]any{web.ErrInvalid}, args...)...)
	}
	opts.Writable = o.Writable
	if o.AssumeCrashConsistent {
		opts.Snapshot.AssumeCrashConsistent = true
	}
	opts.MaxOverlay = c.limits.MaxOverlayBytes
	if o.MaxOverlayBytes > 0 {
		if opts.MaxOverlay > 0 && o.MaxOverlayBytes > opts.MaxOverlay {
			return invalid("an overlay may have %s at most", size(opts.MaxOverlay))
		}
		if total := c.opens.Budget.Limit(); total > 0 && o.MaxOverlayBytes > total {
			return invalid("all overlays together may have %s at most", size(total))
		}
		opts.MaxOverlay = o.MaxOverlayBytes
	}
	opts.TTL = time.Duration(c.limits.DefaultTTL) * time.Second
	if o.TTLSeconds > 0 {
		if c.limits.MaxTTL > 0 && o.TTLSeconds > c.limits.MaxTTL {
			return invalid("a session may live %s at most", time.Duration(c.limits.MaxTTL)*time.Second)
		}
		opts.TTL = time.Duration(o.TTLSeconds) * time.Second
	}
	if o.IdleSeconds > 0 {
		opts.Idle = time.Duration(o.IdleSeconds) * time.Second
	}
	return opts, nil
}
