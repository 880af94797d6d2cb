package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
)

func (a *app) indexCommand() *cobra.Command {
	f := &openFlags{}
	c := &cobra.Command{
		Use:   "index REF...",
		Short: "Make the index of a compressed backup beforehand, so that it opens at once",
		Long: `Goes once over each file of a compressed backup and keeps in the cache what makes
it readable at random: for gzip and lz4 an index of about 1 % of the data, for
zstd, bzip2 and xz a copy about as large as the original. The first open does the
same; this is for the night before. Needs no root. What is there already is not
made again. Several REFs are the backups of one chain.

snapview cache shows what is kept, and empties it.`,
		Example: `  snapview index /backups/2026-11-20
  for b in $(snapview ls -q /backups); do snapview index "$b"; done`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.chain = append(f.chain, args[1:]...)
			return a.index(c.Context(), args[0], f)
		},
	}
	f.backupFlags(c)
	return c
}

func (a *app) index(ctx context.Context, ref string, f *openFlags) error {
	opts, err := f.snapshotOptions()
	if err != nil {
		return err
	}
	p := &passProgress{a: a, lines: progress{out: a.err, terminal: isTerminal(a.err)}}
	opts.Progress = p.report
	snap, err := sources.Open(ctx, ref, opts)
	p.lines.end()
	if err != nil {
		return err
	}
	defer snap.Close()
	indexes := snap.Indexes()
	for _, x := range indexes {
		if err := a.printIndex(x); err != nil {
			return err
		}
	}
	if len(indexes) == 0 && !a.json {
		fmt.Fprintf(a.out, "%s (%s) is read as it lies: nothing is needed\n", snap.Ref, snap.Kind)
	}
	return snap.Err() // made all the same, but better known now
}

func (a *app) printIndex(x snapshot.Index) error {
	if a.json {
		return printJSON(a.out, struct {
			Event string `json:"event"`
			snapshot.Index
			Seconds float64 `json:"seconds"`
		}{"index", x, x.Took.Seconds()})
	}
	share := 100 * float64(x.Bytes) / float64(max(x.DataBytes, 1))
	how := "there already"
	if x.Made {
		how = fmt.Sprintf("made in %s, %s/s", took(x.Took), size(int64(float64(x.DataBytes)/x.Took.Seconds())))
	}
	_, err := fmt.Fprintf(a.out, "%s: %s holds %s; %s of %s (%.1f %%), %s\n",
		x.Object, size(x.ObjectBytes), size(x.DataBytes), x.What, size(x.Bytes), share, how)
	return err
}

// passProgress prints how far the pass over a compressed file has come.
type passProgress struct {
	a     *app
	lines progress

	object string
	began  time.Time
	told   time.Time
}

// How often progress is told: to a person, to a program.
const (
	tellPerson  = 100 * time.Millisecond
	tellProgram = time.Second
)

func (p *passProgress) report(s snapshot.Progress) {
	now := time.Now()
	if s.Object != p.object {
		p.object, p.began, p.told = s.Object, now, time.Time{}
	}
	every := tellPerson
	if p.a.json {
		every = tellProgram
	}
	if p.a.quiet || now.Sub(p.told) < every && s.Done < s.Total {
		return
	}
	p.told = now
	elapsed := now.Sub(p.began)
	if p.a.json {
		printJSON(p.a.out, map[string]any{ //nolint:errcheck // the result will tell
			"event": "progress", "object": s.Object, "done_bytes": s.Done, "total_bytes": s.Total, "seconds": elapsed.Seconds(),
		})
		return
	}
	text := fmt.Sprintf("%s: %s of %s", s.Object, size(s.Done), size(s.Total))
	if s.Total > 0 && s.Done > 0 && elapsed > time.Second {
		left := time.Duration(float64(elapsed) / float64(s.Done) * float64(s.Total-s.Done))
		text += fmt.Sprintf(", %d %%, %s left", 100*s.Done/s.Total, left.Round(time.Second))
	}
	p.lines.transient(text)
}
