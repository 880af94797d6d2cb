package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	reports "github.com/snapview/snapview/check"
	pagecheck "github.com/snapview/snapview/check/pages"
	"github.com/snapview/snapview/check/structure"
	"github.com/snapview/snapview/growth"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/session"
)

// A restoreTest makes the checks of a session that is open.
type restoreTest struct {
	app        *app
	flags      *verifyFlags
	session    *session.Session
	server     *pgrunner.Server
	report     *reports.Report
	statements []statement
	progress   *progress
	pace       throttle
	names      growth.Names
}

// run makes the checks, one after the other: pages first, since later ones may
// write. What they find is in the report; an error is why they could not go on.
func (t *restoreTest) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go t.watch(ctx, cancel)
	defer func() {
		if ctx.Err() != nil && err != nil {
			err = context.Cause(ctx)
		}
	}()
	if t.server, err = t.session.Server(); err != nil {
		return err
	}
	t.progress, t.names = t.app.progress(), growth.Names{}
	defer t.progress.end()
	for _, step := range []func(context.Context) error{t.files, t.pages, t.environment, t.amcheck, t.sql} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// watch ends the checks when the session ends, or waits for somebody to make
// room, which nobody may be there to do.
func (t *restoreTest) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	//nolint:errcheck // it ends when the session or the checks do
	t.session.Events(ctx, 0, func(e session.Event) bool {
		switch {
		case e.Kind == session.Held && e.Held:
			cancel(errors.New(e.Message))
		case e.Kind == session.Changed && (e.State == session.Closing || e.State == session.Failed):
			cancel(cmp.Or(t.session.Err(), errors.New("the session was closed while it was checked")))
		}
		return ctx.Err() == nil
	})
}

func (t *restoreTest) files(ctx context.Context) error {
	if !t.flags.files {
		return nil
	}
	began := time.Now()
	r, err := t.app.verifyFiles(ctx, t.session.Info().Snapshot)
	if err != nil {
		return err
	}
	c := reports.Case{
		Suite: "files", Name: "checksums of " + r.Against, Outcome: reports.Passed, Took: time.Since(began),
		Detail: fmt.Sprintf("%d files, %s", r.Files, size(r.Bytes)), More: r.More,
	}
	if r.Unverified > 0 {
		c.Outcome = reports.Warned
		c.Detail += fmt.Sprintf("; of %d no checksum is known", r.Unverified)
	}
	for _, part := range append(r.Parts, r) {
		for _, p := range part.Problems {
			c.Problems = append(c.Problems, reports.Problem{File: p.Path, Message: p.Detail})
		}
	}
	if n := r.Count(); n > 0 {
		c.Outcome = reports.Failed
		c.Detail += fmt.Sprintf("; %d are not what they were when the backup was taken", n)
	}
	t.report.Add(c)
	return nil
}

// pages reads every page of every relation from the mount, database by database.
func (t *restoreTest) pages(ctx context.Context) error {
	if t.flags.noPages {
		t.report.Add(reports.Case{Suite: "pages", Name: "all pages", Outcome: reports.Skipped, Detail: "--no-pages"})
		return nil
	}
	info := t.session.Info()
	id := info.Snapshot.Identity
	root, err := os.OpenRoot(info.MountPoint)
	if err != nil {
		return err
	}
	defer root.Close()
	list, err := pagecheck.List(root.FS())
	if err != nil {
		return err
	}
	databases := map[uint32][]pagecheck.File{}
	var total int64
	for _, f := range list {
		databases[f.Database] = append(databases[f.Database], f)
		total += f.Size
	}
	names := t.databaseNames(ctx)
	var done atomic.Int64
	for _, oid := range slices.Sorted(maps.Keys(databases)) {
		began := time.Now()
		r, err := pagecheck.Check(ctx, root.FS(), databases[oid], pagecheck.Options{
			BlockSize: id.BlockSize, RelSegBlocks: id.RelSegBlocks, Checksums: id.Checksums, Workers: t.flags.jobs,
			Progress: func(n int64) {
				read := done.Add(n)
				t.pace.do(func() { t.progress.transient(fmt.Sprintf("pages: %s of %s", size(read), size(total))) })
			},
		})
		if err != nil {
			return err
		}
		name := cmp.Or(names[oid], fmt.Sprintf("database with OID %d", oid))
		c := reports.Case{
			Suite: "pages", Name: name, Outcome: reports.Passed, Took: time.Since(began),
			Detail: fmt.Sprintf("%d pages in %d files", r.Pages, r.Files), More: r.More,
		}
		if !id.Checksums {
			c.Outcome = reports.Warned
			c.Detail += "; the cluster has no data checksums, only headers were judged"
		}
		if n := r.Bad(); n > 0 {
			c.Outcome = reports.Failed
			c.Detail += fmt.Sprintf(", %d damaged", n)
			c.Problems = t.located(ctx, r.Problems, strings.TrimPrefix(name, databasePrefix))
		}
		t.report.Add(c)
	}
	return nil
}

const databasePrefix = "database "

// databaseNames are the cases' names by OID: databases, and 0 for what they share.
func (t *restoreTest) databaseNames(ctx context.Context) map[uint32]string {
	names := map[uint32]string{0: "shared relations"}
	conn, err := t.connect(ctx, t.database())
	if err != nil {
		return names // numbers have to do
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, "select oid, datname from pg_catalog.pg_database")
	if err != nil {
		return names
	}
	var oid uint32
	var name string
	//nolint:errcheck // numbers have to do
	pgx.ForEachRow(rows, []any{&oid, &name}, func() error {
		names[oid] = databasePrefix + name
		return nil
	})
	return names
}

// located gives damaged pages the names of their relations.
func (t *restoreTest) located(ctx context.Context, found []pagecheck.Problem, database string) []reports.Problem {
	ask := database
	if !slices.Contains(t.server.Databases(), database) {
		ask = t.database() // knows the shared ones
	}
	if conn, err := t.connect(ctx, ask); err == nil {
		//nolint:errcheck // files have to do
		t.names.AddNames(ctx, conn)
		conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it was only asked
	}
	var list []reports.Problem
	for _, p := range found {
		problem := reports.Problem{Database: database, File: p.File.Shown(), Message: p.What}
		if !p.Whole {
			problem.Block = &p.Block
		}
		if node, ok := growth.ParseFileNode(p.File.Path); ok {
			if rel, known := t.names[node]; known {
				problem.Relation = rel.Schema + "." + rel.Name
			}
		}
		list = append(list, problem)
	}
	return list
}

// amcheck has the server check each database that accepts connections.
func (t *restoreTest) amcheck(ctx context.Context) error {
	if t.flags.noAmcheck {
		t.report.Add(reports.Case{Suite: "amcheck", Name: "all databases", Outcome: reports.Skipped, Detail: "--no-amcheck"})
		return nil
	}
	for i, database := range t.server.Databases() {
		began := time.Now()
		r, err := structure.Check(ctx, structure.Options{
			Database: database, Shared: i == 0, HeapAllIndexed: t.flags.heapAllIndexed, Workers: t.flags.jobs,
			Connect: func(ctx context.Context) (*pgx.Conn, error) { return t.connect(ctx, database) },
			Progress: func(done, total int64) {
				t.pace.do(func() {
					t.progress.transient(fmt.Sprintf("amcheck: %s, %s of %s", database, size(done), size(total)))
				})
			},
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c := outcomeOf(reports.Case{Suite: "amcheck", Name: databasePrefix + database, Took: time.Since(began)}, err)
		if errors.Is(err, structure.ErrNoAmcheck) {
			c.Detail += "; or leave the check out: --no-amcheck"
		}
		if err == nil {
			c.Detail = strings.Join(append([]string{fmt.Sprintf("%d tables, %d indexes, %s", r.Tables, r.Indexes, size(r.Bytes))}, r.Notes...), "; ")
			c.Problems, c.More = r.Problems, r.More
			if r.Bad() > 0 {
				c.Outcome = reports.Failed
				c.Detail += fmt.Sprintf("; %d problems", r.Bad())
			}
		}
		t.report.Add(c)
	}
	return nil
}

// sql runs the user's own checks.
func (t *restoreTest) sql(ctx context.Context) error {
	for _, s := range t.statements {
		t.progress.transient("sql: " + shorten(s.name, 60))
		began := time.Now()
		c := reports.Case{Suite: "sql", Name: s.name, Outcome: reports.Passed}
		conn, err := t.connect(ctx, t.database())
		if err != nil {
			c.Outcome, c.Detail = reports.Errored, err.Error()
		} else {
			if s.assert {
				c.Detail, err = structure.Assert(ctx, conn, s.sql)
			} else {
				err = structure.RunScript(ctx, conn, s.sql)
			}
			if err != nil {
				c.Outcome, c.Detail = reports.Failed, err.Error()
			}
			conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.Took = time.Since(began)
		t.report.Add(c)
	}
	return nil
}

// database is the one to ask where any does, and for the user's own SQL.
func (t *restoreTest) database() string {
	if t.flags.database == "" && len(t.server.Databases()) > 0 {
		return t.server.Databases()[0]
	}
	return t.flags.database
}

func (t *restoreTest) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, t.server.DSN(database))
}

// A throttle runs what it is given, but not more often than people read.
type throttle struct {
	mu   sync.Mutex
	last time.Time
}

func (t *throttle) do(run func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.last) > 100*time.Millisecond {
		t.last = now
		run()
	}
}
