package pgrunner

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapview/snapview/pgrunner/pgwatch"
)

// maxEndpointConnections bounds what an endpoint forwards at once. PostgreSQL
// has its own limit; this one bounds our descriptors.
const maxEndpointConnections = 200

// An Endpoint is a listener that forwards each connection to a server's unix
// socket, byte by byte: any PostgreSQL client works, and logs in with the
// server's Role and Password. Requests to cancel and to encrypt (declined, on a
// unix socket) go through as well. It reads nothing of the protocol, unless
// somebody wants to hear of the statements (pgwatch).
type Endpoint struct {
	l           net.Listener
	path        string
	statements  Statements
	open, total atomic.Int64
	wg          sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// Statements hears of the statements that clients of an endpoint ran, from
// several goroutines. remote is the client's address, "socket" on a unix socket.
type Statements func(remote string, st pgwatch.Statement)

// Listen opens an endpoint for the unix socket at path. addr is host:port on
// a loopback address (another is refused); port 0 picks a free one. statements
// may be nil.
func Listen(addr, path string, statements Statements) (*Endpoint, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", addr, err)
	}
	if host != "localhost" {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("listen on %q: the traffic is not encrypted, so use a loopback address such as 127.0.0.1 "+
				"(and ssh -L from elsewhere)", addr)
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return serveEndpoint(l, path, statements), nil
}

// ListenUnix opens an endpoint on a unix socket of its own, at addr, that only
// its owner may open.
func ListenUnix(addr, path string, statements Statements) (*Endpoint, error) {
	l, err := net.Listen("unix", addr)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(addr, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return serveEndpoint(l, path, statements), nil
}

func serveEndpoint(l net.Listener, path string, statements Statements) *Endpoint {
	e := &Endpoint{l: l, path: path, statements: statements, conns: map[net.Conn]struct{}{}}
	e.wg.Add(1)
	go e.accept()
	return e
}

// Addr returns the address listened on.
func (e *Endpoint) Addr() net.Addr { return e.l.Addr() }

// Connections returns how many are open now, and how many there have been.
func (e *Endpoint) Connections() (open, total int64) { return e.open.Load(), e.total.Load() }

func (e *Endpoint) accept() {
	defer e.wg.Done()
	for {
		c, err := e.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, as a rule: it may pass
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if e.open.Load() >= maxEndpointConnections || !e.hold(c) {
			_ = c.Close()
			continue
		}
		e.open.Add(1)
		e.total.Add(1)
		go e.forward(c)
	}
}

// hold registers a connection for Close, and its goroutine; false once closed.
func (e *Endpoint) hold(c net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.conns[c] = struct{}{}
	e.wg.Add(1)
	return true
}

// letGo closes a connection that hold took.
func (e *Endpoint) letGo(c net.Conn) {
	_ = c.Close()
	e.mu.Lock()
	delete(e.conns, c)
	e.mu.Unlock()
	e.wg.Done()
}

func (e *Endpoint) forward(client net.Conn) {
	defer e.letGo(client)
	defer e.open.Add(-1)
	server, err := net.Dial("unix", e.path)
	if err != nil {
		return // the client sees the connection close
	}
	if !e.hold(server) {
		_ = server.Close()
		return
	}
	defer e.letGo(server)
	if e.statements != nil {
		e.watched(client, server)
		return
	}
	// io.Copy between these two splices in the kernel. When one side has said
	// all it will say, the other must hear so and may still answer.
	half := make(chan struct{})
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.UnixConn).CloseWrite()
		close(half)
	}()
	_, _ = io.Copy(client, server)
	// The server has ended the session; nothing more can come of the client.
	_ = client.Close()
	<-half
}

// watched forwards as forward does, and reports the statements.
func (e *Endpoint) watched(client, server net.Conn) {
	remote := client.RemoteAddr().String()
	if client.RemoteAddr().Network() == "unix" {
		remote = "socket"
	}
	w := pgwatch.New(func(st pgwatch.Statement) { e.statements(remote, st) })
	half := make(chan error, 1)
	go func() {
		err := w.ToServer(server, client)
		if err != nil {
			_ = server.Close() // cut: the server must not go on with it
		} else {
			_ = server.(*net.UnixConn).CloseWrite()
		}
		half <- err
	}()
	err := w.ToClient(client, server)
	w.Stop()
	_ = client.Close()
	w.End(errors.Join(err, <-half))
}

// Close stops listening, cuts all connections and waits for their end.
// Calling it again is harmless.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	err := e.l.Close()
	for c := range e.conns {
		_ = c.Close()
	}
	e.mu.Unlock()
	e.wg.Wait()
	return err
}
