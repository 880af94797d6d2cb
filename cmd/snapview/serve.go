package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/snapshot/sources"
	"github.com/snapview/snapview/web"
)

// serveFlags are those of snapview serve alone.
type serveFlags struct {
	stores   []string
	depth    int
	refresh  time.Duration
	listen   string
	sessions int
	overlays bytesValue
	memory   bytesValue
	maxTTL   time.Duration
	writable bool
	team     teamFlags
}

func (a *app) serveCommand() *cobra.Command {
	f := &openFlags{}
	s := &serveFlags{}
	c := &cobra.Command{
		Use:   "serve --store DIR...",
		Short: "Show the backups of some stores on a page, and open them from there",
		Long: `Serves a page that lists the backups in the stores, kept up to date, and opens
them from there: what snapview ls lists, snapview open opens. Nothing that is not
on the list can be opened through the page. Runs until Ctrl-C, which tears down
every session that is open.

Sessions that are opened from the page end after --ttl, or when nobody has used
them for --idle. Their owners may keep them longer, from the page or by snapview
keep, --max-ttl from then at most.

--max-overlay and --memory are for each session. --max-sessions, --max-overlay-total
and --memory-total are for all: a backup that would not fit is not opened, and the
refusal says who holds what. The total of the overlays is shared as it is needed: when
it is used up, writes are held in all sessions, none is lost, and they go on when
somebody ends a session or discards layers.

For a team: --auth-token-file or --auth-header tells people apart, --tls-cert and
--tls-key encrypt, --audit-log keeps who ran what, on the page and with psql,
--metrics-listen answers Prometheus. What somebody has opened all may look into; closing it, its limit, its
checkpoints and forks of it are his. The URL that is printed lets the operator in.`,
		Example: `  snapview serve --store /backups --store /var/lib/pgbackrest
  snapview serve --store /backups --listen 127.0.0.1:8080 --max-sessions 4 --max-overlay 5GiB
  snapview serve --store /backups --max-sessions 6 --max-overlay-total 40GiB --memory 2GiB --memory-total 8GiB
  snapview serve --store /backups --listen 0.0.0.0:8443 --allowed-host backups.example.org \
      --tls-cert cert.pem --tls-key key.pem --auth-token-file /etc/snapview/people --audit-log /var/log/snapview.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), f, s) },
	}
	flags := c.Flags()
	flags.StringArrayVar(&s.stores, "store", nil, "a folder tree or a store with backups (repeatable)")
	flags.IntVar(&s.depth, "depth", sources.DefaultDepth, "how many levels of folders to look into")
	flags.DurationVar(&s.refresh, "refresh", time.Minute, "how often to look at the stores")
	flags.StringVar(&s.listen, "listen", "127.0.0.1:0", "address of the page; port 0 takes a free one")
	flags.IntVar(&s.sessions, "max-sessions", 8, "how many sessions may be open; 0 for any number")
	flags.Var(&s.overlays, "max-overlay-total", "hold writes when the overlays of all sessions together have this many bytes")
	flags.Var(&s.memory, "memory-total", "open no session whose server's --memory would not fit into this beside the others'")
	flags.DurationVar(&f.ttl, "ttl", 8*time.Hour, "close a session after this time, if it was not asked for another; 0 for never")
	flags.DurationVar(&s.maxTTL, "max-ttl", 0, "the longest time that may be asked for; 0 for any")
	flags.DurationVar(&f.idle, "idle", 0, "close a session when nobody used it for this time")
	flags.BoolVar(&s.writable, "allow-writable", false, "let scratch servers be opened, which take writes into the overlay")
	flags.StringVar(&f.psqlListen, "psql-listen", "127.0.0.1:0", "loopback address for psql and other clients, of each session; empty for none")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log what goes on inside")
	s.team.add(c)
	f.serverFlags(c)
	f.backupFlags(c)
	// What one backup needs makes no sense for many.
	for _, name := range []string{"writable", "tablespace", "wal-dir", "root", "assume-crash-consistent"} {
		if err := flags.MarkHidden(name); err != nil {
			panic(err) // the name is misspelt above
		}
	}
	return c
}

func (a *app) serve(ctx context.Context, f *openFlags, s *serveFlags) error {
	if len(s.stores) == 0 {
		return usageError{errors.New("serve: name at least one --store")}
	}
	if s.refresh < time.Second {
		return usageError{errors.New("serve: --refresh is less than a second")}
	}
	if err := needsRoot(); err != nil {
		return err
	}
	opts, err := a.options("", f)
	if err != nil {
		return err
	}
	// Whoever may look into a backup here need not be one who may log in there.
	opts.HidePasswords = true
	h := a.newHouse(ctx, nil, "")
	h.limits, err = s.limits(opts, f.ttl)
	if err != nil {
		return err
	}
	opts.Budget = h.limits.overlays
	team, err := s.team.open(func(err error) { fmt.Fprintf(a.err, "! %v\n", err) })
	if err != nil {
		return err
	}
	if team.audit != nil {
		opts.Statements = h.auditClients(team.audit)
	}
	catalogue := newCatalogue(h, s.stores, s.depth, opts, h.limits.OpenLimits)
	pages, err := a.servePages(h, s.listen, func(o *web.Options) {
		o.Catalogue, o.Users, o.TLS, o.Audit, o.AllowedHosts = catalogue, team.users, team.tls, team.audit, s.team.hosts
		o.AuditState = team.auditState
		o.Logger, o.MaxStatementsPerUser = opts.Logger, s.team.statements
	})
	if err != nil {
		return errors.Join(err, team.Close())
	}
	if err := pages.controlServer(a); err != nil {
		return errors.Join(err, pages.close(), team.Close())
	}
	if s.team.metricsListen != "" {
		if err := team.serveMetrics(s.team.metricsListen, pages.server.Metrics()); err != nil {
			return errors.Join(err, pages.close(), team.Close())
		}
	}
	looking, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		catalogue.keepUp(looking, s.refresh)
	}()
	a.printServing(pages.server.NewLoginURL("/"), catalogue.shown())
	<-ctx.Done()
	stop()
	<-done
	return errors.Join(ctx.Err(), h.close(), pages.close(), team.Close())
}

// limits are what the flags allow, each session and all together.
func (s *serveFlags) limits(opts session.Options, ttl time.Duration) (*houseLimits, error) {
	l := &houseLimits{
		OpenLimits: web.OpenLimits{
			Sessions: s.sessions, MaxOverlayBytes: opts.MaxOverlay, Writable: s.writable,
			MaxTTL: int64(s.maxTTL / time.Second), DefaultTTL: int64(ttl / time.Second),
		},
		overlays: cow.NewBudget(int64(s.overlays)),
		memory:   opts.Memory, memoryTotal: int64(s.memory),
	}
	if l.memory == 0 {
		l.memory = pgrunner.DefaultMemory()
	}
	if s.memory > 0 && l.memoryTotal < l.memory {
		return nil, usageError{fmt.Errorf("serve: --memory-total %s is less than the %s of a single server (--memory)", size(l.memoryTotal), size(l.memory))}
	}
	if s.overlays > 0 && s.overlays < leastOverlay {
		return nil, usageError{fmt.Errorf("serve: --max-overlay-total %s is less than the %s that opening one backup takes", size(int64(s.overlays)), size(leastOverlay))}
	}
	return l, nil
}

func (a *app) printServing(link string, stores []string) {
	if a.json {
		printJSON(a.out, map[string]any{"event": "serving", "url": link, "stores": stores}) //nolint:errcheck // nobody left to tell
		return
	}
	fmt.Fprintf(a.out, "serving the backups in %d stores\n\n  browser  %s\n\nCtrl-C tears down what is open; the backups are never written.\n", len(stores), link)
}
