package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/snapshot"
)

// serverCheck says what here would run the backup. It pulls no image.
func (a *app) serverCheck(ctx context.Context, snap *snapshot.Snapshot) snapshot.Check {
	major := snap.Identity.PGVersion
	c := snapshot.Check{Name: "server", Outcome: snapshot.OK}
	plan, err := pgrunner.Choose(ctx, pgrunner.Config{Runner: pgrunner.Local, Major: major})
	docker := checkDocker(ctx)
	switch {
	case docker.OK:
		c.Detail = fmt.Sprintf("docker, %s: an image of PostgreSQL %d, which is pulled if it is not there", docker.Detail, major)
	case err == nil:
		c.Detail = fmt.Sprintf("PostgreSQL %s, installed in %s", plan.Version, plan.BinDir)
	case errors.Is(err, pgrunner.ErrNeedsRoot):
		c.Outcome, c.Detail = snapshot.Info, "opening it needs root; whether a server is here is looked for then"
	default:
		c.Outcome, c.Detail = snapshot.Warn, fmt.Sprintf("nothing here runs PostgreSQL %d", major)
		c.Remedy = err.Error()
	}
	return c
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
