package nbdserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A conn is one client.
type conn struct {
	srv *Server
	nc  net.Conn // as accepted; closing it ends the connection
	// rw is nc or the TLS session on it.
	rw net.Conn
	// sock takes the place of both after the handshake if they are one.
	sock atomic.Pointer[socket]

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	// Set by the handshake, constant afterwards (exp is read by
	// RemoveExport meanwhile).
	exp        atomic.Pointer[export]
	structured bool
	splice     bool // READs may be sent by sendfile
	contexts   []metaContext

	mem      *budget
	out      *outbox
	reading  *crew
	changing *crew

	// turn and current belong to the role of reader: current is the reader
	// that the watcher would relieve, valid while the turn is odd.
	turn    turn
	current *reader

	// stuck counts the requests, by kind, with which a reader was relieved.
	// While there is one, others of its kind go to the workers, so that no
	// second reader gets stuck in the same way.
	stuck [2]atomic.Int32

	pending atomic.Int64  // requests taken from the client and not answered yet
	drained chan struct{} // closed when the reading has ended and pending is 0
	ended   atomic.Bool   // the reading has ended
	result  error         // why; valid once drained is closed
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, rw: nc, drained: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mem = s.memory.forConn(s.opts.ConnMemory)
	c.reading = newCrew(c, s.opts.Workers)
	c.changing = newCrew(c, s.opts.Workers)
	return c
}

// serve speaks with the client until it goes, and returns when no request of
// it is at the device any more.
func (c *conn) serve() error {
	defer c.cancel()
	defer c.nc.Close()
	rd := newReader(c)
	if err := c.handshake(rd); err != nil {
		if errors.Is(err, errGoodbye) {
			c.bye()
			return nil
		}
		return fmt.Errorf("nbd handshake: %w", err)
	}
	c.nc.SetDeadline(time.Time{}) //nolint:errcheck // fails only when closed, which reading tells better
	c.out = &outbox{to: c.rw, timeout: c.srv.opts.TransferTimeout, sent: c.sent}
	if sock := takeOver(c.rw); sock != nil {
		defer sock.close()
		c.sock.Store(sock)
		if c.ctx.Err() != nil {
			sock.cut() // abort may have come just before
		}
		c.out.sock = sock
		c.splice = c.exp.Load().files != nil
	}
	c.srv.watch.add(c)
	defer c.srv.watch.remove(c)

	c.pending.Add(1) // the role of reader counts as one, until it ends
	c.read(rd)
	<-c.drained
	close(c.reading.queue)
	close(c.changing.queue)
	if c.result == nil {
		c.bye()
		return nil
	}
	if err := c.out.failure(); err != nil {
		return fmt.Errorf("nbd: sending replies: %w", err)
	}
	return c.result
}

// bye closes the connection in order, which TLS distinguishes from a cut.
func (c *conn) bye() {
	if t, ok := c.rw.(*tls.Conn); ok {
		t.Close() //nolint:errcheck // the client may have gone first
	}
}

// abort cuts the connection. Whoever reads, sends or waits for memory is woken.
func (c *conn) abort() {
	c.cancel()
	c.nc.Close()
	if sock := c.sock.Load(); sock != nil {
		sock.cut()
	}
}

// end ends the role of reader. No further request is taken.
func (c *conn) end(err error) {
	c.result = err
	if err != nil {
		c.abort()
	}
	c.ended.Store(true)
	c.finish()
}

// sent is called by the outbox for every reply.
func (c *conn) sent(q *request) {
	if q.done != nil {
		q.done <- struct{}{} // a reader's batch, which has its own life
		return
	}
	putBuffer(q.buf)
	c.mem.release(q.grant)
	q.buf, q.out, q.grant, q.errno = nil, nil, grant{}, 0
	requestPool.Put(q)
	c.finish()
}

// finish counts one request less.
func (c *conn) finish() {
	if c.pending.Add(-1) == 0 {
		close(c.drained) // the role has ended: it counted as one
		return
	}
	if c.srv.draining.Load() && c.pending.Load() == 1 {
		c.wakeReader()
	}
}

// join counts one more request unless the last one has ended already.
func (c *conn) join() bool {
	for {
		n := c.pending.Load()
		if n == 0 {
			return false
		}
		if c.pending.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// drain asks the reader to end when nothing is pending. Shutdown calls it
// after draining is set.
func (c *conn) drain() { c.wakeReader() }

// wakeReader makes a reader that waits for the client look around.
func (c *conn) wakeReader() {
	c.setReadDeadline(time.Unix(1, 0)) //nolint:errcheck // fails only when closed, which wakes it too
}

func (c *conn) setReadDeadline(t time.Time) error {
	if sock := c.sock.Load(); sock != nil {
		return sock.SetReadDeadline(t)
	}
	return c.nc.SetReadDeadline(t)
}

// recv reads at least a byte from the client, or fails. It calls waiting before
// it waits for one.
func (c *conn) recv(p []byte, waiting func()) (int, error) {
	if sock := c.sock.Load(); sock != nil {
		return sock.Read(p, waiting)
	}
	waiting()
	return c.rw.Read(p)
}

// isTimeout tells an expired deadline from other errors.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// isTemporary tells a failure of accept(2) that passes.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// errGoodbye ends a connection in order: the client has taken its leave.
var errGoodbye = errors.New("client has taken its leave")

// goneQuietly reports whether err is how clients that do not take their leave
// go: by closing between two requests.
func goneQuietly(err error) bool { return errors.Is(err, io.EOF) }
