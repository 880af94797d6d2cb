package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func (a *app) linkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "link [ID | PORT]",
		Short: "Print a new link for the browser",
		Long: `Prints a new link to the page of a session that is open: for another browser, or
for one that lost its cookie. Like the one that snapview open and snapview serve
printed, it lets one browser in, once. Links that were not used yet, and browsers
that are in, stay valid.

Whoever has the link is the operator, on a shared server as well: people with a
token of their own (snapview serve --auth-token-file) or behind a proxy
(--auth-header) log in as themselves and need none.

The link leads to the session, also of snapview serve, and from there to all. PORT
is that of the page of a snapview serve: the link leads to its first page. Without
either it is the only session that there is, or where nothing is open the only
server.

It names the address that the page listens on, 127.0.0.1 where that is any, or the
first --allowed-host of a server that the network reaches.`,
		Example: `  snapview link                # the only session there is
  snapview link 01j9
  snapview link 8080           # the server whose page is on that port
  xdg-open "$(snapview link)"
  snapview link --json | jq -r .url`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.dialLinker(optionalID(args))
			if err != nil {
				return err
			}
			var made struct {
				URL string `json:"url"`
			}
			if err := api.call(c.Context(), http.MethodPost, "/login-link", nil, &made); err != nil {
				return err
			}
			if a.json {
				return printJSON(a.out, map[string]any{"event": "link", "id": api.id, "url": made.URL})
			}
			_, err = fmt.Fprintln(a.out, made.URL)
			return err
		},
	}
}
