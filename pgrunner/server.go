package pgrunner

import (
	"context"
	"errors"
)

// Choose decides what runs the server, pulling the image where it has to. It
// reads nothing of the data directory and may thus run while that is laid out.
func Choose(ctx context.Context, c Config) (*Plan, error) {
	return nil, errors.New("not written yet")
}

// Start prepares the data directory, recovers it and serves it. When it
// returns an error nothing is left running; the log stays in Config.RunDir.
func Start(ctx context.Context, p *Plan, c Config) (*Server, error) {
	return nil, errors.New("not written yet")
}

// Reclaim ends and removes what an earlier process recorded and left behind;
// what is gone, or is no longer what was recorded, is left alone. It waits
// until each resource has let go of its mounts.
func Reclaim(ctx context.Context, rs []Resource) error {
	return errors.New("not written yet")
}

// A Server is a PostgreSQL that accepts connections. Its methods may be called
// concurrently.
type Server struct{}

// SocketDir returns the directory of the server's socket, on this host.
func (s *Server) SocketDir() string { return "" }

// Port returns the port number in the socket's name.
func (s *Server) Port() int { return 0 }

// Socket returns the path of the socket, for Endpoint.
func (s *Server) Socket() string { return "" }

// Role and Password are what clients log in with: the reader of a frozen
// server, the superuser of a writable one. No other role can log in.
func (s *Server) Role() string { return "" }

// Password returns the role's password, generated for this server.
func (s *Server) Password() string { return "" }

// DSN returns a libpq URL for database over the socket, with the password.
func (s *Server) DSN(database string) string { return "" }

// Databases lists the databases that accept connections, as they were found
// at recovery; the one to begin with comes first ("postgres", if there).
func (s *Server) Databases() []string { return nil }

// Version returns the server's version, such as "15.18 (Debian ...)".
func (s *Server) Version() string { return "" }

// Writable says whether the server takes writes.
func (s *Server) Writable() bool { return false }

// Plan returns what runs the server.
func (s *Server) Plan() Plan { return Plan{} }

// PID returns the postmaster's process id on this host; with Docker, that of
// the container's first process, 0 if the engine runs elsewhere.
func (s *Server) PID() int { return 0 }

// Container returns the container's name, or "".
func (s *Server) Container() string { return "" }

// Changes lists what was changed in the data directory to make it start, for
// people: one sentence each.
func (s *Server) Changes() []string { return nil }

// LogPath returns the server's log: both steps, one file.
func (s *Server) LogPath() string { return "" }

// LogTail returns the log's last n lines.
func (s *Server) LogTail(n int) []string { return nil }

// Done is closed when the server has ended, wanted or not.
func (s *Server) Done() <-chan struct{} { return nil }

// Err says, once Done is closed, why the server ended: nil if Stop was called.
func (s *Server) Err() error { return nil }

// Stop ends the server: fast shutdown, then immediate, then kill, each step
// sooner if ctx ends. It returns once nothing of it is left that could hold
// the mount. Calling it again is harmless.
func (s *Server) Stop(ctx context.Context) error { return nil }
