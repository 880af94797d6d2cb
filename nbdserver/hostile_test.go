package nbdserver

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
)

func TestConnections_AreLimited(t *testing.T) {
	s, dial := serveDevices(t, Options{MaxConnections: 2}, Export{Device: block.NewMemory(512)})
	a, b := connect(t, dial(), "", false), connect(t, dial(), "", false)
	(&rawClient{t, dial()}).expectEnd()
	a.disconnect()
	eventually(t, "room for another client", func() bool { return s.Connections() == 1 })
	c := connect(t, dial(), "", false)
	c.disconnect()
	b.disconnect()
}

func TestTransfer_ASlowPayloadEndsTheConnection(t *testing.T) {
	for name, n := range map[string]int64{"Small": 4096, "Large": 1 << 20, "Refused": MaxPayload + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, dial := serveDevices(t, Options{TransferTimeout: time.Second}, Export{Device: block.NewMemory(64 << 20)})
			c := connect(t, dial(), "", false)
			// An idle client is not slow.
			time.Sleep(2500 * time.Millisecond)
			c.request(cmdRead, 0, 1, 0, 8)
			c.expectSimple(1, 0)
			c.receive(8)
			c.request(cmdWrite, 0, 2, 0, n, "the beginning only")
			c.expectEnd()
		})
	}
}

func TestTransfer_AnIdleClientAfterALargeWriteIsKept(t *testing.T) {
	t.Parallel()
	_, dial := serveDevices(t, Options{TransferTimeout: time.Second}, Export{Device: block.NewMemory(1 << 20)})
	c := connect(t, dial(), "", false)
	for i := range 2 {
		c.request(cmdWrite, 0, uint64(i), 0, 1<<20, make([]byte, 1<<20))
		c.expectSimple(uint64(i), 0)
		time.Sleep(2500 * time.Millisecond) // past any deadline that was set
	}
	c.disconnect()
}

func TestTransfer_AClientThatTakesNoRepliesIsDisconnected(t *testing.T) {
	s, dial := serveDevices(t, Options{TransferTimeout: 50 * time.Millisecond}, Export{Device: block.NewMemory(64 << 20)})
	c := connect(t, dial(), "", false)
	go func() {
		for { // until the server has had enough
			if _, err := c.Write(encode(protocol.TRANSMISSION_MAGIC_REQUEST, uint16(0), cmdRead, uint64(0), uint64(0), uint32(8<<20))); err != nil {
				return
			}
		}
	}()
	eventually(t, "the server to give up", func() bool { return s.Connections() == 0 })
}

// A server full of clients that ask for everything and take nothing holds no
// more than its budget, and others are served.
func TestMemory_IsBoundedAndSmallRequestsOfOthersGoOn(t *testing.T) {
	const limit = 96 << 20
	dev := &largest{Device: block.NewMemory(1 << 30)}
	_, dial := serveDevices(t, Options{Memory: limit, ConnMemory: 40 << 20}, Export{Device: struct{ block.Device }{dev}})
	half := make([]byte, MaxPayload/2)
	for range 8 {
		c := connect(t, dial(), "", false)
		go func() {
			// Half a WRITE of the largest size, after READs of it.
			for i := range 10 {
				c.Write(encode(protocol.TRANSMISSION_MAGIC_REQUEST, uint16(0), cmdRead, uint64(i), uint64(0), uint32(MaxPayload)))
			}
			c.Write(encode(protocol.TRANSMISSION_MAGIC_REQUEST, uint16(0), cmdWrite, uint64(99), uint64(0), uint32(MaxPayload)))
			c.Write(half)
		}()
	}
	eventually(t, "the budget to be in use", func() bool { return dev.reads.Load() >= 2 })
	c := connect(t, dial(), "", false)
	for i := range 100 {
		c.request(cmdRead, 0, uint64(i), 0, 128<<10)
		c.expectSimple(uint64(i), 0)
		c.receive(128 << 10)
		c.request(cmdWrite, 0, uint64(i), 0, 128<<10, make([]byte, 128<<10))
		c.expectSimple(uint64(i), 0)
	}
	if n := dev.reads.Load(); n > limit/MaxPayload {
		t.Errorf("%d reads of %d bytes were begun with a budget of %d", n, MaxPayload, limit)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 2*limit {
		t.Errorf("%d MiB on the heap with a budget of %d MiB", m.HeapAlloc>>20, limit>>20)
	}
}

// largest counts the largest reads.
type largest struct {
	block.Device
	reads atomic.Int64
}

func (l *largest) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == MaxPayload {
		l.reads.Add(1)
	}
	return l.Device.ReadAt(p, off)
}

func TestTransmission_EndsWhereTheStreamCannotBeTrusted(t *testing.T) {
	_, dial := serveDevices(t, Options{}, Export{Device: block.NewMemory(1 << 20)})
	for what, send := range map[string][]any{
		"wrong magic":   {make([]byte, requestSize)},
		"endless WRITE": {protocol.TRANSMISSION_MAGIC_REQUEST, uint16(0), cmdWrite, uint64(0), uint64(0), uint32(1<<32 - 1)},
	} {
		t.Log(what)
		c := connect(t, dial(), "", false)
		c.send(send...)
		c.expectEnd()
	}
}

func TestClients_ThatHangUpAnywhereLeaveNothing(t *testing.T) {
	s, dial := serveDevices(t, Options{}, Export{Device: block.NewMemory(1 << 20)})
	stream := encode(clientFixedNewstyle|clientNoZeroes,
		protocol.NEGOTIATION_MAGIC_OPTION, optStructuredReply, uint32(0),
		protocol.NEGOTIATION_MAGIC_OPTION, optGo, uint32(6), goData(""),
		protocol.TRANSMISSION_MAGIC_REQUEST, uint16(0), cmdRead, uint64(1), uint64(0), uint32(100),
		protocol.TRANSMISSION_MAGIC_REQUEST, uint16(0), cmdWrite, uint64(2), uint64(0), uint32(10), "0123456789")
	for n := range stream {
		nc := dial()
		nc.Write(stream[:n])
		if n%2 == 0 {
			nc.(*net.UnixConn).CloseWrite()
			io.Copy(io.Discard, nc)
		}
		nc.Close()
	}
	eventually(t, "all connections to end", func() bool { return s.Connections() == 0 })
	connect(t, dial(), "", false).disconnect()
}

func TestServeConn_TellsWhyAClientWent(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddExport(Export{Device: block.NewMemory(512)}); err != nil {
		t.Fatal(err)
	}
	serve := func(talk func(*rawClient)) error {
		here, there := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- s.ServeConn(there) }()
		here.SetDeadline(time.Now().Add(patience))
		talk(&rawClient{t, here})
		here.Close()
		return <-done
	}
	if err := serve(func(c *rawClient) { connect(t, c.Conn, "", true).disconnect() }); err != nil {
		t.Errorf("orderly: %v", err)
	}
	if err := serve(func(c *rawClient) { connect(t, c.Conn, "", true) }); err != nil {
		t.Errorf("hung up between requests: %v", err)
	}
	if err := serve(func(c *rawClient) { connect(t, c.Conn, "", true).send("half a request") }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("hung up inside a request: %v", err)
	}
	s.Close()
	if err := serve(func(*rawClient) {}); !errors.Is(err, ErrServerClosed) {
		t.Errorf("after Close: %v", err)
	}
}
