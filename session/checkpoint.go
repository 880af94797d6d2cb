package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/snapview/snapview/cow"
)

// Checkpoint seals what the overlay holds now under a name and goes on above
// it. The file system is frozen for the moment that this takes, so that a disk
// of the checkpoint mounts clean; the server notices no more than a pause.
func (s *Session) Checkpoint(ctx context.Context, name string) (cow.LayerID, error) {
	p, state := s.get()
	if state != Ready || p.disk == nil {
		return cow.LayerID{}, ErrNotReady
	}
	if st, err := p.overlay.Stats(); err == nil && st.Holding > 0 {
		return cow.LayerID{}, fmt.Errorf("writes are held for want of room (%s), so the file system cannot come to rest: raise the limit first", st.HoldReason)
	}
	if err := p.disk.Freeze(); err != nil {
		return cow.LayerID{}, err
	}
	id, err := p.overlay.Checkpoint(name)
	return id, errors.Join(err, p.disk.Thaw())
}

// Layers lists the overlay's layers, parents before children; the last is the
// one being written.
func (s *Session) Layers() ([]cow.LayerInfo, error) {
	p, _ := s.get()
	if p.store == nil {
		return nil, ErrNotReady
	}
	return p.store.Layers()
}
