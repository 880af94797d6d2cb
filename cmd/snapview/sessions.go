package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/session"
)

func (a *app) sessionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "sessions",
		Aliases: []string{"ls-sessions"},
		Short:   "List what is open on this host",
		Long: `Lists the sessions of this host: those that are open, and those whose process
died and left something behind (snapview gc cleans that up). snapview link prints
a new link to the page of one that is open.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.listSessions() },
	}
}

func (a *app) listSessions() error {
	all, err := session.List(a.stateRoot())
	if err != nil {
		return err
	}
	if a.json {
		for _, f := range all {
			line := map[string]any{
				"id": f.ID, "ref": f.Ref, "kind": f.Kind, "postgres": f.Version, "state": stateOf(f),
				"pid": f.PID, "opened": f.Opened.UTC().Format(time.RFC3339), "dir": f.Dir,
			}
			if f.Parent != "" {
				line["parent"] = f.Parent
			}
			if f.Name != "" {
				line["name"] = f.Name
			}
			if !f.Expires.IsZero() {
				line["expires"] = f.Expires.UTC().Format(time.RFC3339)
			}
			if err := printJSON(a.out, line); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		fmt.Fprintln(a.err, "nothing is open; snapview open REF opens a backup")
		return nil
	}
	var rows [][]string
	for _, f := range all {
		what := f.Ref
		if f.Parent != "" {
			what += ", fork of " + f.Parent
		}
		if f.Name != "" {
			what += ": " + f.Name
		}
		rows = append(rows, []string{f.ID, stateOf(f), f.Version, f.Kind, ago(f.Opened), strconv.Itoa(f.PID), what})
	}
	return table(a.out, []string{"SESSION", "STATE", "POSTGRES", "KIND", "AGE", "PID", "BACKUP"}, rows)
}

// stateOf is a session's state, or that its process is gone.
func stateOf(f session.Found) string {
	if !f.Alive {
		return "dead"
	}
	return string(f.State)
}

// completeSessions offers the ids of the living sessions to the shell.
func (a *app) completeSessions(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := session.List(a.stateRoot())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []cobra.Completion
	for _, f := range all {
		if f.Alive {
			ids = append(ids, cobra.CompletionWithDesc(f.ID, f.Ref))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// optionalID is the session that a command is about: its only argument, or
// the only session there is.
func optionalID(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
