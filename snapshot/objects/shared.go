package objects

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Shared is a store that several owners read, such as the backups of one
// chain: each has a handle of its own, and the store is closed with the last.
type Shared struct {
	Store
	owners *atomic.Int64
	close  func() error // once
}

// Share returns the first handle of a store, which it takes over.
func Share(s Store) *Shared {
	owners := &atomic.Int64{}
	return handle(s, owners)
}

// Again returns another handle. It must not be called on one that was closed.
func (s *Shared) Again() *Shared { return handle(s.Store, s.owners) }

func handle(s Store, owners *atomic.Int64) *Shared {
	owners.Add(1)
	return &Shared{s, owners, sync.OnceValue(func() error {
		if owners.Add(-1) > 0 {
			return nil
		}
		return s.Close()
	})}
}

// Close implements Store. It may be called twice.
func (s *Shared) Close() error { return s.close() }

// Found is what the function Found asks for.
func (s *Shared) Found(ctx context.Context, name string, e Entry) (Object, error) {
	return Found(ctx, s.Store, name, e)
}

// Hurry passes on to the store that it is to give up waiting, if it waits.
func (s *Shared) Hurry() { hurry(s.Store) }

// HostDir is where the store lies on this host; see HostDir.
func (s *Shared) HostDir() string { return HostDir(s.Store) }

func hurry(s Store) {
	if h, ok := s.(interface{ Hurry() }); ok {
		h.Hurry()
	}
}

// HostDir returns the path of the directory of this host that a store is, links
// resolved; it is empty for any other store.
func HostDir(s Store) string {
	if h, ok := s.(interface{ HostDir() string }); ok {
		return h.HostDir()
	}
	return ""
}
