package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/web"
)

// layerID reads the id of a layer; empty and "base" are the base.
func layerID(text string) (cow.LayerID, error) {
	id, err := cow.ParseLayerID(text)
	if err != nil {
		return id, fmt.Errorf("checkpoint %q: %w", text, web.ErrNotFound)
	}
	return id, nil
}

// layerError is an error about a layer in the words of the API.
func layerError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, session.ErrNotReady):
		return web.ErrNotReady
	case errors.Is(err, cow.ErrNotFound):
		return fmt.Errorf("%w: %w", web.ErrNotFound, err)
	case errors.Is(err, cow.ErrInUse), errors.Is(err, cow.ErrNotSealed), errors.Is(err, session.ErrHasChildren):
		return fmt.Errorf("%w: %w", web.ErrConflict, err)
	case errors.Is(err, session.ErrNotBelow):
		return fmt.Errorf("%w: %w", web.ErrInvalid, err)
	}
	return err
}

func (v *sessionView) Checkpoints(context.Context) ([]web.Checkpoint, error) {
	layers, err := v.Chain()
	if err != nil {
		return nil, layerError(err)
	}
	list := []web.Checkpoint{}
	for _, l := range layers {
		if l.Sealed {
			list = append(list, webCheckpoint(l))
		}
	}
	return list, nil
}

func webCheckpoint(l cow.LayerInfo) web.Checkpoint {
	c := web.Checkpoint{ID: l.ID.String(), Name: l.Name, CreatedAt: l.SealedAt, OverlayBytes: l.Allocated}
	if !l.Parent.IsBase() {
		c.Parent = l.Parent.String()
	}
	return c
}

func (v *sessionView) Checkpoint(ctx context.Context, name string) (web.Checkpoint, error) {
	id, err := v.Session.Checkpoint(ctx, name)
	if err != nil {
		return web.Checkpoint{}, fmt.Errorf("%w: %w", web.ErrConflict, err)
	}
	layers, err := v.Session.Layers()
	if err != nil {
		return web.Checkpoint{}, err
	}
	for _, l := range layers {
		if l.ID == id {
			return webCheckpoint(l), nil
		}
	}
	return web.Checkpoint{ID: id.String(), Name: name, CreatedAt: time.Now()}, nil
}

func (v *sessionView) Layers(context.Context) ([]web.Layer, error) {
	layers, err := v.Session.Layers()
	if err != nil {
		return nil, layerError(err)
	}
	chain, err := v.Chain()
	if err != nil {
		return nil, layerError(err)
	}
	current := make(map[cow.LayerID]bool, len(chain))
	for _, l := range chain {
		current[l.ID] = true
	}
	writers := make(map[cow.LayerID]string)
	for _, other := range v.house.all() {
		writers[other.Top()] = other.ID()
	}
	list := make([]web.Layer, 0, len(layers))
	for _, l := range layers {
		w := web.Layer{
			ID: l.ID.String(), Name: l.Name, Sealed: l.Sealed, Session: writers[l.ID], Current: current[l.ID],
			CreatedAt: l.Created, SealedAt: timeOrNil(l.SealedAt), OverlayBytes: l.Allocated, Damage: l.Damage,
		}
		if !l.Parent.IsBase() {
			w.Parent = l.Parent.String()
		}
		list = append(list, w)
	}
	return list, nil
}

func (v *sessionView) MergeLayer(ctx context.Context, layer string, progress func(done, total int64)) error {
	id, err := layerID(layer)
	if err != nil {
		return err
	}
	return layerError(v.Session.MergeLayer(ctx, id, progress))
}

func (v *sessionView) DiscardLayer(_ context.Context, layer string, branch bool) error {
	id, err := layerID(layer)
	if err != nil {
		return err
	}
	return layerError(v.Session.DiscardLayer(id, branch))
}

func (v *sessionView) Disk(ctx context.Context, checkpoint string) (web.Disk, error) {
	id, err := layerID(checkpoint)
	if err != nil {
		return nil, err
	}
	d, err := v.OpenDisk(ctx, id)
	if err != nil {
		return nil, layerError(err)
	}
	return d, nil
}

func (v *sessionView) Fork(ctx context.Context, opts web.ForkOptions) (web.Session, error) {
	o := session.ForkOptions{Name: opts.Name, Writable: opts.Writable}
	if opts.Checkpoint != "" {
		id, err := layerID(opts.Checkpoint)
		if err != nil {
			return nil, err
		}
		o.From = &id
	}
	owner := opts.Owner
	if owner == "" {
		owner = v.owner
	}
	fork, err := v.house.fork(ctx, v, o, owner)
	if err != nil {
		return nil, layerError(err)
	}
	return fork, nil
}
