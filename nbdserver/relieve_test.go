package nbdserver

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
)

// stuckDevice keeps a write until it is let go.
type stuckDevice struct {
	block.Device
	release chan struct{}
}

func (s *stuckDevice) WriteAt(p []byte, off int64) (int, error) {
	<-s.release
	return s.Device.WriteAt(p, off)
}

// A stuck request may end as soon as its reader is relieved, before there is a
// new reader. It must have been counted by then: else the connection's count
// reaches zero and the connection ends.
func TestRelieve_ARequestThatEndsAtOnceIsCounted(t *testing.T) {
	for _, size := range []int{512, directMin} { // written from the input buffer, and from one of its own
		dev := &stuckDevice{Device: block.NewMemory(1 << 20), release: make(chan struct{})}
		srv, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		var relieved atomic.Int32
		answered := make(chan struct{})
		srv.watch.relieved = func(c *conn) {
			if relieved.Add(1) > 1 {
				return
			}
			close(dev.release)
			select {
			case <-answered:
			case <-time.After(patience):
			}
			// The reply is counted while it is being sent.
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				c.out.mu.Lock()
				sending := c.out.sending
				c.out.mu.Unlock()
				if !sending {
					break
				}
			}
		}
		if err := srv.AddExport(Export{Device: dev}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, serveOn(t, srv)(), "", false)
		for cookie := range uint64(3) {
			c.request(protocol.TRANSMISSION_TYPE_REQUEST_WRITE, 0, cookie, 0, int64(size), make([]byte, size))
			c.expectSimple(cookie, 0)
			if cookie == 0 {
				close(answered)
			}
		}
		if relieved.Load() == 0 {
			t.Error("nobody was relieved: the test does not test")
		}
		c.disconnect()
	}
}
