package pgrunner

import (
	"context"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Server is a PostgreSQL that accepts connections. Its methods may be called
// concurrently.
type Server struct {
	c        Config
	p        Plan
	box      box
	role     string
	password string
	found    found
	changes  []string
	warnings []string

	statements Statements // of programs that Dump runs; may be nil

	stopping atomic.Bool
	stop     sync.Once
	stopErr  error
	done     chan struct{}
	err      error // once done is closed
}

func newServer(st *starter, password string) *Server {
	s := &Server{
		c: st.c, p: st.p, box: st.box,
		role: st.role, password: password, found: st.found,
		changes:  st.prep.changes,
		warnings: append(st.prep.warnings, st.found.warnings...),
		done:     make(chan struct{}),
	}
	go s.watch()
	return s
}

// watch waits for the end of the server, wanted or not.
func (s *Server) watch() {
	<-s.box.done()
	if !s.stopping.Load() {
		s.err = failure("run", readLog(s.LogPath(), 0), "it ended by itself: "+s.box.exit())
		s.c.Events(Event{Phase: "exited", Message: "PostgreSQL has ended by itself: " + s.box.exit()})
	}
	close(s.done)
}

// SocketDir returns the directory of the server's socket, on this host.
func (s *Server) SocketDir() string { return filepath.Dir(s.Socket()) }

// Port returns the port number in the socket's name.
func (s *Server) Port() int { return port }

// Socket returns the path of the socket, for Endpoint.
func (s *Server) Socket() string { return s.c.socketPath() }

// Role and Password are what clients log in with: the reader of a frozen
// server, the superuser of a writable one. No other role can log in.
func (s *Server) Role() string { return s.role }

// Password returns the role's password, generated for this server.
func (s *Server) Password() string { return s.password }

// DSN returns a libpq URL for database over the socket, with the password.
func (s *Server) DSN(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(s.role, s.password), Path: "/" + database,
		RawQuery: url.Values{"host": {s.SocketDir()}, "port": {strconv.Itoa(port)}}.Encode(),
	}
	return u.String()
}

// Databases lists the databases that accept connections, as they were found
// at recovery; the one to begin with comes first ("postgres", if there).
func (s *Server) Databases() []string { return slices.Clone(s.found.databases) }

// Version returns the server's version, such as "15.18 (Debian ...)".
func (s *Server) Version() string { return s.found.version }

// Writable says whether the server takes writes.
func (s *Server) Writable() bool { return s.c.Writable }

// Plan returns what runs the server.
func (s *Server) Plan() Plan { return s.p }

// PID returns the postmaster's process id on this host; with Docker, that of
// the container's first process, 0 if the engine runs elsewhere.
func (s *Server) PID() int { return s.box.pid() }

// Container returns the container's name, or "".
func (s *Server) Container() string { return s.box.container() }

// Changes lists what was changed in the data directory to make it start, for
// people: one sentence each.
func (s *Server) Changes() []string { return slices.Clone(s.changes) }

// Warnings lists what a reader of this server should know: what is missing,
// what may be wrong.
func (s *Server) Warnings() []string { return slices.Clone(s.warnings) }

// LogPath returns the server's log: both steps, one file.
func (s *Server) LogPath() string { return s.c.runPath("postgres.log") }

// LogTail returns the log's last n lines.
func (s *Server) LogTail(n int) []string {
	lines := readLog(s.LogPath(), 0)
	return lines[max(0, len(lines)-n):]
}

// Done is closed when the server has ended, wanted or not.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says, once Done is closed, why the server ended: nil if Stop was called.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Patience of the steps of Stop. A standby has nothing to write; a scratch
// server's shutdown checkpoint goes to an overlay that is thrown away.
const (
	fastPatience      = 10 * time.Second
	immediatePatience = 5 * time.Second
	killPatience      = 30 * time.Second
)

// Stop ends the server: fast shutdown, then immediate, then kill, each step
// sooner if ctx ends. It returns once nothing of it is left that could hold
// the mount. Calling it again is harmless.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() { s.stopErr = s.shutdown(ctx) })
	return s.stopErr
}

func (s *Server) shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	for _, step := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{{syscall.SIGINT, fastPatience}, {syscall.SIGQUIT, immediatePatience}} {
		select {
		case <-s.done:
			continue
		default:
		}
		// An error means that it is gone already, or will be killed.
		_ = s.box.signal(ctx, step.signal)
		select {
		case <-s.done:
		case <-time.After(step.patience):
		case <-ctx.Done():
		}
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), killPatience)
	defer cancel()
	return s.box.release(clean)
}
