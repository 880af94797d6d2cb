package vfs

import (
	"context"
	"path"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/msgpack"
)

// A Blobs gives verified blobs. Each calls each for the blobs named, in any
// order but one at a time, with their index; an error of each ends it.
type Blobs interface {
	Each(ctx context.Context, t format.Type, names []format.MAC, each func(i int, b []byte) error) error
}

const maxDepth = 32 // of the tree of names: 50 names in a node make 50^32

// node is a node of the tree of names, a B+ tree: leaves have values, others
// pointers.
type node struct {
	keys     []string
	pointers []format.MAC
	values   []format.MAC
}

func parseNode(b []byte) (n node, err error) {
	macs := func(r *msgpack.Reader) (list []format.MAC) {
		for k := r.Array(); k > 0 && r.Err() == nil; k-- {
			list = append(list, mac(r))
		}
		return list
	}
	r := msgpack.NewReader(b)
	r.Fields(func(key string) {
		switch key {
		case "keys":
			for k := r.Array(); k > 0 && r.Err() == nil; k-- {
				n.keys = append(n.keys, r.String())
			}
		case "pointers":
			n.pointers = macs(r)
		case "values":
			n.values = macs(r)
		default:
			r.Skip()
		}
	})
	if err := r.Err(); err != nil {
		return n, snapshot.Errorf(snapshot.ErrDamaged, "a node of the snapshot's tree: %w", err)
	}
	if len(n.pointers) == 0 && len(n.values) != len(n.keys) || len(n.pointers) != 0 && len(n.pointers) != len(n.keys)+1 {
		return n, snapshot.Errorf(snapshot.ErrDamaged, "a node of the snapshot's tree has %d names, %d entries and %d nodes below it", len(n.keys), len(n.values), len(n.pointers))
	}
	return n, nil
}

// rootOf returns the root node of a tree.
func rootOf(b []byte) (m format.MAC, err error) {
	r := msgpack.NewReader(b)
	r.Fields(func(key string) {
		if key == "Root" {
			m = mac(r)
		} else {
			r.Skip()
		}
	})
	if err := r.Err(); err != nil {
		return m, snapshot.Errorf(snapshot.ErrDamaged, "the snapshot's tree: %w", err)
	}
	return m, nil
}

// Entries reads all names below the root of a source. Levels of the tree, and
// the entries, are each asked for at once, so that a store that is far away
// costs as many round trips as the tree has levels.
func Entries(ctx context.Context, blobs Blobs, root format.MAC) ([]Entry, error) {
	var level []format.MAC
	err := blobs.Each(ctx, format.TypeTree, []format.MAC{root}, func(_ int, b []byte) error {
		m, err := rootOf(b)
		level = []format.MAC{m}
		return err
	})
	if err != nil {
		return nil, err
	}
	var paths []string
	var names []format.MAC
	seen := map[format.MAC]bool{}
	for depth := 0; len(level) > 0; depth++ {
		if depth == maxDepth {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "the snapshot's tree has more than %d levels", maxDepth)
		}
		var below []format.MAC
		err := blobs.Each(ctx, format.TypeNode, level, func(_ int, b []byte) error {
			n, err := parseNode(b)
			if err != nil {
				return err
			}
			for _, p := range n.pointers {
				if seen[p] {
					return snapshot.Errorf(snapshot.ErrDamaged, "the snapshot's tree leads to node %s twice", p.Short())
				}
				seen[p] = true
			}
			below = append(below, n.pointers...)
			if len(n.pointers) == 0 {
				paths, names = append(paths, n.keys...), append(names, n.values...)
			}
			if len(seen) > snapshot.MaxFiles || len(names) > snapshot.MaxFiles {
				return snapshot.Errorf(snapshot.ErrUnsafe, "more than %d files", snapshot.MaxFiles)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		level = below
	}
	entries := make([]Entry, len(names))
	err = blobs.Each(ctx, format.TypeEntry, names, func(i int, b []byte) error {
		e, err := ParseEntry(b)
		if err != nil {
			return snapshot.Errorf(snapshot.ErrDamaged, "the entry of %.200q: %w", paths[i], err)
		}
		if e.Path = paths[i]; !path.IsAbs(e.Path) || path.Clean(e.Path) != e.Path {
			return snapshot.Errorf(snapshot.ErrUnsafe, "%.200q is not a path a backup may hold", e.Path)
		}
		entries[i] = e
		return nil
	})
	return entries, err
}
