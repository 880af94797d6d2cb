package state

import (
	"bytes"
	"slices"

	"github.com/snapview/snapview/snapshot/kloset/format"
)

// Order sorts states so that each comes after its parent, if that is one of
// them. parents maps each state to its parent. A circle, which no store can
// have, is cut somewhere.
func Order(parents map[format.MAC]format.MAC) []format.MAC {
	names := make([]format.MAC, 0, len(parents))
	for m := range parents {
		names = append(names, m)
	}
	slices.SortFunc(names, func(a, b format.MAC) int { return bytes.Compare(a[:], b[:]) })
	done := make(map[format.MAC]bool, len(names))
	ordered := make([]format.MAC, 0, len(names))
	for _, m := range names {
		// Up to the first ancestor that is placed, then back down.
		var line []format.MAC
		for at := m; !done[at]; {
			done[at] = true
			line = append(line, at)
			parent, known := parents[at]
			if _, there := parents[parent]; !known || !there {
				break
			}
			at = parent
		}
		slices.Reverse(line)
		ordered = append(ordered, line...)
	}
	return ordered
}
