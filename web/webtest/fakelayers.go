package webtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/snapview/snapview/web"
)

// Layers implements web.Session.
func (s *Session) Layers(context.Context) ([]web.Layer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.HasLayers {
		return nil, web.ErrNotSupported
	}
	list := make([]web.Layer, 0, len(s.checkpoints))
	for _, c := range s.checkpoints {
		list = append(list, web.Layer{
			ID: c.ID, Parent: c.Parent, Name: c.Name, Sealed: true, Current: true,
			CreatedAt: c.CreatedAt, SealedAt: &c.CreatedAt, OverlayBytes: c.OverlayBytes,
		})
	}
	return list, nil
}

// MergeLayer implements web.Session.
func (s *Session) MergeLayer(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.layer(id)
	if err != nil {
		return err
	}
	if i == 0 {
		return fmt.Errorf("layer %s: %w: there is no layer below it", id, web.ErrConflict)
	}
	s.checkpoints[i].OverlayBytes += s.checkpoints[i-1].OverlayBytes
	s.checkpoints[i].Parent = s.checkpoints[i-1].Parent
	s.checkpoints = slices.Delete(s.checkpoints, i-1, i)
	return nil
}

// DiscardLayer implements web.Session.
func (s *Session) DiscardLayer(_ context.Context, id string, branch bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.layer(id)
	if err != nil {
		return err
	}
	if i < len(s.checkpoints)-1 && !branch {
		return fmt.Errorf("layer %s: %w: other layers lie over it", id, web.ErrConflict)
	}
	s.checkpoints = s.checkpoints[:i]
	return nil
}

// layer finds a layer. The caller holds s.mu.
func (s *Session) layer(id string) (int, error) {
	if !s.HasLayers {
		return 0, web.ErrNotSupported
	}
	i := slices.IndexFunc(s.checkpoints, func(c web.Checkpoint) bool { return c.ID == id })
	if i < 0 {
		return 0, fmt.Errorf("layer %q: %w", id, web.ErrNotFound)
	}
	return i, nil
}

// Disk implements web.Session: a disk of DiskSize bytes with data at its begin
// and in its middle.
func (s *Session) Disk(_ context.Context, checkpoint string) (web.Disk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if checkpoint != "base" {
		if _, err := s.layer(checkpoint); err != nil {
			return nil, err
		}
	}
	content := make([]byte, DiskSize)
	copy(content, "begin of "+checkpoint)
	copy(content[DiskSize/2:], "middle of "+checkpoint)
	return fakeDisk{bytes.NewReader(content)}, nil
}

// DiskSize is the size of every session's disk, in bytes.
const DiskSize = 1 << 20

type fakeDisk struct{ *bytes.Reader }

func (fakeDisk) Close() error { return nil }

func (fakeDisk) Data(yield func(off, n int64) bool) error {
	_ = yield(0, 4096) && yield(DiskSize/2, 4096)
	return nil
}

// WriteQcow2 writes a header and no more.
func (d fakeDisk) WriteQcow2(w io.Writer) error {
	_, err := io.WriteString(w, "QFI\xfb")
	return err
}
