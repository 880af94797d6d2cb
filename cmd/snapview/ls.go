package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
)

func (a *app) lsCommand() *cobra.Command {
	f := &openFlags{}
	var depth int
	c := &cobra.Command{
		Use:   "ls STORE...",
		Short: "List the backups in a folder tree or a store",
		Long: `Lists the backups that lie in folders, at any depth up to --depth, and the
snapshots of stores that hold several, the newest first. What a line begins with
is what snapview open takes.

Each backup is asked what it is, none is opened: that reads a few hundred
kilobytes of each. What cannot be opened is listed with the reason. --quiet
prints the references alone. Exits 3 if nothing is found.`,
		Example: `  snapview ls /backups
  snapview ls /backups --json | jq -r 'select(.pg_version == 15).ref'
  snapview open "$(snapview ls -q /backups | head -n 1)"`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.ls(c.Context(), args, f, depth) },
	}
	c.Flags().IntVar(&depth, "depth", sources.DefaultDepth, "how many levels of folders to look into")
	f.backupFlags(c)
	return c
}

func (a *app) ls(ctx context.Context, stores []string, f *openFlags, depth int) error {
	opts, err := f.snapshotOptions()
	if err != nil {
		return err
	}
	var found []snapshot.Listing
	var errs []error
	for _, store := range stores {
		here, err := sources.List(ctx, store, sources.ListOptions{
			Snapshot: opts, Depth: depth,
			Skipped: func(path string, err error) { fmt.Fprintf(a.err, "! %s: not looked into: %v\n", path, err) },
		})
		found, errs = append(found, here...), append(errs, err)
	}
	switch {
	case a.json:
		err = a.printListingsJSON(found)
	case a.quiet:
		for _, l := range found {
			fmt.Fprintln(a.out, l.Ref)
		}
	case len(found) > 0:
		err = a.printListings(found)
	}
	return errors.Join(append(errs, err)...)
}

func (a *app) printListingsJSON(found []snapshot.Listing) error {
	for _, l := range found {
		if err := printJSON(a.out, l); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printListings(found []snapshot.Listing) error {
	var rows [][]string
	for _, l := range found {
		what := l.Type
		if l.Parent != "" {
			what += " on " + l.Parent
		}
		rows = append(rows, []string{
			l.Ref, string(l.Kind), what, when(l.Time), sizeOrNot(max(l.Bytes, l.StoredBytes)), number(uint64(l.PGVersion)),
			number(l.SystemID), number(uint64(l.Timeline)), lsnRange(l.StartLSN, l.StopLSN), l.Problem,
		})
	}
	return table(a.out, []string{"REF", "KIND", "TYPE", "TIME (UTC)", "SIZE", "POSTGRES", "SYSTEM", "TIMELINE", "WAL", "PROBLEM"}, rows)
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// number prints what is not known as nothing.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func sizeOrNot(n int64) string {
	if n == 0 {
		return ""
	}
	return size(n)
}

// lsnRange prints two positions in the WAL, either of which may be unknown.
func lsnRange(start, end snapshot.LSN) string {
	switch {
	case start == 0:
		return ""
	case end == 0:
		return start.String() + " -"
	}
	return start.String() + " - " + end.String()
}
