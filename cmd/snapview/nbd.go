package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/session"
)

func (a *app) nbdCommand() *cobra.Command {
	f := &openFlags{}
	var readOnly bool
	c := &cobra.Command{
		Use:   "nbd REF",
		Short: "Serve a backup as an NBD disk, for your own client",
		Long: `Serves the backup as a disk with an ext4 file system, by NBD on a unix socket
and, with --nbd-listen, on a loopback port, until Ctrl-C. Writes go to an overlay
that is lost at the end; with --read-only there is none. Needs no root.`,
		Example: `  snapview nbd /backups/2026-11-20 --read-only
  qemu-img convert -O qcow2 'nbd+unix:///ID?socket=SOCKET' backup.qcow2
  nbd-client -unix SOCKET /dev/nbd0 -N ID && mount -o ro /dev/nbd0 /mnt`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.nbd(c.Context(), args[0], f, readOnly)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.nbdListen, "nbd-listen", "", "also listen on this loopback address, such as 127.0.0.1:10809")
	flags.BoolVar(&readOnly, "read-only", false, "refuse writes; no overlay")
	flags.Var(&f.maxOverlay, "max-overlay", "hold writes when the overlay has this many bytes")
	flags.DurationVar(&f.ttl, "ttl", 0, "close after this time, such as 2h")
	f.backupFlags(c)
	return c
}

func (a *app) nbd(ctx context.Context, ref string, f *openFlags, readOnly bool) error {
	opts, err := a.options(ref, f)
	if err != nil {
		return err
	}
	opts.DeviceOnly, opts.ReadOnly = true, readOnly
	s, err := session.New(opts)
	if err != nil {
		return err
	}
	pages, err := a.servePages(a.newHouse(ctx, s, ""), "")
	if err != nil {
		return errors.Join(err, closeSession(s))
	}
	wait := a.follow(s, func() { a.printExport(s) })
	err = s.Start(ctx)
	if err == nil {
		err = untilClosed(ctx, s)
	}
	err = errors.Join(err, closeSession(s))
	wait()
	return errors.Join(err, pages.close())
}

// printExport prints where the disk is.
func (a *app) printExport(s *session.Session) {
	info, figures := s.Info(), s.Figures()
	uri := fmt.Sprintf("nbd+unix:///%s?socket=%s", info.ID, info.NBDSocket)
	if a.json {
		printJSON(a.out, map[string]any{ //nolint:errcheck // nobody left to tell
			"event": "ready", "id": info.ID, "uri": uri, "socket": info.NBDSocket, "address": info.NBDAddr,
			"export": info.ID, "size_bytes": figures.BaseBytes,
		})
		return
	}
	fmt.Fprintf(a.out, "\n  %s\n", uri)
	if info.NBDAddr != "" {
		fmt.Fprintf(a.out, "  nbd://%s/%s\n", info.NBDAddr, info.ID)
	}
	fmt.Fprintf(a.out, "\na disk of %s; Ctrl-C ends it\n", size(figures.BaseBytes))
}
