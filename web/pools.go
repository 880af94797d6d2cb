package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"
)

// catalogTimeout ends statements of our own, on the catalogue.
const catalogTimeout = time.Minute

// pools keeps one small pool of connections per session and database for the
// statements on the catalogue, which this package writes itself. Rows are never
// read on them (gate.go).
type pools struct {
	mu     sync.Mutex
	open   map[poolKey]*pool
	closed bool
}

type poolKey struct{ session, database string }

type pool struct {
	*pgxpool.Pool
	dsn  string
	used time.Time // last
}

// maxPools is more than the databases that people look at within a minute.
const maxPools = 64

func newPools() *pools { return &pools{open: make(map[poolKey]*pool)} }

// get returns the pool for a database of a session. When the session's server
// was replaced the old pool is dropped.
func (p *pools) get(session Session, database string) (*pgxpool.Pool, error) {
	key := poolKey{session.Info().ID, database}
	dsn, err := session.DSN(database)
	if err != nil {
		p.closeSession(key.session) // torn down by other means than ours
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrNotReady
	}
	if have := p.open[key]; have != nil {
		if have.dsn == dsn {
			have.used = time.Now()
			return have.Pool, nil
		}
		delete(p.open, key)
		go have.Close()
	}
	p.makeRoom()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The error would show the password.
		return nil, fmt.Errorf("the session's connection string for database %q cannot be parsed", database)
	}
	setUp(&config.ConnConfig.Config)
	config.MaxConns, config.MinConns = 6, 0
	config.MaxConnIdleTime = time.Minute
	config.HealthCheckPeriod = 30 * time.Second
	made, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	p.open[key] = &pool{Pool: made, dsn: dsn, used: time.Now()}
	return made, nil
}

// makeRoom drops the pool that was used longest ago, of those that nobody uses
// now, when there are many: any name of a database gets one, whether there is such
// a database or not. p.mu is held.
func (p *pools) makeRoom() {
	if len(p.open) < maxPools {
		return
	}
	var oldest poolKey
	var found *pool
	for key, have := range p.open {
		if (found == nil || have.used.Before(found.used)) && have.Stat().AcquiredConns() == 0 {
			oldest, found = key, have
		}
	}
	if found != nil {
		delete(p.open, oldest)
		go found.Close()
	}
}

func (p *pools) closeSession(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, have := range p.open {
		if key.session == id {
			delete(p.open, key)
			// Waits for statements that run, which are cancelled elsewhere.
			go have.Close()
		}
	}
}

func (p *pools) closeAll() {
	p.mu.Lock()
	open := p.open
	p.open, p.closed = nil, true
	p.mu.Unlock()
	for _, have := range open {
		have.Close()
	}
}

// setUp makes a connection as the API wants it: text of values is the same on
// every host and loses nothing, nothing is written, and a cancelled context
// cancels the statement in the server too.
func setUp(config *pgconn.Config) {
	for name, value := range map[string]string{
		"application_name":                    "snapview",
		"default_transaction_read_only":       "on",
		"client_encoding":                     "UTF8",
		"DateStyle":                           "ISO, YMD",
		"IntervalStyle":                       "postgres",
		"extra_float_digits":                  "3",
		"bytea_output":                        "hex",
		"idle_in_transaction_session_timeout": "0",
	} {
		config.RuntimeParams[name] = value
	}
	config.ConnectTimeout = 20 * time.Second
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 5 * time.Second}
	}
}

// database returns the session and the pool that the path names.
func (s *Server) database(c echo.Context) (Session, *pgxpool.Pool, error) {
	session, err := s.session(c)
	if err != nil {
		return nil, nil, err
	}
	pool, err := s.pools.get(session, param(c, "db"))
	return session, pool, err
}

// catalogContext bounds a request that only asks the catalogue.
func catalogContext(c echo.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(c.Request().Context(), catalogTimeout, errDeadline)
}
