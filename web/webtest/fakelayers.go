package webtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/snapview/snapview/web"
)

// tree is what a session shares with its forks.
type tree struct {
	mu     sync.Mutex
	layers []web.Layer // parents first
	made   int
}

// top returns the layer that a session writes.
func (t *tree) top(session string) *web.Layer {
	for i := range t.layers {
		if t.layers[i].Session == session {
			return &t.layers[i]
		}
	}
	return nil
}

func (t *tree) find(id string) *web.Layer {
	for i := range t.layers {
		if t.layers[i].ID == id {
			return &t.layers[i]
		}
	}
	return nil
}

// add puts a layer of a session's own over another.
func (t *tree) add(session, over string) {
	t.made++
	t.layers = append(t.layers, web.Layer{ID: fmt.Sprintf("t%d", t.made), Parent: over, Session: session, CreatedAt: time.Now().UTC()})
}

// seal makes a session's top a checkpoint and goes on above it.
func (t *tree) seal(session, name string, bytes int64) web.Layer {
	top := t.top(session)
	now := time.Now().UTC()
	sealed := 1
	for _, l := range t.layers {
		if l.Sealed {
			sealed++
		}
	}
	for t.find(fmt.Sprintf("c%d", sealed)) != nil {
		sealed++
	}
	top.ID, top.Name, top.Sealed, top.Session, top.SealedAt, top.OverlayBytes = fmt.Sprintf("c%d", sealed), name, true, "", &now, bytes
	made := *top
	t.add(session, made.ID)
	return made
}

// chain are the ids of a layer and of those below it, the lowest first.
func (t *tree) chain(id string) (ids []string) {
	for l := t.find(id); l != nil; l = t.find(l.Parent) {
		ids = append([]string{l.ID}, ids...)
	}
	return ids
}

// Layers implements web.Session.
func (s *Session) Layers(context.Context) ([]web.Layer, error) {
	if !s.HasLayers {
		return nil, web.ErrNotSupported
	}
	t := s.layers()
	defer t.mu.Unlock()
	if t.top(s.id) == nil {
		return nil, web.ErrNotReady
	}
	current := t.chain(t.top(s.id).ID)
	list := slices.Clone(t.layers)
	for i := range list {
		list[i].Current = slices.Contains(current, list[i].ID)
	}
	return list, nil
}

// layers returns the session's layers, locked.
func (s *Session) layers() *tree {
	s.mu.Lock()
	if s.tree == nil {
		s.tree = &tree{}
		s.tree.add(s.id, "")
	}
	t := s.tree
	s.mu.Unlock()
	t.mu.Lock()
	return t
}

// Checkpoints implements web.Session.
func (s *Session) Checkpoints(ctx context.Context) ([]web.Checkpoint, error) {
	layers, err := s.Layers(ctx)
	list := []web.Checkpoint{}
	for _, l := range layers {
		if l.Sealed && l.Current {
			list = append(list, checkpointOf(l))
		}
	}
	return list, err
}

func checkpointOf(l web.Layer) web.Checkpoint {
	return web.Checkpoint{ID: l.ID, Name: l.Name, Parent: l.Parent, CreatedAt: *l.SealedAt, OverlayBytes: l.OverlayBytes}
}

// Checkpoint implements web.Session.
func (s *Session) Checkpoint(_ context.Context, name string) (web.Checkpoint, error) {
	if !s.HasLayers {
		return web.Checkpoint{}, web.ErrNotSupported
	}
	bytes := s.Info().Stats.OverlayBytes
	t := s.layers()
	defer t.mu.Unlock()
	if t.top(s.id) == nil {
		return web.Checkpoint{}, web.ErrNotReady
	}
	return checkpointOf(t.seal(s.id, name, bytes)), nil
}

// Fork implements web.Session.
func (s *Session) Fork(_ context.Context, opts web.ForkOptions) (web.Session, error) {
	if !s.HasLayers {
		return nil, web.ErrNotSupported
	}
	t := s.layers()
	defer t.mu.Unlock()
	if t.top(s.id) == nil {
		return nil, web.ErrNotReady
	}
	from := opts.Checkpoint
	switch {
	case from == "":
		from = t.seal(s.id, "", 0).ID
	case from == "base":
		from = ""
	default:
		if l := t.find(from); l == nil {
			return nil, fmt.Errorf("checkpoint %q: %w", from, web.ErrNotFound)
		}
	}
	fork := NewSession(fmt.Sprintf("%s-f%d", s.id, t.made), s.DSNs)
	fork.HasLayers, fork.tree = true, t
	fork.info.Writable, fork.info.Parent = opts.Writable, s.id
	if opts.Name != "" {
		fork.info.Name = opts.Name
	}
	if opts.Owner != "" {
		fork.info.Owner = opts.Owner
	}
	t.add(fork.id, from)
	if s.sessions != nil {
		s.sessions.Add(fork)
	}
	return fork, nil
}

// MergeLayer implements web.Session. It takes MergeTime.
func (s *Session) MergeLayer(ctx context.Context, id string, progress func(done, total int64)) error {
	if !s.HasLayers {
		return web.ErrNotSupported
	}
	t := s.layers()
	l := t.find(id)
	var err error
	switch {
	case l == nil:
		err = fmt.Errorf("layer %q: %w", id, web.ErrNotFound)
	case !l.Sealed || l.Parent == "":
		err = fmt.Errorf("layer %s: %w: there is no layer below it", id, web.ErrConflict)
	default:
		for _, other := range t.layers {
			if other.Parent == l.Parent && other.ID != id {
				err = fmt.Errorf("layer %s: %w: its parent has other layers above it", id, web.ErrConflict)
			}
		}
	}
	t.mu.Unlock()
	if err != nil {
		return err
	}
	const steps, total = 20, 20 << 20
	for i := range int64(steps) {
		if progress != nil {
			progress(i*total/steps, total)
		}
		select {
		case <-time.After(s.MergeTime / steps):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if progress != nil {
		progress(total, total)
	}
	t = s.layers()
	defer t.mu.Unlock()
	if l = t.find(id); l == nil || t.find(l.Parent) == nil {
		return fmt.Errorf("layer %q: %w", id, web.ErrNotFound)
	}
	below := *t.find(l.Parent)
	l.OverlayBytes += below.OverlayBytes
	l.Parent = below.Parent
	t.layers = slices.DeleteFunc(t.layers, func(l web.Layer) bool { return l.ID == below.ID })
	return nil
}

// DiscardLayer implements web.Session.
func (s *Session) DiscardLayer(_ context.Context, id string, branch bool) error {
	if !s.HasLayers {
		return web.ErrNotSupported
	}
	t := s.layers()
	defer t.mu.Unlock()
	if t.find(id) == nil {
		return fmt.Errorf("layer %q: %w", id, web.ErrNotFound)
	}
	over := 0
	for _, l := range t.layers {
		if !slices.Contains(t.chain(l.ID), id) {
			continue
		}
		if l.Session != "" {
			return fmt.Errorf("layer %s: %w: in use: session %s writes over it", id, web.ErrConflict, l.Session)
		}
		if l.ID != id {
			over++
		}
	}
	if over > 0 && !branch {
		return fmt.Errorf("layer %s: %w: other layers lie over it", id, web.ErrConflict)
	}
	var gone []string
	for _, l := range t.layers {
		if slices.Contains(t.chain(l.ID), id) {
			gone = append(gone, l.ID)
		}
	}
	t.layers = slices.DeleteFunc(t.layers, func(l web.Layer) bool { return slices.Contains(gone, l.ID) })
	return nil
}

// closeLayers drops the layer of a session that is closed.
func (s *Session) closeLayers() {
	t := s.layers()
	defer t.mu.Unlock()
	t.layers = slices.DeleteFunc(t.layers, func(l web.Layer) bool { return l.Session == s.id })
}

// Disk implements web.Session: a disk of DiskSize bytes with data at its begin
// and in its middle.
func (s *Session) Disk(_ context.Context, checkpoint string) (web.Disk, error) {
	t := s.layers()
	defer t.mu.Unlock()
	if l := t.find(checkpoint); checkpoint != "base" && (l == nil || !l.Sealed) {
		return nil, fmt.Errorf("checkpoint %q: %w", checkpoint, web.ErrNotFound)
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
