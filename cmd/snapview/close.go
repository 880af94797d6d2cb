package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/session"
)

func (a *app) closeCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "close [ID...]",
		Short: "Tear a session down",
		Long: `Tears sessions down and returns when nothing of them is left. An id may be
shortened; without one the only session there is is closed. What was written to
the overlay is lost; the backup is as it was.`,
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, ids []string) error {
			if all {
				found, err := session.List(a.stateRoot())
				if err != nil {
					return err
				}
				for _, f := range found {
					if f.Alive {
						ids = append(ids, f.ID)
					}
				}
			} else if len(ids) == 0 {
				ids = []string{""}
			}
			var errs []error
			for _, id := range ids {
				errs = append(errs, a.closeOne(c.Context(), id))
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every session on this host")
	return c
}

func (a *app) closeOne(ctx context.Context, id string) error {
	found, err := session.Find(a.stateRoot(), id)
	if err != nil {
		return err
	}
	if err := controlOf(found.ID, found.ControlSocket()).call(ctx, http.MethodDelete, "", nil, nil); err != nil {
		return err
	}
	// The session's folder goes last of all.
	for deadline := time.Now().Add(closeTime); ; {
		if _, err := os.Stat(found.Dir); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("session %s is still closing; the command that opened it says what it waits for", found.ID)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if a.json {
		return printJSON(a.out, map[string]any{"event": "closed", "id": found.ID})
	}
	if !a.quiet {
		fmt.Fprintf(a.err, "closed %s\n", found.ID)
	}
	return nil
}
