package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
	"github.com/snapview/snapview/snapshot/verify"
)

func (a *app) inspectCommand() *cobra.Command {
	f := &openFlags{}
	var settings, files bool
	c := &cobra.Command{
		Use:   "inspect REF",
		Short: "What a backup is, whether it will open, and what will be changed for that",
		Long: `Reads what a backup says of itself and checks whether it can be opened, without
opening it. Needs no root. Exits 0 if it can, 4 if it is refused as unsafe, 3 if
it is no backup or is damaged.

With --verify the whole backup is read as well, and each file is compared with
the checksum that backup_manifest, or the store itself, recorded of it: what
pg_verifybackup does of a restored backup, the records of the WAL included.`,
		Example: `  snapview inspect /backups/2026-11-20
  snapview inspect /backups/base.tar --settings
  snapview inspect /backups/base.tar --verify --json | jq .verified.problems`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.inspect(c.Context(), args[0], f, settings, files)
		},
	}
	c.Flags().BoolVar(&files, "verify", false, "read all files and compare their checksums")
	c.Flags().BoolVar(&settings, "settings", false, "also list the source host's settings and what becomes of them")
	f.backupFlags(c)
	return c
}

func (a *app) inspect(ctx context.Context, ref string, f *openFlags, settings, files bool) error {
	opts, err := f.snapshotOptions()
	if err != nil {
		return err
	}
	p := a.progress()
	opts.Progress = func(r snapshot.Progress) {
		p.transient(fmt.Sprintf("reading %s: %s of %s", r.Object, size(r.Done), size(r.Total)))
	}
	opts.Notice = func(message string) { fmt.Fprintln(a.err, message) }
	snap, err := sources.Open(ctx, ref, opts)
	p.end()
	if err != nil {
		return err
	}
	defer snap.Close()
	checks := append(slices.Clone(snap.Checks), serverChecks(ctx, snap, pgrunner.Config{})...)
	if !a.json {
		a.printIdentity(snap)
		a.printChecks(checks)
		if settings {
			a.printSettings(shownSettings(snap))
		}
	}
	var verified *verify.Report
	if files {
		if verified, err = a.verifyFiles(ctx, snap); err != nil {
			return err
		}
	}
	if a.json {
		if err := a.printInspectJSON(snap, checks, verified); err != nil {
			return err
		}
	} else if files {
		a.printVerified(verified)
	}
	if err := snap.Err(); err != nil {
		return err
	}
	if files {
		if err := verified.Err(); err != nil {
			return err
		}
	}
	if !a.json {
		verdict := "it can be opened"
		if slices.ContainsFunc(checks, func(c snapshot.Check) bool { return c.Name == "server" && c.Outcome == snapshot.Warn }) {
			verdict = "the backup is good, but see what is said of the server"
		}
		fmt.Fprintf(a.out, "\n%s: snapview open %s\n", verdict, sources.Redact(ref))
	}
	return nil
}

func (a *app) printInspectJSON(snap *snapshot.Snapshot, checks []snapshot.Check, verified *verify.Report) error {
	report := map[string]any{
		"ref": snap.Ref, "kind": snap.Kind, "identity": snap.Identity, "tablespaces": snap.Tablespaces,
		"size": snap.Size, "databases": snap.Databases, "checks": checks, "settings": shownSettings(snap),
		"read_bytes": snap.BytesRead(), "opens": snap.Err() == nil,
	}
	if verified != nil {
		report["verified"] = verified
	}
	return printJSON(a.out, report)
}

func (a *app) printIdentity(snap *snapshot.Snapshot) {
	id := &snap.Identity
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(a.out, "%-12s %s\n", name, value)
		}
	}
	line("backup", snap.Ref)
	line("kind", string(snap.Kind))
	line("postgresql", strconv.Itoa(id.PGVersion))
	line("system id", strconv.FormatUint(id.SystemID, 10))
	line("label", id.LabelName)
	line("moment", moment(snap))
	line("timeline", strconv.FormatUint(uint64(id.Timeline), 10))
	line("wal", walRange(id))
	if !id.StartTime.IsZero() {
		line("started", id.StartTime.UTC().Format(time.RFC3339))
	}
	line("state", id.State.String())
	line("size", fmt.Sprintf("%s in %d files", size(snap.Size.Bytes), snap.Size.Files))
	for _, t := range snap.Tablespaces {
		line("tablespace", fmt.Sprintf("%d, %s in %d files, was at %s", t.OID, size(t.Bytes), t.Files, t.Original))
	}
	line("read", size(snap.BytesRead())+" to find this out")
}

func walRange(id *snapshot.Identity) string {
	if id.StartLSN == 0 {
		return ""
	}
	if id.EndLSN == 0 {
		return "from " + id.StartLSN.String()
	}
	return id.StartLSN.String() + " to " + id.EndLSN.String()
}

func (a *app) printChecks(checks []snapshot.Check) {
	if len(checks) > 0 {
		fmt.Fprintln(a.out)
	}
	for _, c := range checks {
		fmt.Fprintf(a.out, "%-6s  %-14s %s\n", c.Outcome, c.Name, c.Detail)
		if c.Remedy != "" {
			fmt.Fprintf(a.out, "        %-14s -> %s\n", "", c.Remedy)
		}
	}
}
