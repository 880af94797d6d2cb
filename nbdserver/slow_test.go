package nbdserver

import (
	"sync/atomic"
	"time"

	"github.com/snapview/snapview/block"
)

// slowDevice takes longer than the watcher waits for every tenth operation.
type slowDevice struct {
	block.Device
	n atomic.Int64
}

func (s *slowDevice) delay() {
	if s.n.Add(1)%10 == 0 {
		time.Sleep(3 * watchTick)
	}
}

func (s *slowDevice) ReadAt(p []byte, off int64) (int, error) {
	s.delay()
	return s.Device.ReadAt(p, off)
}

func (s *slowDevice) WriteAt(p []byte, off int64) (int, error) {
	s.delay()
	return s.Device.WriteAt(p, off)
}
