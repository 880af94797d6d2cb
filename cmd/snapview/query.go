package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/session"
)

func (a *app) queryCommand() *cobra.Command {
	f := &openFlags{}
	var database, format string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "query REF SQL",
		Short: "Open a backup, run one query, print the answer, tear down",
		Long: `Opens a backup, runs one query that returns rows, prints them to standard
output, and tears everything down. SQL "-" is read from standard input.

The query runs as a role that can only read, on a server that can only be read.`,
		Example: `  snapview query /backups/2026-11-20 --db shop "select count(*) from orders"
  snapview query base.tar --db shop --format csv "table customers" > customers.csv
  snapview query base.tar --db shop -f csv --delimiter ';' --null NULL --compress gzip "table orders" > orders.csv.gz
  snapview query base.tar --format json - < report.sql`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if timeout > 0 {
				ctx, cancel := context.WithTimeout(c.Context(), timeout)
				defer cancel()
				c.SetContext(ctx)
			}
			request, err := answerRequest(c.Flags(), format)
			if err != nil {
				return err
			}
			return a.query(c.Context(), args[0], args[1], database, request, f)
		},
	}
	c.Flags().StringVar(&database, "db", "", "database (default: postgres, or the first there is)")
	c.Flags().StringVarP(&format, "format", "f", "table", "one of "+strings.Join(answerFormats, ", "))
	c.Flags().DurationVar(&timeout, "timeout", 0, "give up after this time")
	complete(c, "format", answerFormats...)
	answerFlags(c.Flags())
	f.serverFlags(c)
	f.backupFlags(c)
	return c
}

func (a *app) query(ctx context.Context, ref, sql, database string, request map[string]any, f *openFlags) error {
	if err := needsRoot(); err != nil {
		return err
	}
	if sql == "-" {
		text, err := io.ReadAll(a.in)
		if err != nil {
			return fmt.Errorf("reading the query from standard input: %w", err)
		}
		sql = string(text)
	}
	opts, err := a.options(ref, f)
	if err != nil {
		return err
	}
	s, err := session.New(opts)
	if err != nil {
		return err
	}
	house := a.newHouse(ctx, s, database)
	pages, err := a.servePages(house, "")
	if err != nil {
		return errors.Join(err, closeSession(s))
	}
	// The answer alone goes to standard output, whatever its format.
	progress := *a
	progress.json = false
	wait := progress.follow(s, nil)
	err = s.Start(ctx)
	if err == nil {
		err = a.ask(ctx, s, sql, database, request)
	}
	err = errors.Join(err, house.close(), pages.close(), closeSession(s))
	wait()
	return err
}

// ask runs the query by the session's API, as the page does, and prints the
// rows.
func (a *app) ask(ctx context.Context, s *session.Session, sql, database string, request map[string]any) error {
	server, err := s.Server()
	if err != nil {
		return err
	}
	if database == "" && len(server.Databases()) > 0 {
		database = server.Databases()[0]
	}
	api := controlOf(s.ID(), s.ControlSocket())
	path := "/databases/" + url.PathEscape(database)
	if request["format"] == "table" {
		return api.printTable(ctx, a.out, path, sql)
	}
	request["sql"] = sql
	body, err := api.open(ctx, http.MethodPost, path+"/export", request)
	if err != nil {
		return queryError{err}
	}
	defer body.Close()
	if _, err := io.Copy(a.out, body); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	if message := body.Trailer("X-Snapview-Error"); message != "" {
		return queryError{errors.New(message)}
	}
	return nil
}
