package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/web"
)

func (a *app) growthCommand() *cobra.Command {
	var since, by string
	var limit int
	var history bool
	c := &cobra.Command{
		Use:   "growth [ID]",
		Short: "Whose bytes the overlay holds: by relation, file and cause",
		Example: `  snapview growth                      # of the only session
  snapview growth 01j9 --by file --limit 50
  snapview growth --since 01JD…        # since a checkpoint
  snapview growth --history            # over time`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.dial(optionalID(args))
			if err != nil {
				return err
			}
			if history {
				return a.printHistory(c.Context(), api)
			}
			var g web.Growth
			path := "/growth"
			if since != "" {
				path += "?since=" + url.QueryEscape(since)
			}
			if err := api.call(c.Context(), http.MethodGet, path, nil, &g); err != nil {
				return err
			}
			if a.json {
				return printJSON(a.out, g)
			}
			return a.printGrowth(&g, by, limit)
		},
	}
	c.Flags().StringVar(&since, "since", "", "count only what was written since this checkpoint")
	c.Flags().StringVar(&by, "by", "relation", "rows by relation, file or cause")
	c.Flags().IntVar(&limit, "limit", 20, "how many rows; 0 for all")
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
			rows = append(rows, []string{size(r.Bytes), share(r.Bytes), name})
			named += r.Bytes
		}
		if rest := g.TotalBytes - named; rest > 0 {
			rows = append(rows, []string{size(rest), share(rest), "(no relation: see --by cause)"})
		}
	case "file":
		heading = []string{"BYTES", "SHARE", "CAUSE", "FILE"}
		for _, f := range g.Files {
			rows = append(rows, []string{size(f.Bytes), share(f.Bytes), f.Cause, f.Path})
		}
	case "cause":
		heading = []string{"BYTES", "SHARE", "CAUSE"}
		for _, cause := range g.Causes {
			rows = append(rows, []string{size(cause.Bytes), share(cause.Bytes), cause.Cause})
		}
	default:
		return usageError{fmt.Errorf("--by %s: use relation, file or cause", by)}
	}
	if limit > 0 && len(rows) > limit {
		left := len(rows) - limit
		rows = append(rows[:limit:limit], []string{"…", "", fmt.Sprintf("%d more (--limit 0)", left)})
	}
	if err := table(a.out, heading, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "%s in the overlay (%d bytes)\n", size(g.TotalBytes), g.TotalBytes)
	return err
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
