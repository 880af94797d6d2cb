package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/web"
)

func (a *app) keepCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "keep [ID] TIME",
		Short: "Change how long a session stays open from now on",
		Long: `Closes a session TIME from now instead of when its time to live would be over:
later than that, or sooner. 0 keeps it until somebody closes it. A session that was
opened without a time to live gets one.

A session that closes when nobody uses it (--idle) still does, counted from now.
snapview serve --max-ttl bounds TIME; it can be asked for again later.`,
		Example: `  snapview keep 2h             # the only session there is
  snapview keep 01j9 90m
  snapview keep 01j9 0         # until it is closed`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			text := args[len(args)-1]
			d, err := time.ParseDuration(text)
			if err != nil || d < 0 || d > 0 && d < time.Second {
				return usageError{fmt.Errorf("keep: %q is no time to keep a session for: write 90m, 2h or 36h, or 0 for until it is closed", text)}
			}
			api, err := a.dial(optionalID(args[:len(args)-1]))
			if err != nil {
				return err
			}
			var kept web.Info
			if err := api.call(c.Context(), http.MethodPut, "/time-to-live", map[string]any{"ttlSeconds": int64(d / time.Second)}, &kept); err != nil {
				return err
			}
			return a.printKept(kept)
		},
	}
}

func (a *app) printKept(s web.Info) error {
	if a.json {
		line := map[string]any{"event": "kept", "id": s.ID}
		if s.ExpiresAt != nil {
			line["expires"] = s.ExpiresAt.UTC().Format(time.RFC3339)
		}
		if s.IdleAt != nil {
			line["idle_ends"] = s.IdleAt.UTC().Format(time.RFC3339)
		}
		return printJSON(a.out, line)
	}
	if a.quiet {
		return nil
	}
	end := "stays open until it is closed"
	if s.ExpiresAt != nil {
		end = "closes at " + s.ExpiresAt.Local().Format(time.DateTime)
	}
	if s.IdleAt != nil {
		end += fmt.Sprintf(", or at %s if nobody uses it", s.IdleAt.Local().Format(time.DateTime))
	}
	fmt.Fprintf(a.err, "%s %s\n", s.ID, end)
	return nil
}
