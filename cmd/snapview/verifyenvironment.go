package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	reports "github.com/snapview/snapview/check"
	"github.com/snapview/snapview/check/structure"
)

// environment says where this server differs from the one that the backup came
// from in what its data depends on: nothing is wrong with the backup then, but
// answers may be.
func (t *restoreTest) environment(ctx context.Context) error {
	for _, w := range t.server.Warnings() {
		t.report.Add(reports.Case{Suite: "preflight", Name: "server", Outcome: reports.Warned, Detail: w})
	}
	for _, database := range t.server.Databases() {
		t.ask(ctx, "collations", database, func(conn *pgx.Conn, c *reports.Case) error {
			suspect, more, err := structure.Collations(ctx, conn, database)
			c.Problems, c.More = suspect, more
			if n := len(suspect) + more; n > 0 {
				c.Outcome = reports.Warned
				c.Detail = fmt.Sprintf("%d indexes were built under another version of their collation: they may miss rows (amcheck tells which do)", n)
			}
			return err
		})
		t.ask(ctx, "extensions", database, func(conn *pgx.Conn, c *reports.Case) error {
			missing, err := structure.MissingExtensions(ctx, conn)
			if len(missing) > 0 {
				c.Outcome = reports.Warned
				c.Detail = "not installed on this server, so that what needs their libraries fails: " + strings.Join(missing, ", ")
			}
			return err
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// ask makes a check of a database over a connection of its own.
func (t *restoreTest) ask(ctx context.Context, suite, database string, check func(*pgx.Conn, *reports.Case) error) {
	began := time.Now()
	c := reports.Case{Suite: suite, Name: databasePrefix + database, Outcome: reports.Passed}
	conn, err := t.connect(ctx, database)
	if err == nil {
		err = check(conn, &c)
		conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it was only asked
	}
	if err != nil {
		c.Outcome, c.Detail = reports.Errored, err.Error()
	}
	c.Took = time.Since(began)
	t.report.Add(c)
}
