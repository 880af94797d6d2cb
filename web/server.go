package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/snapview/snapview/web/desk"
)

// Options configure a Server. Sessions is required, the rest has defaults.
type Options struct {
	// Sessions are what is shown.
	Sessions Sessions

	// Catalogue is what may be opened from the page; nil means nothing.
	Catalogue Catalogue

	// Listener is where browsers come in. Without one there is no page and
	// no login URL, and only ServeControl can be used. The server closes it.
	Listener net.Listener

	// AllowedHosts are names, besides the listener's address and localhost,
	// that a request may name as its Host, without a port.
	AllowedHosts []string

	// Users are the people who share the server, if it is shared.
	Users Users

	// TLS, if not nil, has the certificate that the Listener's connections are
	// encrypted with.
	TLS *tls.Config

	// Audit, if not nil, is called after every statement that a client ran,
	// from the goroutine that ran it, and after what was done to a session that
	// others feel (see Statement.Kind).
	Audit func(Statement)

	// Desks keeps tabs, saved statements and history; nil keeps them until the
	// server ends.
	Desks *desk.Store

	// Logger gets one line per request at level Debug, and what went wrong.
	// Tokens, cookies and statements are never in it.
	Logger *slog.Logger

	// Version is shown by the API.
	Version Version

	// StatementTimeout ends statements, exports and pages of rows; default
	// one hour.
	StatementTimeout time.Duration

	// MaxValueBytes is the longest value that is read from the server;
	// default 256 MiB. One statement can hold so much in memory.
	MaxValueBytes int

	// MaxStatements is how many statements and exports run at once in one
	// session; default 20.
	MaxStatements int

	// MaxStatementsPerUser is how many of them one of Users runs at once, over
	// all sessions; default DefaultStatementsPerUser. The operator has no such
	// limit, and so has everybody where people are not told apart.
	MaxStatementsPerUser int
}

// DefaultStatementsPerUser leaves others room in a session, of what may run at
// once in it, and is more than the page asks for at once by itself.
const DefaultStatementsPerUser = 16

// Version says what program this is.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	API     string `json:"api"`
	Go      string `json:"go"`
}

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
	users   userHashes
	desks   *desk.Store
	metrics *metrics
	http    *http.Server

	streams atomic.Int64 // event streams that are open

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
		pools: newPools(), queries: newQueries(opts.MaxStatements, opts.MaxStatementsPerUser), tickets: newTickets(),
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

// NewLoginURL returns a URL that logs a browser in, once, and then shows the
// page at path ("/" or "" for the first). Each call makes a new token; those
// not used stay valid until newer ones push them out.
func (s *Server) NewLoginURL(path string) string {
	if s.opts.Listener == nil {
		return ""
	}
	scheme := "http://"
	if s.opts.TLS != nil {
		scheme = "https://"
	}
	return scheme + hostForBrowser(s.opts.Listener.Addr()) + "/auth?" + s.auth.newToken(path)
}

// hostForBrowser returns a host and port that a browser on this machine can
// open, also for a listener on all addresses.
func hostForBrowser(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String()
	}
	ip := tcp.IP
	if ip == nil || ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1)
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(tcp.Port))
}

// Drain waits until every event stream has ended by itself, as it does after
// the event that its session is closed, or until ctx is done. Called between
// the end of the sessions and Shutdown, it lets open pages hear of the end.
func (s *Server) Drain(ctx context.Context) {
	for s.streams.Load() > 0 {
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

type controlKey struct{}

// controlListener marks its connections, so that markControl knows them.
type controlListener struct{ net.Listener }

type controlConn struct{ net.Conn }

func (l controlListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return controlConn{c}, nil
}

func markControl(ctx context.Context, c net.Conn) context.Context {
	if _, ok := c.(controlConn); ok {
		return context.WithValue(ctx, controlKey{}, true)
	}
	return ctx
}

// IsControl says whether a request came over a control socket: from whoever may
// open it, which is root of the host, and not from the page.
func IsControl(ctx context.Context) bool { return isControl(ctx) }

func isControl(ctx context.Context) bool { return ctx.Value(controlKey{}) != nil }

// handler returns all routes behind the guard.
func (s *Server) handler() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(logWriter{s.log})
	e.HTTPErrorHandler = s.handleError
	e.Use(s.logRequests, s.recoverPanics, s.guard)
	e.GET("/auth", s.login)
	e.POST("/login", s.logIn)
	s.routes(e.Group("/api/v1"))
	e.GET("/*", s.serveAsset)
	e.HEAD("/*", s.serveAsset)
	return e
}

func (s *Server) routes(g *echo.Group) {
	g.GET("/healthz", s.getHealth)
	g.GET("/version", s.getVersion)
	g.GET("/openapi.yaml", s.getContract)

	g.GET("/me", s.getMe)
	g.GET("/queries", s.listSavedQueries)
	g.POST("/queries", s.saveQueries)
	g.PUT("/queries/:qid", s.replaceSavedQuery)
	g.DELETE("/queries/:qid", s.removeSavedQuery)
	g.GET("/history", s.listHistory)
	g.DELETE("/history", s.forgetHistory)
	g.GET("/history/:eid", s.getHistoryEntry)
	g.DELETE("/history/:eid", s.forgetHistoryEntry)
	g.GET("/sessions/:id/tabs", s.listTabs)
	g.PUT("/sessions/:id/tabs/:tab", s.putTab)
	g.DELETE("/sessions/:id/tabs/:tab", s.removeTab)

	g.GET("/catalogue", s.listCatalogue)
	g.POST("/catalogue/refresh", s.refreshCatalogue)
	g.GET("/catalogue/preflight", s.getPreflight)

	g.GET("/sessions", s.listSessions)
	g.POST("/sessions", s.openSession)
	g.GET("/sessions/:id", s.getSession)
	g.DELETE("/sessions/:id", s.owned(s.closeSession))
	g.GET("/sessions/:id/snapshot", s.getSnapshot)
	g.GET("/sessions/:id/events", s.streamEvents)

	g.GET("/sessions/:id/overlay", s.getOverlay)
	g.GET("/sessions/:id/growth", s.getGrowth)
	g.GET("/sessions/:id/growth/steps", s.getGrowthSteps)
	g.PUT("/sessions/:id/limit", s.owned(s.setLimit))
	g.PUT("/sessions/:id/time-to-live", s.owned(s.keepSession))
	g.GET("/sessions/:id/checkpoints", s.listCheckpoints)
	g.POST("/sessions/:id/checkpoints", s.owned(s.createCheckpoint))
	g.POST("/sessions/:id/forks", s.createFork)
	g.GET("/sessions/:id/layers", s.listLayers)
	g.DELETE("/sessions/:id/layers/:layer", s.owned(s.discardLayer))
	g.POST("/sessions/:id/layers/:layer/merge", s.owned(s.mergeLayer))
	g.GET("/sessions/:id/disk", s.getDisk)
	g.GET("/sessions/:id/disk/extents", s.getDiskExtents)

	g.GET("/sessions/:id/databases", s.listDatabases)
	db := g.Group("/sessions/:id/databases/:db")
	db.GET("/schemas", s.listSchemas)
	db.GET("/relations", s.listRelations)
	db.GET("/completion", s.getCompletion)
	db.GET("/search", s.searchDatabase)
	db.GET("/schemas/:schema/relations/:name", s.getRelationByName)
	db.GET("/relations/:oid", s.getRelation)
	db.GET("/relations/:oid/count", s.countRows)
	db.GET("/relations/:oid/rows", s.listRows)
	db.GET("/relations/:oid/cell", s.getCell)
	db.GET("/relations/:oid/facets", s.listFacets)
	db.GET("/objects", s.listObjects)
	db.GET("/objects/:kind/:oid", s.getObject)
	db.GET("/byte-columns", s.listByteColumns)
	db.GET("/large-objects", s.listLargeObjects)
	db.GET("/large-objects/:oid", s.getLargeObject)
	db.POST("/query", s.runQuery)
	db.POST("/export", s.runExport)
	db.POST("/exports", s.createExport)
	db.POST("/exports/preview", s.previewExport)
	db.POST("/dumps", s.createDump)
	g.GET("/sessions/:id/exports", s.listDownloads)
	g.GET("/sessions/:id/exports/:eid", s.downloadExport)
	g.DELETE("/sessions/:id/exports/:eid", s.cancelDownload)
	g.GET("/sessions/:id/queries", s.listQueries)
	g.DELETE("/sessions/:id/queries/:qid", s.cancelQuery)
}

// logRequests writes one line per request: never its query string, which may
// hold a token or values of rows.
func (s *Server) logRequests(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		defer s.settle(c)
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		s.log.LogAttrs(c.Request().Context(), slog.LevelDebug, "request",
			slog.String("method", c.Request().Method), slog.String("path", c.Request().URL.Path),
			slog.Int("status", c.Response().Status), slog.Int64("bytes", c.Response().Size),
			slog.Duration("took", time.Since(start)), slog.String("user", userOf(c)))
		if !isFirstAsk(c.Request().Context()) {
			s.metrics.request(c.Request().Method, c.Response().Status)
		}
		return nil
	}
}

func (s *Server) recoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if r := recover(); r != nil {
				if r == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
					panic(r)
				}
				s.log.Error("panic in a request", "path", c.Request().URL.Path, "panic", fmt.Sprint(r))
				err = problem(http.StatusInternalServerError, "internal", "snapview made a mistake; its log has the details")
			}
		}()
		return next(c)
	}
}

// logWriter sends echo's own messages to the log.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Warn("echo", "message", string(p))
	return len(p), nil
}
