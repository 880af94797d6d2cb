package main

import (
	"io"

	"github.com/spf13/cobra"
)

// app is what every command shares: where to read, write and complain, and the
// flags that all of them have.
type app struct {
	in  io.Reader
	out io.Writer // what was asked for
	err io.Writer // how it goes

	stateDir string
	json     bool
	quiet    bool
}

const longHelp = `snapview opens a PostgreSQL backup in about a second, without restoring it.

The backup is shown to the kernel as a virtual ext4 disk whose data is read
from the backup when PostgreSQL asks for it. Everything written goes to a sparse
overlay beside it. The backup itself is only ever read.

REF is a backup as it lies on disk, recognised by what it holds:
  - a data directory: pg_basebackup -Fp, a cold copy, anything mounted
  - a folder of pg_basebackup -Ft: base.tar, <oid>.tar, pg_wal.tar
  - one tar, as pg_basebackup -D - -Ft -X fetch writes it
  - either of the two compressed: gzip, lz4, zstd, bzip2, xz
  - the last of a chain of PostgreSQL 17's incremental backups, or all of them
  - a Plakar Kloset, a folder or a .ptar, encrypted or not; REF#SNAPSHOT names
    one of its snapshots
  - a disk image, raw or qcow2, or a block device, with ext4 in it`

const examples = `  # look inside: prints a URL for the browser and a line for psql
  snapview open /backups/2026-11-20

  # one query, one answer, nothing left behind
  snapview query /backups/2026-11-20 --db shop "select count(*) from orders"

  # will it open, what is in it, what will be changed for that?
  snapview inspect /backups/base.tar

  # a restore test for cron and CI: recovers it, checks every page and index
  snapview verify /backups/2026-11-20 --junit report.xml`

// root is the command line as a whole.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "snapview",
		Short:         "Open a PostgreSQL backup without restoring it",
		Long:          longHelp,
		Example:       examples,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       versionString(),
	}
	root.PersistentFlags().StringVar(&a.stateDir, "state-dir", "", "where sessions keep their overlays and sockets (default $SNAPVIEW_STATE_DIR or /var/lib/snapview)")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON: one object per line")
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "print no progress")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddGroup(
		&cobra.Group{ID: groupLook, Title: "Look inside a backup:"},
		&cobra.Group{ID: groupSession, Title: "Work with what is open:"},
		&cobra.Group{ID: groupHost, Title: "This host:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			if args := c.Args; args != nil {
				c.Args = func(cmd *cobra.Command, given []string) error {
					if err := args(cmd, given); err != nil {
						return usageError{err}
					}
					return nil
				}
			}
			root.AddCommand(c)
		}
	}
	add(groupLook, a.lsCommand(), a.openCommand(), a.queryCommand(), a.inspectCommand(), a.verifyCommand(), a.serveCommand(), a.nbdCommand(), a.indexCommand())
	add(groupSession, a.sessionsCommand(), a.psqlCommand(), a.growthCommand(), a.linkCommand(), a.limitCommand(), a.keepCommand(),
		a.checkpointCommand(), a.checkpointsCommand(), a.layersCommand(), a.forkCommand(), a.exportCommand(), a.closeCommand())
	add(groupHost, a.doctorCommand(), a.cacheCommand(), a.gcCommand(), a.versionCommand())
	root.AddCommand(exitCodesTopic())
	return root
}

const (
	groupLook    = "look"
	groupSession = "session"
	groupHost    = "host"
)
