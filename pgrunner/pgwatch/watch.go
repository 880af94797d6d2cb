package pgwatch

import (
	"errors"
	"io"
	"sync"
	"time"
)

// Bounds on what one connection may make us remember. A client that has sent
// more messages than maxAhead which were not answered yet waits: that many
// answers are more than the server's output buffer (8 KiB) holds back, so the
// wait ends by itself. The others cut the connection.
const (
	maxAhead        = 4096
	maxNames        = 10_000   // prepared statements; portals
	maxHeld         = 16 << 20 // bytes of their texts and of those in the queue
	maxHeldStranger = 1 << 20  // the same before the client has logged in
)

// Why a connection is cut.
var (
	errEncrypted = errors.New("it is encrypted, so that its statements cannot be read")
	errProtocol  = errors.New("it speaks another protocol than 3")
	errTooMuch   = errors.New("it has prepared more than can be kept track of")
	errCopy      = errors.New("it sent other messages into a COPY")
	errLost      = errors.New("the server's answers do not fit what it was asked")
)

// A Watch follows one connection. Client and Server may be called at the same
// time, each by one goroutine.
type Watch struct {
	report func(Statement)
	client frames // Client's alone
	server frames // Server's alone
	answer answer // Server's alone

	talking bool // Server's alone: the first message has begun
	blind   bool // Server's alone: nothing is read any more

	mu   sync.Mutex
	room sync.Cond
	over bool
	connection
	queue
	names
}

// connection is what is known of it.
type connection struct {
	role, database, application string

	encryption int  // requests that the server has not answered
	authed     bool // the server has let the client in
	ready      bool // and said so
	copyIn     bool // the client is sending a COPY's data
	copied     int64
}

// New returns the watch over a connection that begins. report is called for
// every statement, one after the other, before the client hears of its end; it
// must not call the Watch.
func New(report func(Statement)) *Watch {
	w := &Watch{report: report, names: newNames()}
	w.room.L = &w.mu
	w.client.ruled, w.client.ended = w.clientRule, w.clientMessage
	w.server.ruled, w.server.ended = serverRule, w.serverMessage
	w.server.typed = true
	return w
}

// Client reads what the client sent, before it is passed on. It waits while the
// client is too far ahead of the server. After an error the connection must be
// cut, and these bytes not be passed on.
func (w *Watch) Client(p []byte) error {
	w.mu.Lock()
	for w.waiting() >= maxAhead && !w.over {
		w.room.Wait()
	}
	w.mu.Unlock()
	return w.client.feed(p)
}

// ToServer copies what the client sends to the server until its end, or until
// the connection must be cut, which the error says.
func (w *Watch) ToServer(server io.Writer, client io.Reader) error {
	return relay(server, client, 32<<10, w.Client)
}

// ToClient is the other direction.
func (w *Watch) ToClient(client io.Writer, server io.Reader) error {
	return relay(client, server, 64<<10, w.Server)
}

// relay returns an error of see alone: the ends of a connection are none.
func relay(dst io.Writer, src io.Reader, size int, see func([]byte) error) error {
	buf := make([]byte, size)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if err := see(buf[:n]); err != nil {
				return err
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return nil
			}
		}
		if err != nil {
			return nil
		}
	}
}

// Stop lets a client that waits go on, because nothing more comes of the server.
func (w *Watch) Stop() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.room.Broadcast()
}

// End reports what was not answered, after Client and Server have returned for
// the last time. why is the error that the connection was cut for, or nil.
func (w *Watch) End(why error) {
	w.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.authed {
		return // nothing was run, and strangers do not fill the log
	}
	w.flushCalls()
	for w.waiting() > 0 {
		it := w.pop()
		switch it.kind {
		case query, execute, function:
		default:
			continue
		}
		st := w.statement(&it)
		st.Ended = st.Failure == ""
		w.emit(st)
		w.nextAnswer()
	}
	if why != nil {
		now := time.Now()
		w.emit(Statement{
			Time: now, Role: w.role, Database: w.database, Application: w.application, Kind: KindQuery,
			SQL: "(the connection)", Failure: "snapview cut the connection: " + why.Error(),
		})
	}
}
