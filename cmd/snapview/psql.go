package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/session"
)

func (a *app) psqlCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "psql [ID] [-- PSQL-ARGS...]",
		Short: "Start psql on a session",
		Long: `Starts psql on a session's server as the role that clients have (it can only
read, unless the session is writable), through the socket in the session's
folder. What follows -- goes to psql.`,
		Example: `  snapview psql
  snapview psql 01j9 -- -d shop -c "table customers limit 3"`,
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			id, rest := args, []string(nil)
			if dash := c.ArgsLenAtDash(); dash >= 0 {
				id, rest = args[:dash], args[dash:]
			}
			if len(id) > 1 {
				return usageError{fmt.Errorf("one session at a time; psql's own arguments come after --")}
			}
			return a.psql(c.Context(), optionalID(id), rest)
		},
	}
}

func (a *app) psql(ctx context.Context, id string, args []string) error {
	found, err := session.Find(a.stateRoot(), id)
	if err != nil {
		return err
	}
	if found.Login == nil {
		return fmt.Errorf("session %s is %s: its server does not answer yet", found.ID, found.State)
	}
	psql, err := exec.LookPath("psql")
	if err != nil {
		return fmt.Errorf("%w: psql is not installed: apt-get install postgresql-client", attach.ErrUnsupported)
	}
	cmd := exec.CommandContext(ctx, psql, args...)
	cmd.Env = append(os.Environ(),
		"PGHOST="+found.Login.SocketDir, "PGPORT="+strconv.Itoa(found.Login.Port),
		"PGUSER="+found.Login.Role, "PGPASSWORD="+found.Login.Password, "PGDATABASE="+found.Login.Database)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return queryError{fmt.Errorf("psql ended with exit code %d", exit.ExitCode())}
	}
	return err
}
