package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	reports "github.com/snapview/snapview/check"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
)

// verifyFlags say what a restore test checks.
type verifyFlags struct {
	open           openFlags
	database       string
	junit          string
	timeout        time.Duration
	files          bool
	noPages        bool
	noAmcheck      bool
	heapAllIndexed bool
	jobs           int
	scripts        []string
	queries        []string
}

func (a *app) verifyCommand() *cobra.Command {
	f := &verifyFlags{}
	c := &cobra.Command{
		Use:   "verify REF",
		Short: "A restore test without a restore, for cron and CI",
		Long: `Opens a backup, lets PostgreSQL recover it, checks it, and tears it down:

  open       it is recognised, attached and recovered, as in snapview open
  preflight  what snapview inspect checks
  files      with --files: each file against the checksum of backup_manifest
  pages      the checksum and header of every page of every relation
  collations indexes built under another version of their collation than here
  extensions those that the backup uses and this server does not have
  amcheck    every table and B-tree index, by PostgreSQL's extension amcheck
  sql        your own statements and assertions: --sql, --query

The server is a scratch server in an overlay; the backup is only read. It exits
0 if all is well, 10 if the backup opened but a check failed, and as
snapview open does if it did not open.`,
		Example: `  snapview verify /backups/2026-11-20
  snapview verify base.tar --db shop --query "select count(*) > 1000 from orders" --junit report.xml
  snapview verify /backups/2026-11-20 --json --quiet | jq '.checks[] | select(.outcome == "failed")'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if f.timeout > 0 {
				ctx, cancel := context.WithTimeout(c.Context(), f.timeout)
				defer cancel()
				c.SetContext(ctx)
			}
			return a.verify(c.Context(), args[0], f)
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.queries, "query", nil, "a query that must return a row, and true where its first column is a boolean (repeatable)")
	flags.StringArrayVar(&f.scripts, "sql", nil, "run the statements of this `FILE`, none of which may fail (repeatable)")
	flags.StringVar(&f.database, "db", "", "database for --sql and --query (default: postgres, or the first there is)")
	flags.StringVar(&f.junit, "junit", "", "also write the report to this `FILE`, as JUnit XML")
	flags.BoolVar(&f.files, "files", false, "also compare the files with the manifest's checksums, as inspect --verify")
	flags.BoolVar(&f.noPages, "no-pages", false, "do not read all pages")
	flags.BoolVar(&f.noAmcheck, "no-amcheck", false, "do not check tables and indexes")
	flags.BoolVar(&f.heapAllIndexed, "heapallindexed", false, "also look for every row in every B-tree: takes as long as building them")
	flags.IntVarP(&f.jobs, "jobs", "j", 0, "files or relations checked at once (default: one on each core)")
	flags.DurationVar(&f.timeout, "timeout", 0, "give up after this time")
	f.open.runnerFlags(c)
	f.open.backupFlags(c)
	return c
}

// A checkError says that the backup opened, but a check failed.
type checkError struct{ error }

func (e checkError) Unwrap() error { return e.error }

func (a *app) verify(ctx context.Context, ref string, f *verifyFlags) error {
	if err := needsRoot(); err != nil {
		return err
	}
	statements, err := f.statements()
	if err != nil {
		return err
	}
	f.open.writable = true // amcheck's extension has to be created
	opts, err := a.options(ref, &f.open)
	if err != nil {
		return err
	}
	report := reports.NewReport(sources.Redact(ref))
	s, err := session.New(opts)
	if err != nil {
		return err
	}
	house := a.newHouse(ctx, s, f.database)
	pages, err := a.servePages(house, "")
	if err != nil {
		return errors.Join(err, closeSession(s))
	}
	quiet := *a // the report alone goes to standard output
	quiet.json = false
	wait := quiet.follow(s, nil)
	err = s.Start(ctx)
	reportOpening(report, s, err)
	if err == nil {
		t := &restoreTest{app: a, flags: f, session: s, report: report, statements: statements}
		err = t.run(ctx)
	}
	began := time.Now()
	closeErr := errors.Join(house.close(), pages.close(), closeSession(s))
	wait()
	if ctx.Err() != nil {
		return errors.Join(err, closeErr, ctx.Err())
	}
	report.Add(outcomeOf(reports.Case{Suite: "open", Name: "tear down", Took: time.Since(began)}, closeErr))
	report.End()
	return errors.Join(err, closeErr, a.printTest(report, f.junit), failedChecks(report, err))
}

// failedChecks is the error of a test that has run to its end.
func failedChecks(r *reports.Report, err error) error {
	bad := r.Bad()
	if err != nil || len(bad) == 0 {
		return nil // it has been said
	}
	first := bad[0]
	text := fmt.Sprintf("%d of %d checks failed: %s: %s", len(bad), len(r.Cases)-r.Skipped, first, first.Detail)
	if len(first.Problems) > 0 {
		text += ": " + first.Problems[0].String()
	}
	return checkError{errors.New(text)}
}

// outcomeOf completes a case by an error: one that is the backup's fault fails
// the check, any other kept it from being made.
func outcomeOf(c reports.Case, err error) reports.Case {
	var start *pgrunner.StartError
	switch {
	case err == nil:
		c.Outcome = reports.Passed
		return c
	case errors.As(err, &start), errors.Is(err, snapshot.ErrDamaged), errors.Is(err, snapshot.ErrUnsafe), errors.Is(err, snapshot.ErrNotABackup):
		c.Outcome = reports.Failed
	default:
		c.Outcome = reports.Errored
	}
	c.Detail = err.Error()
	return c
}

// reportOpening adds the phases of opening and the findings of the preflight.
func reportOpening(r *reports.Report, s *session.Session, err error) {
	running := session.Phase("")
	var began time.Time
	for _, e := range s.Happened() {
		switch e.Kind {
		case session.PhaseBegan:
			running, began = e.Phase, e.At
		case session.PhaseEnded:
			r.Add(reports.Case{Suite: "open", Name: string(e.Phase), Outcome: reports.Passed, Took: e.Took})
			running = ""
		}
	}
	if err != nil {
		if running == "" {
			running = "start"
		}
		r.Add(outcomeOf(reports.Case{Suite: "open", Name: string(running), Took: time.Since(began)}, err))
	}
	info := s.Info()
	if info.Snapshot == nil {
		return
	}
	for _, c := range info.Snapshot.Checks {
		found := reports.Case{Suite: "preflight", Name: c.Name, Outcome: reports.Passed, Detail: c.Detail}
		switch c.Outcome {
		case snapshot.Refuse:
			found.Outcome = reports.Failed
			if c.Remedy != "" {
				found.Detail += "; " + c.Remedy
			}
		case snapshot.Warn:
			found.Outcome = reports.Warned
		}
		r.Add(found)
	}
}

// A statement is a script or an assertion of the user's.
type statement struct {
	name   string
	sql    string
	assert bool
}

// statements reads the scripts, before anything is opened.
func (f *verifyFlags) statements() ([]statement, error) {
	var list []statement
	for _, name := range f.scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, usageError{fmt.Errorf("--sql: %w", err)}
		}
		list = append(list, statement{name: name, sql: string(text)})
	}
	for _, sql := range f.queries {
		list = append(list, statement{name: sql, sql: sql, assert: true})
	}
	return list, nil
}
