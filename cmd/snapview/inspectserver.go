package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/snapshot"
)

// serverChecks say what here would run the backup, and how it and the backup fit.
// The plan is for the runner and the image that would be asked for; no image is
// pulled.
func serverChecks(ctx context.Context, snap *snapshot.Snapshot, c pgrunner.Config) []snapshot.Check {
	c.Major = snap.Identity.PGVersion
	plan, err := pgrunner.Foresee(ctx, c)
	server := snapshot.Check{Name: "server", Outcome: snapshot.OK}
	switch {
	case errors.Is(err, pgrunner.ErrNeedsRoot):
		server.Outcome, server.Detail = snapshot.Info, "opening it needs root; whether a server is here is looked for then"
		return []snapshot.Check{server}
	case err != nil:
		server.Outcome, server.Detail, server.Remedy = snapshot.Warn, fmt.Sprintf("nothing here runs PostgreSQL %d", c.Major), err.Error()
		return []snapshot.Check{server}
	case plan.Runner == pgrunner.Docker && plan.ImageID == "":
		server.Detail = fmt.Sprintf("docker at %s: image %s, which is not there yet and will be pulled", plan.Engine, plan.Image)
	case plan.Runner == pgrunner.Docker:
		server.Detail = fmt.Sprintf("docker at %s: image %s, PostgreSQL %s", plan.Engine, plan.Image, plan.Version)
	default:
		server.Detail = fmt.Sprintf("PostgreSQL %s, installed in %s", plan.Version, plan.BinDir)
	}
	checkPages(ctx, snap, plan, &server)
	checks := []snapshot.Check{server}
	if found, ok := checkExtensions(ctx, snap, plan); ok {
		checks = append(checks, found)
	}
	return append(checks, checkCollations(ctx, snap, plan)...)
}

// checkPages compares the size of the backup's pages with the server's.
func checkPages(ctx context.Context, snap *snapshot.Snapshot, plan *pgrunner.Plan, server *snapshot.Check) {
	size, err := plan.PageSize(ctx)
	switch {
	case err != nil || size == 0: // a server of packages, as most: pages of 8 KiB
	case size == snap.Identity.BlockSize:
		server.Detail += fmt.Sprintf(", built for pages of %d bytes as the backup has", size)
	default:
		server.Outcome = snapshot.Warn
		server.Detail += fmt.Sprintf(", built for pages of %d bytes; the backup has %d", size, snap.Identity.BlockSize)
		server.Remedy = "use another server: --runner docker"
	}
}

// checkExtensions looks for the backup's extensions on the server.
func checkExtensions(ctx context.Context, snap *snapshot.Snapshot, plan *pgrunner.Plan) (c snapshot.Check, ok bool) {
	var names []string
	for _, d := range snap.Databases {
		names = append(names, d.Extensions...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return c, false
	}
	c = snapshot.Check{Name: "extensions", Outcome: snapshot.OK, Detail: "the server has those of the backup: " + someOf(names)}
	missing, known, err := plan.LacksExtensions(ctx, snap.Identity.PGVersion, names)
	switch {
	case err != nil:
		c.Outcome, c.Detail = snapshot.Info, fmt.Sprintf("whether the server has those of the backup is not known: %v", err)
	case !known:
		c.Outcome, c.Detail = snapshot.Info, "whether the server has those of the backup shows when it is open"
	case len(missing) > 0:
		c.Outcome = snapshot.Warn
		c.Detail = "the server does not have " + someOf(missing) + ": what needs their libraries fails, tables of their types and access methods included"
		c.Remedy = "install them, or name an image that has them: --image"
	}
	return c, true
}

// checkCollations compares the versions of collations, and names the indexes
// that depend on them.
func checkCollations(ctx context.Context, snap *snapshot.Snapshot, plan *pgrunner.Plan) (checks []snapshot.Check) {
	for _, d := range snap.Databases {
		if d.CollationVersion == "" {
			continue
		}
		indexes, err := snap.TextIndexes(d)
		which := fmt.Sprintf("%d indexes are in that order: %s", len(indexes), someOf(indexes))
		switch {
		case err != nil:
			which = fmt.Sprintf("which indexes are in that order is not known: %v", err)
		case len(indexes) == 0:
			continue
		}
		c := snapshot.Check{Name: "collations", Outcome: snapshot.Info}
		libc := plan.Libc(ctx)
		switch {
		case d.Provider != "libc" || libc == "":
			c.Detail = fmt.Sprintf("database %s was sorted by version %s of %s; which version the server has shows when it is open", d.Name, d.CollationVersion, d.Provider)
		case libc == d.CollationVersion:
			c.Outcome, c.Detail = snapshot.OK, fmt.Sprintf("database %s was sorted by version %s of %s, as the server sorts", d.Name, d.CollationVersion, d.Provider)
		default:
			c.Outcome = snapshot.Warn
			c.Detail = fmt.Sprintf("database %s was sorted by version %s of %s, the server has %s: its indexes on text may miss rows", d.Name, d.CollationVersion, d.Provider, libc)
			c.Remedy = "snapview verify tells which do; to be sure of an answer, set enable_indexscan, enable_indexonlyscan and enable_bitmapscan to off"
		}
		c.Detail += "; " + which
		checks = append(checks, c)
	}
	return checks
}

// someOf lists at most ten names.
func someOf(names []string) string {
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", len(names)-10)
	}
	return strings.Join(names, ", ")
}

// A shownSetting is a setting of the source host, and what it is in a session.
type shownSetting struct {
	snapshot.Setting
	Becomes *string // nil: PostgreSQL's default
	Kept    bool
}

// shownSettings says what becomes of the source host's settings.
func shownSettings(snap *snapshot.Snapshot) []shownSetting {
	id := &snap.Identity
	now := pgrunner.ServerSettings(pgrunner.Config{Major: id.PGVersion, Limits: pgrunner.Limits{
		MaxPreparedXacts: id.Limits.MaxPreparedXacts, MaxLocksPerXact: id.Limits.MaxLocksPerXact,
	}})
	shown := []shownSetting{}
	for _, s := range snap.Settings {
		one := shownSetting{Setting: s, Kept: pgrunner.Carried(s.Name)}
		if value, set := now[s.Name]; one.Kept {
			one.Becomes = &s.Value
		} else if set {
			one.Becomes = &value
		}
		shown = append(shown, one)
	}
	return shown
}

func (a *app) printSettings(settings []shownSetting) {
	fmt.Fprintln(a.out)
	for _, s := range settings {
		now := "-> default"
		switch {
		case s.Kept:
			now = "kept"
		case s.Becomes != nil:
			now = "-> '" + *s.Becomes + "'"
		}
		effect := ""
		if s.Effect != "" {
			effect = " (" + s.Effect + ")"
		}
		fmt.Fprintf(a.out, "%s:%d  %s  %s%s\n", s.File, s.Line, s.Setting, now, effect)
	}
}
