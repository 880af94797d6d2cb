package nbdserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ErrServerClosed is returned by Serve and ServeConn after Shutdown or Close.
var ErrServerClosed = errors.New("nbd: server closed")

// A Server serves exports to NBD clients. All methods may be called
// concurrently.
type Server struct {
	opts     Options
	memory   *budget
	watch    *watcher
	draining atomic.Bool

	mu        sync.Mutex
	exports   []*export
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	closed    bool
	idle      sync.Cond // on mu: a connection has gone
}

// New returns a server without exports. It fails if opts contradict
// themselves.
func New(opts Options) (*Server, error) {
	if opts.RequireTLS && opts.TLS == nil {
		return nil, errors.New("nbd: TLS is required but no certificate is configured")
	}
	s := &Server{
		opts:      opts.withDefaults(),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
	}
	s.memory = newBudget(s.opts.Memory)
	s.watch = newWatcher()
	s.idle.L = &s.mu
	return s, nil
}

// Serve accepts clients on l until Shutdown or Close, and then returns
// ErrServerClosed. Any other failure of l is returned as it is. l is closed in
// every case.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()

	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return ErrServerClosed
			}
			// Out of file descriptors and the like pass; a listener
			// that is gone does not come back.
			if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() || isTemporary(err) {
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				s.opts.Logger.Warn("nbd: accept failed, trying again", "err", err, "in", pause)
				time.Sleep(pause)
				continue
			}
			return fmt.Errorf("nbd: accept on %s: %w", l.Addr(), err)
		}
		pause = 0
		go s.ServeConn(nc) //nolint:errcheck // logged by ServeConn
	}
}

// ServeConn serves one client on nc and returns when it has gone: nil if it
// took its leave (or was disconnected in order), else why not. It closes nc.
func (s *Server) ServeConn(nc net.Conn) error {
	c, err := s.admit(nc)
	if err != nil {
		nc.Close()
		s.opts.Logger.Warn("nbd: client refused", "client", nc.RemoteAddr(), "err", err)
		return err
	}
	defer s.forget(c)
	err = c.serve()
	if err != nil && !s.isClosed() {
		s.opts.Logger.Warn("nbd: client disconnected", "client", nc.RemoteAddr(), "err", err)
	} else {
		s.opts.Logger.Debug("nbd: client gone", "client", nc.RemoteAddr())
	}
	return err
}

func (s *Server) admit(nc net.Conn) (*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrServerClosed
	}
	if len(s.conns) >= s.opts.MaxConnections {
		return nil, fmt.Errorf("nbd: already serving %d connections, the limit", len(s.conns))
	}
	c := newConn(s, nc)
	s.conns[c] = struct{}{}
	return c, nil
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.idle.Broadcast()
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Addrs returns the addresses that the server is listening on.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]net.Addr, 0, len(s.listeners))
	for l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// Connections returns how many clients are connected.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Shutdown takes no more clients, answers the requests that are at the device,
// refuses further ones with ESHUTDOWN, and disconnects each client when its
// last answer is sent. It returns nil when no request is left at any device,
// so that devices may be closed. When ctx ends first it disconnects everybody
// and returns the context's error; requests may then still be at a device.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.stopListening()
	for _, c := range s.snapshotConns() {
		c.drain()
	}
	stop := context.AfterFunc(ctx, func() {
		s.closeConns()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.idle.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("nbd: shutdown: %d clients left: %w", len(s.conns), err)
		}
		s.idle.Wait()
	}
	return nil
}

// Close disconnects everybody at once and returns without waiting for requests
// that are at a device; Shutdown afterwards waits for those. It may be called
// again.
func (s *Server) Close() error {
	s.draining.Store(true)
	err := s.stopListening()
	s.closeConns()
	return err
}

func (s *Server) stopListening() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for l := range s.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("nbd: close listener %s: %w", l.Addr(), err))
		}
		delete(s.listeners, l)
	}
	return errors.Join(errs...)
}

func (s *Server) snapshotConns() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	cs := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		cs = append(cs, c)
	}
	return cs
}

func (s *Server) closeConns() {
	for _, c := range s.snapshotConns() {
		c.abort()
	}
}
