package main

import (
	"context"
	"io"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/web"
)

// sessionView shows a session in the words of the API.
type sessionView struct {
	*session.Session
	house    *house // all sessions of this process
	database string // to begin with; empty for the server's first
	owner    string // who opened it through the page; empty where nobody is told apart

	own       bool // the command itself opened it, and closes it
	forgotten bool // off the list; guarded by house.mu
}

var _ web.Session = (*sessionView)(nil)

func (v *sessionView) Info() web.Info {
	i := v.Session.Info()
	info := web.Info{
		ID: i.ID, Name: i.Name, Owner: v.owner, Parent: i.Parent, State: web.State(i.State), Reference: i.Ref,
		CreatedAt: i.Opened, Writable: i.Writable, Postgres: i.Version,
		Attachment: string(i.Method), DefaultDatabase: v.database,
		Phases: v.phases(), Stats: v.stats(),
		ReadyAt: timeOrNil(i.Ready), ExpiresAt: timeOrNil(i.Expires), IdleAt: timeOrNil(i.Idle),
	}
	if info.Name == "" {
		info.Name = path.Base(strings.TrimRight(i.Ref, "/"))
	}
	if i.Snapshot != nil {
		info.Kind = string(i.Snapshot.Kind)
		info.Moment = moment(i.Snapshot)
	}
	if i.Plan != nil {
		info.Runner = string(i.Plan.Runner)
	}
	if i.Failure != nil {
		info.Failure = failureOf(i.Failure)
	}
	server, err := v.Server()
	if err != nil {
		return info
	}
	// The page asks for everything in the default one: a name that the cluster
	// does not have would leave it with nothing. Snapshot and printReady warn of it.
	info.DefaultDatabase = databaseToShow(server, v.database)
	if host, port, err := net.SplitHostPort(i.PSQLAddr); err == nil {
		n, _ := strconv.Atoi(port) //nolint:errcheck // it is one that was listened on
		info.Psql = &web.PsqlEndpoint{Host: host, Port: n, User: server.Role(), Database: info.DefaultDatabase}
	}
	return info
}

// databaseToShow is the database to begin with: the one that was asked for, or,
// where there is none of that name, the first of the user's own: initdb makes
// the others, and most clusters keep nothing in them.
func databaseToShow(server *pgrunner.Server, asked string) string {
	known := server.Databases()
	if len(known) == 0 || slices.Contains(known, asked) {
		return asked
	}
	for _, name := range known {
		if name != "postgres" && name != "template0" && name != "template1" {
			return name
		}
	}
	return known[0]
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (v *sessionView) stats() web.Stats {
	f := v.Figures()
	return web.Stats{
		OverlayBytes: f.OverlayBytes, LimitBytes: f.LimitBytes, BaseBytes: f.BaseBytes,
		BackupBytes: f.BackupBytes, BackupBytesRead: f.ReadBytes,
		Holding: f.Holding, HoldingWhy: holdingWhy(f.HoldReason), HoldingReason: string(f.HoldReason),
	}
}

// holdingWhy says it to people.
func holdingWhy(reason cow.HoldReason) string {
	switch reason {
	case cow.HoldQuota:
		return "The overlay has reached its limit."
	case cow.HoldTotal:
		return "The overlays of all sessions together have reached their limit."
	case cow.HoldDiskFull:
		return "The host's disk is almost full."
	}
	return ""
}

// Close begins to tear the session down; the command that opened it waits for
// the end.
func (v *sessionView) Close(context.Context) error {
	go v.End("closed")
	return nil
}

func (v *sessionView) Samples(_ context.Context, since time.Time) ([]web.Sample, error) {
	samples := v.Session.Samples(since)
	out := make([]web.Sample, len(samples))
	for i, s := range samples {
		out[i] = webSample(s)
	}
	return out, nil
}

func webSample(s session.Sample) web.Sample {
	return web.Sample{Time: s.At, OverlayBytes: s.OverlayBytes, BackupBytesRead: s.ReadBytes, Holding: s.Holding}
}

// Dump implements web.Session.
func (v *sessionView) Dump(ctx context.Context, o web.DumpOptions, w io.Writer) error {
	server, err := v.Server()
	if err != nil {
		return web.ErrNotReady
	}
	d := pgrunner.Dump{Database: o.Database, SchemaOnly: o.SchemaOnly, DataOnly: o.DataOnly, Inserts: o.Inserts}
	for _, t := range o.Tables {
		d.Tables = append(d.Tables, pgrunner.TableName{Schema: t.Schema, Name: t.Name})
	}
	return server.Dump(ctx, d, w)
}

func (v *sessionView) DSN(database string) (string, error) {
	server, err := v.Server()
	if err != nil {
		return "", web.ErrNotReady
	}
	return server.DSN(database), nil
}
