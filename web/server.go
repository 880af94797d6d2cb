package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/snapview/snapview/web/desk"
)

// A Server serves the page and the API on one TCP listener and any number of
// control sockets. Its methods may be called concurrently.
type Server struct {
	opts    Options
	log     *slog.Logger
	auth    *authenticator
	assets  *assets
	pools   *pools
	queries *queries
	tickets *tickets
	first   *firstAsks
	streams *streams
	users   userHashes
	desks   *desk.Store
	metrics *metrics
	http    *http.Server

	ctx    context.Context // done when Shutdown begins: streams end
	cancel context.CancelFunc
	once   sync.Once
}

// New returns a server that is ready to Serve. Shutdown must be called in the
// end, even when it never served.
func New(opts Options) (*Server, error) {
	if opts.Sessions == nil {
		return nil, errors.New("web: Options.Sessions is nil")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.StatementTimeout <= 0 {
		opts.StatementTimeout = time.Hour
	}
	if opts.MaxValueBytes <= 0 {
		opts.MaxValueBytes = 256 << 20
	}
	if opts.MaxStatements <= 0 {
		opts.MaxStatements = 20
	}
	if opts.MaxStatementsPerUser <= 0 {
		opts.MaxStatementsPerUser = DefaultStatementsPerUser
	}
	opts.Version = opts.Version.withDefaults()
	if opts.Desks == nil {
		opts.Desks = desk.New("", "")
	}
	assets, err := loadAssets(embedded())
	if err != nil {
		return nil, fmt.Errorf("web: embedded page: %w", err)
	}
	s := &Server{
		opts: opts, log: opts.Logger, auth: newAuthenticator(), assets: assets,
		pools: newPools(), queries: newQueries(opts.MaxStatements, opts.MaxStatementsPerUser), tickets: newTickets(), first: newFirstAsks(), streams: newStreams(),
		users: opts.Users.hashes(), desks: opts.Desks,
	}
	s.metrics = newMetrics(s)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       readPatience,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    256 << 10,
		ErrorLog:          slog.NewLogLogger(opts.Logger.Handler(), slog.LevelWarn),
		ConnContext:       markControl,
	}
	return s, nil
}

// readPatience is how long a request may take to come in with its body, so that a
// client that sends none does not hold its connection for ever.
const readPatience = time.Minute

// Serve answers on Options.Listener until Shutdown, and then returns nil.
func (s *Server) Serve() error {
	if s.opts.Listener == nil {
		return errors.New("web: Serve without Options.Listener")
	}
	l := s.opts.Listener
	if s.opts.TLS != nil {
		l = tls.NewListener(l, s.opts.TLS)
	}
	return ignoreClosed(s.http.Serve(l))
}

// ServeControl answers on l until Shutdown, and then returns nil. Whoever can
// connect to l is let in without a token: it must be a unix socket that only
// its owner may open. The page is not served there.
func (s *Server) ServeControl(l net.Listener) error {
	return ignoreClosed(s.http.Serve(controlListener{l}))
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Drain waits until every event stream has ended by itself, as it does after
// the event that its session is closed, or until ctx is done. Called between
// the end of the sessions and Shutdown, it lets open pages hear of the end.
func (s *Server) Drain(ctx context.Context) {
	for s.streams.count() > 0 {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// Shutdown stops listening, ends all streams, cancels all statements, waits
// for requests until ctx is done, and closes every connection to PostgreSQL.
// The sessions are left as they are. Calling it again is harmless.
func (s *Server) Shutdown(ctx context.Context) error {
	var err error
	s.once.Do(func() {
		s.cancel()
		s.queries.cancelAll(errShutdown)
		err = s.http.Shutdown(ctx)
		if err != nil {
			err = errors.Join(fmt.Errorf("web: requests still run: %w", err), s.http.Close())
		}
		if s.opts.Listener != nil {
			// Closed by Shutdown only if Serve was called.
			_ = s.opts.Listener.Close()
		}
		s.pools.closeAll()
	})
	return err
}

var errShutdown = errors.New("snapview is shutting down")
