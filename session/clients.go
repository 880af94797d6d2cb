package session

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/pgrunner/pgwatch"
)

// letClientsIn opens the ways by which psql and other clients reach the server:
// the socket that the session's Login names, and the endpoint on TCP. Where
// somebody listens to the statements, both are in front of the server's own
// socket.
func (s *Session) letClientsIn(server *pgrunner.Server) error {
	login := loginOf(server)
	statements := s.statements()
	if statements != nil {
		var err error
		server.Hear(statements)
		if login.SocketDir, err = s.watchedSocket(server, statements); err != nil {
			return fmt.Errorf("listening for PostgreSQL clients on a socket: %w", err)
		}
	}
	if err := s.ledger.update(func(r *Record) { r.Login = login }); err != nil {
		return err
	}
	if s.opts.PSQLListen == "" {
		return nil
	}
	endpoint, err := pgrunner.Listen(s.opts.PSQLListen, server.Socket(), statements)
	if err != nil {
		return fmt.Errorf("listening for PostgreSQL clients on %s: %w", s.opts.PSQLListen, err)
	}
	s.undo.add("stop the psql endpoint", closer(endpoint))
	s.with(func(p *parts) { p.endpoint = endpoint })
	return nil
}

// statements tells of what clients run in this session, if somebody listens.
func (s *Session) statements() pgrunner.Statements {
	if s.opts.Statements == nil {
		return nil
	}
	return func(remote string, st pgwatch.Statement) { s.opts.Statements(s.id, remote, st) }
}

// watchedSocket puts a socket in front of the server's own for the session's
// Login, and returns its folder.
func (s *Session) watchedSocket(server *pgrunner.Server, statements pgrunner.Statements) (string, error) {
	dir := filepath.Join(s.ledger.dir, sqlDir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	endpoint, err := pgrunner.ListenUnix(filepath.Join(dir, filepath.Base(server.Socket())), server.Socket(), statements)
	if err != nil {
		return "", err
	}
	s.undo.add("stop the psql socket", closer(endpoint))
	return dir, nil
}

func loginOf(server *pgrunner.Server) *Login {
	l := &Login{SocketDir: server.SocketDir(), Port: server.Port(), Role: server.Role(), Password: server.Password()}
	if databases := server.Databases(); len(databases) > 0 {
		l.Database = databases[0]
	}
	return l
}
