package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/snapview/snapview/cow"
)

// ErrHasChildren is returned for a layer that others lie over.
var ErrHasChildren = errors.New("other layers lie over it")

// Layers lists the layers of the session's disk, those of its forks among
// them, parents before children.
func (s *Session) Layers() ([]cow.LayerInfo, error) {
	p, _ := s.get()
	if p.store == nil {
		return nil, ErrNotReady
	}
	return p.store.Layers()
}

// Chain lists the layers that the session's disk is made of, the lowest first;
// the last is the one being written.
func (s *Session) Chain() ([]cow.LayerInfo, error) {
	return s.chainUpTo(s.Top())
}

// chainUpTo is Chain for any layer; none when there is no such layer.
func (s *Session) chainUpTo(id cow.LayerID) ([]cow.LayerInfo, error) {
	all, err := s.Layers()
	if err != nil {
		return nil, err
	}
	byID := make(map[cow.LayerID]cow.LayerInfo, len(all))
	for _, l := range all {
		byID[l.ID] = l
	}
	var chain []cow.LayerInfo
	for len(chain) <= len(all) {
		l, ok := byID[id]
		if !ok {
			break
		}
		chain = append(chain, l)
		id = l.Parent
	}
	slices.Reverse(chain)
	return chain, nil
}

// Top is the layer that the session writes; the zero LayerID while it has none.
func (s *Session) Top() cow.LayerID {
	p, state := s.get()
	if p.overlay == nil || state == Closed || state == Failed {
		return cow.LayerID{}
	}
	return p.overlay.Top()
}

// MergeLayer folds the layer below a checkpoint into it: that layer is gone,
// its name with it, and every disk stays as it is. progress, if given, is told
// how many bytes are copied. When ctx is done first, or the session is closed,
// the layers stay as they were.
func (s *Session) MergeLayer(ctx context.Context, id cow.LayerID, progress func(done, total int64)) error {
	p, state := s.get()
	if p.store == nil || state != Ready {
		return ErrNotReady
	}
	// The store stays until this is done.
	if err := p.laidOut.use(); err != nil {
		return ErrNotReady
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	err := p.store.Merge(ctx, id, progress)
	return errors.Join(err, p.laidOut.release())
}

// DiscardLayer removes a layer that no session needs; with branch also all
// that lie over it.
func (s *Session) DiscardLayer(id cow.LayerID, branch bool) error {
	p, state := s.get()
	if p.store == nil || state != Ready {
		return ErrNotReady
	}
	layers, err := p.store.Layers()
	if err != nil {
		return err
	}
	over := map[cow.LayerID]bool{id: true}
	for _, l := range layers { // parents come first
		if !over[l.ID] && !over[l.Parent] {
			continue
		}
		over[l.ID] = true
		if l.Open {
			if l.ID == id {
				return fmt.Errorf("layer %s: %w: a session writes it", id, cow.ErrInUse)
			}
			return fmt.Errorf("layer %s: %w: a session writes %s over it", id, cow.ErrInUse, l.ID)
		}
	}
	if n := len(over) - 1; n > 0 && !branch {
		return fmt.Errorf("layer %s: %w: %d in all, which go too only if you say so", id, ErrHasChildren, n)
	}
	return p.store.Discard(id)
}
