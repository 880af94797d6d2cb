package vfs

import (
	"cmp"
	"context"
	"io/fs"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

// comparePaths is the order of the tree: fewer levels first, then by bytes.
func comparePaths(a, b string) int {
	return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), strings.Compare(a, b))
}

// Lookup reads the entry of one path below the root of a source, with a few
// blobs instead of all. Its error is fs.ErrNotExist if there is none.
func Lookup(ctx context.Context, blobs Blobs, root format.MAC, path string) (e Entry, err error) {
	one := func(t format.Type, m format.MAC, parse func(b []byte) error) error {
		return blobs.Each(ctx, t, []format.MAC{m}, func(_ int, b []byte) error { return parse(b) })
	}
	var at format.MAC
	err = one(format.TypeTree, root, func(b []byte) (err error) { at, err = rootOf(b); return err })
	for depth := 0; err == nil; depth++ {
		if depth == maxDepth {
			return e, snapshot.Errorf(snapshot.ErrDamaged, "the snapshot's tree has more than %d levels", maxDepth)
		}
		var n node
		if err = one(format.TypeNode, at, func(b []byte) (err error) { n, err = parseNode(b); return err }); err != nil {
			break
		}
		i, found := slices.BinarySearchFunc(n.keys, path, comparePaths)
		if len(n.pointers) == 0 {
			if !found {
				return e, fs.ErrNotExist
			}
			err = one(format.TypeEntry, n.values[i], func(b []byte) (err error) { e, err = ParseEntry(b); return err })
			e.Path = path
			return e, err
		}
		if found {
			i++
		}
		at = n.pointers[i]
	}
	return e, err
}
