package session

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/ext4"
)

// A watchedBase is the base with an eye on its errors: a backup that cannot be
// read for a while fails the requests of that while, and people are told when
// it begins and when it is over. It is over when what failed can be read: that
// is tried now and then, since nobody else may ask for it again, and since other
// places may be readable all the time.
type watchedBase struct {
	*ext4.Image
	notify func(message string)
	pause  time.Duration // before what failed is tried for the first time

	failing atomic.Bool
	close   sync.Once
	closed  chan struct{}
	trying  sync.WaitGroup
}

const (
	maxPause = 30 * time.Second // between trials; the pauses grow
	maxTried = 1 << 20          // bytes read in one
)

func newWatchedBase(image *ext4.Image, notify func(message string)) *watchedBase {
	return &watchedBase{Image: image, notify: notify, pause: time.Second, closed: make(chan struct{})}
}

var _ block.Reader = (*watchedBase)(nil)

func (b *watchedBase) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.Image.ReadAt(p, off)
	if n < len(p) && err != nil && !errors.Is(err, io.EOF) && b.failing.CompareAndSwap(false, true) {
		b.notify(fmt.Sprintf("the backup cannot be read: %v", err))
		at, length := off+int64(n), min(len(p)-n, maxTried)
		b.trying.Go(func() { b.try(at, length) })
	}
	return n, err
}

// try reads a range until that succeeds or the base is closed.
func (b *watchedBase) try(off int64, length int) {
	begin := time.Now()
	p := make([]byte, length)
	for pause := b.pause; ; pause = min(2*pause, maxPause) {
		select {
		case <-b.closed:
			return
		case <-time.After(pause):
		}
		if n, _ := b.Image.ReadAt(p, off); n == length {
			b.failing.Store(false)
			b.notify(fmt.Sprintf("the backup can be read again, after %v", time.Since(begin).Round(100*time.Millisecond)))
			return
		}
	}
}

// Close closes the image once nothing reads it on the base's own account. No
// read may begin any more.
func (b *watchedBase) Close() error {
	b.close.Do(func() { close(b.closed) })
	b.trying.Wait()
	return b.Image.Close()
}

// filesystemMetadata tells growth.Join where the base keeps its own blocks.
type filesystemMetadata struct{ end int64 }

func (m filesystemMetadata) MetadataAt(off int64) (string, int64, bool) {
	return "file system metadata", m.end, off < m.end
}
