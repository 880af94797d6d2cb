package kloset

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/repo"
	"github.com/snapview/snapview/snapshot/kloset/vfs"
)

// A header is that of a snapshot, or the reason why it cannot be read.
type header struct {
	id format.MAC
	*vfs.Header
	err error
}

func (h *header) time() time.Time {
	if h.err != nil {
		return time.Time{}
	}
	return h.Time
}

// String names the snapshot for people.
func (h *header) String() string {
	s := h.id.Short()
	if h.err == nil {
		s += " of " + h.Time.UTC().Format("2006-01-02 15:04:05 UTC")
		if h.Name != "" {
			s += " (" + h.Name + ")"
		}
	}
	return s
}

// headers reads the headers of all snapshots, the newest first. One that cannot
// be read is no reason not to open another.
func headers(ctx context.Context, r *repo.Repo) ([]*header, error) {
	ids := r.Snapshots()
	list := make([]*header, len(ids))
	read := func(i int, b []byte) error {
		h, err := vfs.ParseHeader(b)
		if err == nil && h.ID != ids[i] {
			err = snapshot.Errorf(snapshot.ErrDamaged, "its header is that of snapshot %s", h.ID.Short())
		}
		list[i] = &header{ids[i], h, err}
		return nil
	}
	if err := r.Each(ctx, format.TypeSnapshot, ids, read); err != nil {
		for i, id := range ids {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if list[i] != nil {
				continue
			}
			b, err := r.Blob(ctx, format.TypeSnapshot, id)
			switch {
			case errors.Is(err, snapshot.ErrDamaged):
				list[i] = &header{id: id, err: err}
			case err != nil:
				return nil, err
			default:
				_ = read(i, b)
			}
		}
	}
	slices.SortFunc(list, func(a, b *header) int {
		if c := b.time().Compare(a.time()); c != 0 {
			return c
		}
		return bytes.Compare(a.id[:], b.id[:])
	})
	return list, nil
}

// maxTries is how many of the newest snapshots are looked at for a data
// directory.
const maxTries = 50

// choose returns the snapshots that may be meant, the best first: one, if it is
// named by the first digits of its name.
func choose(store string, list []*header, name string) ([]*header, error) {
	if len(list) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: the store has no snapshots", store)
	}
	name = strings.ToLower(strings.TrimSpace(name))
	var found []*header
	if name == "" || name == "latest" {
		for _, h := range list {
			if h.err == nil {
				found = append(found, h)
			}
		}
		if len(found) == 0 {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s: no snapshot's header can be read: %w", store, list[0].err)
		}
		return found, nil
	}
	for _, h := range list {
		if strings.HasPrefix(h.id.String(), name) {
			found = append(found, h)
		}
	}
	switch {
	case len(found) == 0:
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: no snapshot %.70q; there are %s", store, name, some(list))
	case len(found) > 1:
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: %.70q is the beginning of several snapshots: %s", store, name, some(found))
	case found[0].err != nil:
		return nil, found[0].err
	}
	return found, nil
}

// some lists the first few snapshots.
func some(list []*header) string {
	var names []string
	for _, h := range list {
		if len(names) == 10 {
			names = append(names, "...")
			break
		}
		names = append(names, h.String())
	}
	return strings.Join(names, ", ")
}
