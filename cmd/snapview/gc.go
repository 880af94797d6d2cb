package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/session"
)

func (a *app) gcCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "gc",
		Short: "Give back what sessions left behind whose process died",
		Long: `Gives back the servers, mounts, devices and overlays of sessions whose process
was killed. It touches nothing but what those sessions had recorded as theirs;
living sessions are left alone. Control sockets of servers that were killed go too. Run it as often as you like.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			done, err := session.Reclaim(c.Context(), a.stateRoot())
			errs := []error{err, a.reclaimServers()}
			for _, d := range done {
				if d.Err != nil {
					errs = append(errs, fmt.Errorf("session %s: %w", d.ID, d.Err))
				}
				switch {
				case a.json:
					line := map[string]any{"id": d.ID, "ref": d.Ref, "reclaimed": d.Err == nil}
					if d.Err != nil {
						line["error"] = d.Err.Error()
					}
					errs = append(errs, printJSON(a.out, line))
				case d.Err == nil && !a.quiet:
					fmt.Fprintf(a.out, "reclaimed %s (%s)\n", d.ID, d.Ref)
				}
			}
			if len(done) == 0 && !a.json && !a.quiet {
				fmt.Fprintln(a.err, "nothing was left behind")
			}
			return errors.Join(errs...)
		},
	}
}
