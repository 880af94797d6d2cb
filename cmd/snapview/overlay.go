package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/web"
)

func (a *app) limitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "limit [ID] SIZE",
		Short: "Change how many bytes a session's overlay may hold",
		Long: `Changes how many bytes the overlay may hold before writes are held; 0 lifts the
limit. Writes that were held go on if there is room now.`,
		Example: `  snapview limit 10GiB
  snapview limit 01j9 0`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			var limit bytesValue
			if err := limit.Set(args[len(args)-1]); err != nil {
				return usageError{err}
			}
			api, err := a.dial(optionalID(args[:len(args)-1]))
			if err != nil {
				return err
			}
			return api.call(c.Context(), http.MethodPut, "/limit", map[string]any{"limitBytes": int64(limit)}, nil)
		},
	}
}

func (a *app) checkpointCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "checkpoint [ID]",
		Short: "Seal what the overlay holds now, and go on above it",
		Long: `Seals the overlay's layer, with the file system at rest, and goes on in a new
one above it. The server pauses for a moment and notices nothing else. Growth can
then be asked for since the checkpoint, and its disk exported.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.dial(optionalID(args))
			if err != nil {
				return err
			}
			var made web.Checkpoint
			if err := api.call(c.Context(), http.MethodPost, "/checkpoints", map[string]any{"name": name}, &made); err != nil {
				return err
			}
			if a.json {
				return printJSON(a.out, made)
			}
			_, err = fmt.Fprintln(a.out, made.ID)
			return err
		},
	}
	c.Flags().StringVar(&name, "name", "", "what to call it")
	return c
}

func (a *app) checkpointsCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "checkpoints [ID]",
		Short:             "List the sealed layers of a session's overlay",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.dial(optionalID(args))
			if err != nil {
				return err
			}
			var list struct {
				Items []web.Checkpoint `json:"items"`
			}
			if err := api.call(c.Context(), http.MethodGet, "/checkpoints", nil, &list); err != nil {
				return err
			}
			var rows [][]string
			for _, cp := range list.Items {
				if a.json {
					if err := printJSON(a.out, cp); err != nil {
						return err
					}
					continue
				}
				rows = append(rows, []string{cp.ID, cp.CreatedAt.Local().Format(time.DateTime), size(cp.OverlayBytes), cp.Name})
			}
			if a.json {
				return nil
			}
			return table(a.out, []string{"CHECKPOINT", "SEALED", "BYTES", "NAME"}, rows)
		},
	}
}
