package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/growth"
	"github.com/snapview/snapview/web"
)

func (a *app) growthCommand() *cobra.Command {
	var since, until, by string
	var limit int
	var history, overTime bool
	c := &cobra.Command{
		Use:   "growth [ID]",
		Short: "Whose bytes the overlay holds: by relation, file and cause",
		Long: `Says whose the bytes are that were written since the backup as it came, or since
a checkpoint, until now, or until another checkpoint above it. Every byte of data
that the layers between the two hold counts once, as du counts them.

Files are those of the later moment, exactly. Relations are named by the server of
now; what was dropped or rewritten since goes by the number of its file. Bytes in
no file any more are told apart.`,
		Example: `  snapview growth                      # of the only session
  snapview growth 01j9 --by file --limit 50
  snapview growth --since 01JD…        # since a checkpoint
  snapview growth --since 01JD… --until 01JE… --by cause
  snapview growth --over-time          # checkpoint by checkpoint
  snapview growth --history            # the overlay's size, second by second`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			if by != "relation" && by != "file" && by != "cause" {
				return usageError{fmt.Errorf("--by %s: use relation, file or cause", by)}
			}
			if history && (overTime || since != "" || until != "") {
				return usageError{errors.New("--history is of the whole session: it goes with no other choice")}
			}
			api, err := a.dial(optionalID(args))
			if err != nil {
				return err
			}
			if history {
				return a.printHistory(c.Context(), api)
			}
			query := url.Values{}
			if since != "" {
				query.Set("since", since)
			}
			if until != "" {
				query.Set("until", until)
			}
			if overTime {
				return a.printSteps(c.Context(), api, query)
			}
			var g web.Growth
			if err := api.call(c.Context(), http.MethodGet, "/growth?"+query.Encode(), nil, &g); err != nil {
				return err
			}
			if a.json {
				return printJSON(a.out, g)
			}
			return a.printGrowth(&g, by, limit)
		},
	}
	c.Flags().StringVar(&since, "since", "", "count from this checkpoint; base for the backup as it came, as without it")
	c.Flags().StringVar(&until, "until", "", "count up to this checkpoint; without it up to now")
	c.Flags().StringVar(&by, "by", "relation", "rows by relation, file or cause")
	c.Flags().IntVar(&limit, "limit", 20, "how many rows; 0 for all")
	c.Flags().BoolVar(&overTime, "over-time", false, "one row for each checkpoint: what it added, and why")
	c.Flags().BoolVar(&history, "history", false, "the size of the overlay over time")
	complete(c, "by", "relation", "file", "cause")
	return c
}

func (a *app) printGrowth(g *web.Growth, by string, limit int) error {
	var heading []string
	var rows [][]string
	share := func(bytes int64) string {
		return fmt.Sprintf("%5.1f%%", 100*float64(bytes)/float64(max(g.TotalBytes, 1)))
	}
	switch by {
	case "relation":
		heading = []string{"BYTES", "SHARE", "RELATION"}
		var named int64
		for _, r := range g.Relations {
			name := r.Name
			if r.Schema != "" {
				name = r.Schema + "." + name
			}
			if r.Database != "" {
				name = r.Database + "." + name
			}
			if r.Table != "" {
				name += " (of " + r.Table + ")"
			}
			rows = append(rows, []string{size(r.Bytes), share(r.Bytes), name})
			named += r.Bytes
		}
		if rest := g.TotalBytes - named; rest > 0 {
			rows = append(rows, []string{size(rest), share(rest), "(no relation: see --by cause)"})
		}
	case "file":
		heading = []string{"BYTES", "SHARE", "CAUSE", "FILE"}
		for _, f := range g.Files {
			rows = append(rows, []string{size(f.Bytes), share(f.Bytes), causeName(f.Cause), f.Path})
		}
		for _, rest := range []struct {
			cause growth.Cause
			bytes int64
		}{{growth.CauseFilesystem, g.MetadataBytes}, {growth.CauseFreed, g.FreeBytes}} {
			if rest.bytes > 0 {
				rows = append(rows, []string{size(rest.bytes), share(rest.bytes), causeName(string(rest.cause)), ""})
			}
		}
	case "cause":
		heading = []string{"BYTES", "SHARE", "CAUSE"}
		for _, cause := range g.Causes {
			rows = append(rows, []string{size(cause.Bytes), share(cause.Bytes), causeName(cause.Cause)})
		}
	}
	if limit > 0 && len(rows) > limit {
		left := len(rows) - limit
		rows = append(rows[:limit:limit], []string{"…", "", fmt.Sprintf("%d more (--limit 0)", left)})
	}
	if err := table(a.out, heading, rows); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s %s (%d bytes)\n", size(g.TotalBytes), spanName(g.Since, g.Until), g.TotalBytes)
	if !a.quiet {
		for _, note := range g.Notes {
			fmt.Fprintf(a.err, "note: %s\n", note)
		}
	}
	return nil
}

// spanName says between which moments.
func spanName(since, until string) string {
	from := "since the backup as it came"
	if since != "" && since != "base" {
		from = "since " + since
	}
	if until == "" {
		return "in the overlay " + from
	}
	return "in the overlay of " + until + " " + from
}

// causeNames are the causes as people read them; others go by their own name.
var causeNames = map[growth.Cause]string{
	growth.CauseData: "tables", growth.CauseIndex: "indexes", growth.CauseVisibilityMap: "visibility maps",
	growth.CauseFreeSpaceMap: "free space maps", growth.CauseCatalog: "system catalogues", growth.CauseWAL: "write-ahead log",
	growth.CauseTransaction: "transaction status", growth.CauseTemporary: "temporary files", growth.CauseControl: "control files",
	growth.CauseConfig: "configuration (snapview's)", growth.CauseLog: "server log", growth.CauseOther: "other files of the server",
	growth.CauseFilesystem: "file system metadata", growth.CauseFreed: "in no file any more",
}

func causeName(cause string) string {
	if name, ok := causeNames[growth.Cause(cause)]; ok {
		return name
	}
	return cause
}

// printSteps prints what each layer added.
func (a *app) printSteps(ctx context.Context, api *control, query url.Values) error {
	var list struct {
		Items []web.GrowthStep `json:"items"`
	}
	if err := api.call(ctx, http.MethodGet, "/growth/steps?"+query.Encode(), nil, &list); err != nil {
		return err
	}
	var rows [][]string
	for _, step := range list.Items {
		if a.json {
			if err := printJSON(a.out, step); err != nil {
				return err
			}
			continue
		}
		who := "(now)"
		if step.Until != "" {
			who = strings.TrimSpace(step.Until + " " + step.Name)
		}
		var why []string
		for _, c := range step.Causes[:min(len(step.Causes), 3)] {
			why = append(why, fmt.Sprintf("%s %s", causeName(c.Cause), size(c.Bytes)))
		}
		rows = append(rows, []string{step.At.Local().Format(time.DateTime), size(step.Bytes), size(step.TotalBytes), who, strings.Join(why, ", ")})
	}
	if a.json {
		return nil
	}
	return table(a.out, []string{"UNTIL", "ADDED", "IN ALL", "CHECKPOINT", "MOSTLY"}, rows)
}

func (a *app) printHistory(ctx context.Context, api *control) error {
	var overlay struct {
		Samples []web.Sample `json:"samples"`
	}
	if err := api.call(ctx, http.MethodGet, "/overlay", nil, &overlay); err != nil {
		return err
	}
	if a.json {
		for _, s := range overlay.Samples {
			if err := printJSON(a.out, s); err != nil {
				return err
			}
		}
		return nil
	}
	var rows [][]string
	for _, s := range overlay.Samples {
		rows = append(rows, []string{s.Time.Local().Format(time.DateTime), size(s.OverlayBytes), size(s.BackupBytesRead)})
	}
	return table(a.out, []string{"TIME", "OVERLAY", "READ FROM BACKUP"}, rows)
}
