package session

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/ext4"
)

// A watchedBase is the base with an eye on its errors: a backup that cannot be
// read for a while fails the requests of that while, and people are told when
// it begins and when it is over.
type watchedBase struct {
	*ext4.Image
	notify func(message string)

	failing atomic.Bool
	since   atomic.Int64 // Unix nanoseconds
}

var _ block.Reader = (*watchedBase)(nil)

func (b *watchedBase) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.Image.ReadAt(p, off)
	switch {
	case n == len(p):
		if b.failing.Load() && b.failing.CompareAndSwap(true, false) {
			lasted := time.Since(time.Unix(0, b.since.Load())).Round(100 * time.Millisecond)
			b.notify(fmt.Sprintf("the backup can be read again, after %v", lasted))
		}
	case err != nil:
		if b.failing.CompareAndSwap(false, true) {
			b.since.Store(time.Now().UnixNano())
			b.notify(fmt.Sprintf("the backup cannot be read: %v", err))
		}
	}
	return n, err
}

// filesystemMetadata tells growth.Join where the base keeps its own blocks.
type filesystemMetadata struct{ end int64 }

func (m filesystemMetadata) MetadataAt(off int64) (string, int64, bool) {
	return "file system metadata", m.end, off < m.end
}
