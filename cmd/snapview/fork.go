package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/web"
)

func (a *app) forkCommand() *cobra.Command {
	var o web.ForkOptions
	c := &cobra.Command{
		Use:   "fork [ID]",
		Short: "Open another session over the same layers; nothing is copied",
		Long: `Opens another session that starts from what session ID holds now, or from a
checkpoint of it, and goes its own way from there. It has its own disk, server and
ports, and runs in the process of ID. Nothing is copied, and neither sees what the
other writes. Going back is a fork of an earlier checkpoint.

A fork is closed by itself (snapview close), or when that process is interrupted;
closing ID leaves its forks open.

Its server recovers as after a power failure: transactions that were open are
rolled back, and unlogged tables are empty.`,
		Example: `  snapview fork --writable --name experiment
  snapview fork 01j9 --checkpoint 01JD…
  snapview fork --checkpoint base          # the backup as it came`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.dial(optionalID(args))
			if err != nil {
				return err
			}
			return a.fork(c.Context(), api, o)
		},
	}
	c.Flags().StringVar(&o.Checkpoint, "checkpoint", "", "start from this checkpoint; base for the backup as it came")
	c.Flags().BoolVar(&o.Writable, "writable", false, "a scratch server that takes writes, into the overlay only")
	c.Flags().StringVar(&o.Name, "name", "", "what to call it")
	return c
}

func (a *app) fork(ctx context.Context, api *control, o web.ForkOptions) error {
	var made web.Info
	if err := api.call(ctx, http.MethodPost, "/forks", o, &made); err != nil {
		return err
	}
	found, err := session.Find(a.stateRoot(), made.ID)
	if err != nil {
		return err
	}
	fork := controlOf(made.ID, found.ControlSocket())
	info, err := untilOpen(ctx, fork, api)
	if err != nil {
		return err
	}
	if found, err = session.Find(a.stateRoot(), made.ID); err != nil {
		return err
	}
	var psql string
	if info.Psql != nil && found.Login != nil {
		address := net.JoinHostPort(info.Psql.Host, strconv.Itoa(info.Psql.Port))
		psql = psqlURL(address, found.Login.Role, found.Login.Password, info.DefaultDatabase)
	}
	if a.json {
		return printJSON(a.out, map[string]any{
			"event": "ready", "id": info.ID, "parent": info.Parent, "name": o.Name, "psql": psql,
			"database": info.DefaultDatabase, "postgres": info.Postgres, "writable": info.Writable,
			"nbd_socket": found.NBDSocket(), "nbd_address": found.NBD,
		})
	}
	fmt.Fprintf(a.out, "session %s, a fork of %s\n", info.ID, info.Parent)
	if psql != "" {
		fmt.Fprintf(a.out, "  psql     psql '%s'\n", psql)
	}
	if found.NBD != "" {
		fmt.Fprintf(a.out, "  nbd      nbd://%s/%s\n", found.NBD, info.ID)
	}
	return nil
}

// untilOpen waits until a fork is ready. A fork that nobody waits for any more
// is closed.
func untilOpen(ctx context.Context, fork, parent *control) (web.Info, error) {
	// The parent's socket answers for the fork too, also when the fork has
	// failed and its own is gone.
	byParent := sessionAt(fork.id, parent.http)
	for {
		var info web.Info
		err := fork.call(ctx, http.MethodGet, "", nil, &info)
		if err != nil && ctx.Err() == nil {
			err = byParent.call(ctx, http.MethodGet, "", nil, &info)
		}
		if ctx.Err() != nil {
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
			defer cancel()
			return info, errors.Join(ctx.Err(), fork.call(late, http.MethodDelete, "", nil, nil))
		}
		if err != nil {
			return info, err
		}
		switch info.State {
		case web.StateReady:
			return info, nil
		case web.StateClosed, web.StateFailed:
			if info.Failure != nil {
				return info, fmt.Errorf("the fork %s did not open: %s", info.ID, info.Failure.Message)
			}
			return info, fmt.Errorf("the fork %s was closed", info.ID)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
