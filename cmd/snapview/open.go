package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/desk"
)

// closeTime is how long a session may take to come down before the command
// gives up and says what is left.
const closeTime = 90 * time.Second

func (a *app) openCommand() *cobra.Command {
	f := &openFlags{}
	var listen, database string
	c := &cobra.Command{
		Use:   "open REF...",
		Short: "Open a backup and look inside: browser, SQL, psql",
		Long: `Opens a backup and serves it until Ctrl-C, which tears everything down.

It prints a URL for the browser, whose token works once, and a line for psql.
The server behind them is a frozen hot standby: nobody can write to it. Nothing
is restored and the backup is only read.

Several REFs are the backups of one chain, a full one and the incremental ones
that build on it, in any order. Where they lie side by side the last is enough.`,
		Example: `  snapview open /backups/2026-11-20
  snapview open /full/monday /incremental/tuesday /incremental/wednesday
  snapview open s3://bucket/pg/2026-11-20
  snapview open base.tar --db shop --max-overlay 5GiB --ttl 2h
  snapview open /backups/2026-11-20 --json | jq -r 'select(.event == "ready").url'
  ssh -L 8080:127.0.0.1:8080 dbhost sudo snapview open /backups/2026-11-20 --listen 127.0.0.1:8080`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.chain = append(f.chain, args[1:]...)
			return a.open(c.Context(), args[0], f, listen, database)
		},
	}
	flags := c.Flags()
	flags.StringVar(&database, "db", "", "database to begin with (default: the first one besides postgres)")
	flags.StringVar(&listen, "listen", "127.0.0.1:0", "address of the page; port 0 takes a free one")
	flags.StringVar(&f.psqlListen, "psql-listen", "127.0.0.1:0", "loopback address for psql and other clients; empty for none")
	flags.StringVar(&f.nbdListen, "nbd-listen", "", "also export the disk by NBD on this loopback address")
	flags.DurationVar(&f.ttl, "ttl", 0, "close after this time, such as 2h")
	flags.DurationVar(&f.idle, "idle", 0, "close when nobody used it for this time")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log what goes on inside")
	f.serverFlags(c)
	f.backupFlags(c)
	return c
}

func (a *app) open(ctx context.Context, ref string, f *openFlags, listen, database string) error {
	if err := needsRoot(); err != nil {
		return err
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
	pages, err := a.servePages(house, listen)
	if err != nil {
		return errors.Join(err, closeSession(s))
	}
	wait := a.follow(s, func() { a.printReady(s, pages, database) })
	err = s.Start(ctx)
	if err == nil {
		err = errors.Join(untilClosed(ctx, s), house.untilEmpty(ctx))
	}
	err = errors.Join(err, house.close(), closeSession(s))
	wait()
	return errors.Join(err, pages.close())
}

// untilClosed waits until a session has ended, or the command is interrupted.
func untilClosed(ctx context.Context, s *session.Session) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.Done():
		return s.Err()
	}
}

// closeSession tears a session down in the time that there is. On a session
// that is closed it does nothing.
func closeSession(s *session.Session) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return s.Close(ctx)
}

// pages is the web server of a process: the page on TCP for the browser, the
// same API on the control socket of each session for the other commands.
type pages struct {
	server *web.Server
	page   net.Listener // nil without a page
}

// servePages serves the sessions of the house on their control sockets and,
// when an address is given, the page on TCP, with options changed as the caller
// likes.
func (a *app) servePages(h *house, listen string, change ...func(*web.Options)) (*pages, error) {
	opts := web.Options{
		Sessions: h,
		Desks:    desk.New(filepath.Join(a.stateRoot(), "desks"), hostUser()),
		Version:  web.Version{Version: versionString()},
	}
	for _, f := range change {
		f(&opts)
	}
	if listen != "" {
		var err error
		if opts.Listener, err = net.Listen("tcp", listen); err != nil {
			return nil, fmt.Errorf("the page cannot listen on %s: %w", listen, err)
		}
	}
	server, err := web.New(opts)
	if err != nil {
		return nil, err
	}
	p := &pages{server, opts.Listener}
	if err := h.serve(p); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if opts.Listener != nil {
		go server.Serve() //nolint:errcheck // it ends with close
	}
	return p, nil
}

// ownSocket makes unix sockets that only their owner may open, from the moment
// that they are there: on Linux the file that bind makes has the socket's own
// mode, less the umask. A chmod afterwards would come late where the umask is 0.
var ownSocket = net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
	if failed := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); failed != nil {
		return failed
	}
	return err
}}

// control serves the API on a session's control socket until it is closed.
func (p *pages) control(s *session.Session) error {
	control, err := ownSocket.Listen(context.Background(), "unix", s.ControlSocket())
	if err != nil {
		return fmt.Errorf("listening on the control socket: %w", err)
	}
	once := &onceListener{Listener: control}
	go p.server.ServeControl(once) //nolint:errcheck // it ends with close
	go func() {
		<-s.Done()
		once.Close() //nolint:errcheck // its file is gone with the session
	}()
	return nil
}

// A onceListener may be closed by its session and by the server.
type onceListener struct {
	net.Listener
	once sync.Once
	err  error
}

func (l *onceListener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// close lets open pages hear of the end and stops the server. The sessions are
// closed before it.
func (p *pages) close() error {
	drain, enough := context.WithTimeout(context.Background(), 2*time.Second)
	p.server.Drain(drain)
	enough()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// printReady prints what a person needs next.
func (a *app) printReady(s *session.Session, p *pages, database string) {
	server, err := s.Server()
	if err != nil {
		return // it closed in the same instant
	}
	info, figures := s.Info(), s.Figures()
	asked := database
	if database = databaseToShow(server, asked); asked != "" && asked != database && !a.json && !a.quiet {
		fmt.Fprintf(a.err, "! there is no database %q; %s is shown first\n", asked, database)
	}
	link := p.server.NewLoginURL("/")
	psql := psqlURL(info.PSQLAddr, server.Role(), server.Password(), database)
	if a.json {
		printJSON(a.out, map[string]any{ //nolint:errcheck // nobody left to tell
			"event": "ready", "id": info.ID, "url": link, "psql": psql, "database": database,
			"databases": server.Databases(), "postgres": info.Version,
			"runner": info.Plan.Runner, "attachment": info.Method, "device": info.Device,
			"read_bytes": figures.ReadBytes, "overlay_bytes": figures.OverlayBytes,
			"backup_bytes": figures.BackupBytes, "nbd_socket": info.NBDSocket, "nbd_address": info.NBDAddr,
			"writable": info.Writable,
		})
		return
	}
	out := a.out
	fmt.Fprintf(out, "\n%s, PostgreSQL %s, session %s\n", info.Snapshot.Kind, info.Version, info.ID)
	fmt.Fprintf(out, "read %s of the backup's %s, wrote %s to the overlay\n\n",
		size(figures.ReadBytes), size(figures.BackupBytes), size(figures.OverlayBytes))
	fmt.Fprintf(out, "  browser  %s\n", link)
	if psql != "" {
		fmt.Fprintf(out, "  psql     psql '%s'\n", psql)
	}
	if info.NBDAddr != "" {
		fmt.Fprintf(out, "  nbd      nbd://%s/%s\n", info.NBDAddr, info.ID)
	}
	mode := "read-only: a frozen standby that the server itself lets nobody write to"
	if info.Writable {
		mode = "writable: a scratch server; what is written goes to the overlay and is lost at the end"
	}
	fmt.Fprintf(out, "\n%s\nCtrl-C tears it down; the backup is never written.\n", mode)
}

// psqlURL is a connection URI for the endpoint, empty when there is none.
func psqlURL(address, role, password, database string) string {
	if address == "" {
		return ""
	}
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(role, password), Host: address, Path: "/" + database}
	return u.String()
}
