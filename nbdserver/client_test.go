package nbdserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// rawClient speaks the protocol byte by byte and fails the test on anything
// unexpected. It is for one goroutine.
type rawClient struct {
	t *testing.T
	net.Conn
}

// serveDevices starts a server with the exports and returns how to connect.
func serveDevices(t *testing.T, o Options, exports ...Export) (*Server, func() net.Conn) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range exports {
		if err := s.AddExport(e); err != nil {
			t.Fatal(err)
		}
	}
	return s, serveOn(t, s)
}

// serveOn serves s on a unix socket until the end of the test.
func serveOn(t *testing.T, s *Server) func() net.Conn {
	t.Helper()
	name := socketName(t)
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return func() net.Conn {
		t.Helper()
		nc, err := net.Dial("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		nc.SetDeadline(time.Now().Add(patience))
		return nc
	}
}

// socketName returns a short path: t.TempDir's may be too long for a socket.
func socketName(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nbd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir + "/s"
}

func (c *rawClient) send(parts ...any) {
	c.t.Helper()
	if _, err := c.Write(encode(parts...)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// encode puts integers in network order; strings and bytes as they are.
func encode(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		default:
			b, _ = binary.Append(b, binary.BigEndian, p)
		}
	}
	return b
}

func (c *rawClient) receive(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if k, err := io.ReadFull(c, b); err != nil {
		c.t.Fatalf("receive %d bytes: %v after %d", n, err, k)
	}
	return b
}

func (c *rawClient) expect(parts ...any) {
	c.t.Helper()
	want := encode(parts...)
	if got := c.receive(len(want)); !bytes.Equal(got, want) {
		c.t.Fatalf("received\n %x, want\n %x", got, want)
	}
}

// expectEnd waits for the server to hang up.
func (c *rawClient) expectEnd() {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) || len(b) > 0 {
		c.t.Fatalf("expected the end of the connection, got %x, %v", b, err)
	}
}

// greet takes the greeting and sends client flags.
func (c *rawClient) greet(flags uint32) {
	c.t.Helper()
	c.expect(protocol.NEGOTIATION_MAGIC_OLDSTYLE, protocol.NEGOTIATION_MAGIC_OPTION, uint16(3))
	c.send(flags)
}

func (c *rawClient) option(id uint32, data ...any) {
	c.t.Helper()
	b := encode(data...)
	c.send(protocol.NEGOTIATION_MAGIC_OPTION, id, uint32(len(b)), b)
}

// reply takes one option reply.
func (c *rawClient) reply(id uint32) (typ uint32, data []byte) {
	c.t.Helper()
	c.expect(protocol.NEGOTIATION_MAGIC_REPLY, id)
	b := c.receive(8)
	return binary.BigEndian.Uint32(b), c.receive(int(binary.BigEndian.Uint32(b[4:])))
}

// expectReply takes replies up to the last and checks its type. It returns the
// data of those before.
func (c *rawClient) expectReply(id, want uint32) [][]byte {
	c.t.Helper()
	var all [][]byte
	for {
		typ, data := c.reply(id)
		if typ == want {
			return all
		}
		if typ == protocol.NEGOTIATION_TYPE_REPLY_ACK || typ&(1<<31) != 0 {
			c.t.Fatalf("option %d: reply %#x (%s), want %#x", id, typ, data, want)
		}
		all = append(all, data)
	}
}

func goData(name string, infos ...uint16) []byte {
	b := encode(uint32(len(name)), name, uint16(len(infos)))
	for _, i := range infos {
		b = append(b, encode(i)...)
	}
	return b
}

// connect negotiates up to transmission.
func connect(t *testing.T, nc net.Conn, export string, structured bool, contexts ...string) *rawClient {
	t.Helper()
	c := &rawClient{t, nc}
	c.greet(clientFixedNewstyle | clientNoZeroes)
	if structured {
		c.option(optStructuredReply)
		c.expectReply(optStructuredReply, protocol.NEGOTIATION_TYPE_REPLY_ACK)
	}
	if len(contexts) > 0 {
		data := encode(uint32(len(export)), export, uint32(len(contexts)))
		for _, name := range contexts {
			data = append(data, encode(uint32(len(name)), name)...)
		}
		c.option(optSetMetaContext, data)
		c.expectReply(optSetMetaContext, protocol.NEGOTIATION_TYPE_REPLY_ACK)
	}
	c.option(protocol.NEGOTIATION_ID_OPTION_GO, goData(export))
	c.expectReply(protocol.NEGOTIATION_ID_OPTION_GO, protocol.NEGOTIATION_TYPE_REPLY_ACK)
	return c
}

func (c *rawClient) request(cmd, flags uint16, cookie uint64, off, n int64, payload ...any) {
	c.t.Helper()
	c.send(protocol.TRANSMISSION_MAGIC_REQUEST, flags, cmd, cookie, uint64(off), uint32(n), encode(payload...))
}

// expectSimple takes a simple reply.
func (c *rawClient) expectSimple(cookie uint64, errno uint32) {
	c.t.Helper()
	c.expect(protocol.TRANSMISSION_MAGIC_REPLY, errno, cookie)
}

// chunk takes one chunk of a structured reply.
func (c *rawClient) chunk(cookie uint64) (flags, typ uint16, data []byte) {
	c.t.Helper()
	c.expect(magicStructuredReply)
	b := c.receive(16)
	if got := binary.BigEndian.Uint64(b[4:]); got != cookie {
		c.t.Fatalf("chunk for request %d, want %d", got, cookie)
	}
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), c.receive(int(binary.BigEndian.Uint32(b[12:])))
}

// expectError takes an error chunk.
func (c *rawClient) expectError(cookie uint64, errno uint32) {
	c.t.Helper()
	flags, typ, data := c.chunk(cookie)
	if flags != replyFlagDone || typ != replyError || len(data) < 6 || binary.BigEndian.Uint32(data) != errno {
		c.t.Fatalf("chunk flags %#x type %#x %q, want error %d", flags, typ, data, errno)
	}
}

func (c *rawClient) disconnect() {
	c.t.Helper()
	c.request(protocol.TRANSMISSION_TYPE_REQUEST_DISC, 0, 0, 0, 0)
	c.expectEnd()
}

// A remote is a block.Device over the wire, with pipelined requests, so that
// the conformance suite of devices can judge the server.
type remote struct {
	nc         net.Conn
	size       int64
	structured bool

	send    sync.Mutex
	mu      sync.Mutex
	calls   map[uint64]*call
	cookie  uint64
	closed  bool
	failure error
	idle    sync.WaitGroup
}

type call struct {
	p     []byte
	errno uint32
	done  chan struct{}
}

func newRemote(t *testing.T, nc net.Conn, size int64, structured bool) *remote {
	t.Helper()
	connect(t, nc, "", structured)
	nc.SetDeadline(time.Time{})
	r := &remote{nc: nc, size: size, structured: structured, calls: make(map[uint64]*call)}
	go r.receive()
	return r
}

func (r *remote) receive() {
	err := r.receiveAll()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = err
	for k, c := range r.calls {
		c.errno = errnoShutdown
		close(c.done)
		delete(r.calls, k)
	}
}

func (r *remote) receiveAll() error {
	for {
		var head [16]byte
		if _, err := io.ReadFull(r.nc, head[:]); err != nil {
			return err
		}
		cookie := binary.BigEndian.Uint64(head[8:])
		r.mu.Lock()
		c := r.calls[cookie]
		delete(r.calls, cookie)
		r.mu.Unlock()
		if c == nil {
			return fmt.Errorf("reply to unknown request %d", cookie)
		}
		switch binary.BigEndian.Uint32(head[:]) {
		case protocol.TRANSMISSION_MAGIC_REPLY:
			c.errno = binary.BigEndian.Uint32(head[4:])
			if c.errno == 0 {
				if _, err := io.ReadFull(r.nc, c.p); err != nil {
					return err
				}
			}
		case magicStructuredReply:
			var n [4]byte
			if _, err := io.ReadFull(r.nc, n[:]); err != nil {
				return err
			}
			data := make([]byte, binary.BigEndian.Uint32(n[:]))
			if _, err := io.ReadFull(r.nc, data); err != nil {
				return err
			}
			switch typ := binary.BigEndian.Uint16(head[6:]); typ {
			case replyNone:
			case replyOffsetData:
				if copy(c.p, data[8:]) != len(c.p) || len(data) != 8+len(c.p) {
					return errors.New("data chunk of the wrong length")
				}
			case replyOffsetHole:
				clear(c.p)
			case replyError:
				c.errno = binary.BigEndian.Uint32(data)
			default:
				return fmt.Errorf("chunk type %#x", typ)
			}
		default:
			return fmt.Errorf("reply magic %x", head[:4])
		}
		close(c.done)
	}
}

func (r *remote) do(cmd, flags uint16, off, n int64, payload, p []byte) error {
	c := &call{p: p, done: make(chan struct{})}
	r.mu.Lock()
	if r.closed || r.failure != nil {
		defer r.mu.Unlock()
		if r.closed {
			return os.ErrClosed
		}
		return r.failure
	}
	r.idle.Add(1)
	defer r.idle.Done()
	r.cookie++
	cookie := r.cookie
	r.calls[cookie] = c
	r.mu.Unlock()
	r.send.Lock()
	_, err := r.nc.Write(encode(protocol.TRANSMISSION_MAGIC_REQUEST, flags, cmd, cookie, uint64(off), uint32(n), payload))
	r.send.Unlock()
	if err != nil {
		return err
	}
	<-c.done
	if c.errno != 0 {
		return syscall.Errno(c.errno)
	}
	return nil
}

func (r *remote) Size() int64 { return r.size }

func (r *remote) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, block.ErrRange
	}
	want := len(p)
	p = p[:max(0, min(int64(len(p)), r.size-off))]
	at := min(off, r.size)
	if err := r.do(protocol.TRANSMISSION_TYPE_REQUEST_READ, 0, at, int64(len(p)), nil, p); err != nil {
		return 0, err
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return len(p), nil
}

func (r *remote) WriteAt(p []byte, off int64) (int, error) {
	if err := r.do(protocol.TRANSMISSION_TYPE_REQUEST_WRITE, 0, off, int64(len(p)), p, nil); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (r *remote) Zero(off, n int64) error {
	if n < 0 || n > 1<<32-1 {
		return block.ErrRange
	}
	cmd := cmdTrim
	if off%2 == 0 {
		cmd = cmdWriteZeroes
	}
	return r.do(cmd, 0, off, n, nil, nil)
}

func (r *remote) Sync() error { return r.do(cmdFlush, 0, 0, 0, nil, nil) }

func (r *remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	go func() {
		r.idle.Wait()
		r.nc.Close()
	}()
	return nil
}

var _ block.Device = (*remote)(nil)
