package pgrunner

import (
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestEndpointRefusesOpenAddresses(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:5432", "example.org:5432", "127.0.0.1"} {
		if e, err := Listen(addr, "/nowhere", nil); err == nil {
			t.Errorf("listens on %s", e.Addr())
			_ = e.Close()
		}
	}
}

func TestEndpoint(t *testing.T) {
	path := filepath.Join(tempDir(t), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // answers once all is said
				defer c.Close()
				b, _ := io.ReadAll(c)
				_, _ = c.Write(append([]byte("heard "), b...))
			}()
		}
	}()
	e, err := Listen("127.0.0.1:0", path, nil)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() *net.TCPConn {
		c, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		return c.(*net.TCPConn)
	}
	c := dial()
	_, _ = c.Write([]byte("hello"))
	_ = c.CloseWrite()
	if b, err := io.ReadAll(c); string(b) != "heard hello" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	_ = c.Close()

	idle := dial()
	defer idle.Close()
	for {
		if open, total := e.Connections(); open == 1 && total == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error("second Close:", err)
	}
	if open, _ := e.Connections(); open != 0 {
		t.Errorf("%d connections after Close", open)
	}
	if b, err := io.ReadAll(idle); len(b) != 0 {
		t.Errorf("read %q, %v after Close", b, err)
	}
	if c, err := net.Dial("tcp", e.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("still listens")
	}
}
