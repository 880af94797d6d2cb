package state

import (
	"slices"

	"github.com/snapview/snapview/snapshot/kloset/format"
)

type blobKey struct {
	kind byte
	mac  format.MAC
}

// place is a Location without the packfile's name, which many share.
type place struct {
	off  int64
	len  uint32
	pack uint32 // number of the packfile
}

// An Index says where the blobs of a store lie. After the last Apply it may be
// used concurrently. It takes about 100 bytes for a blob.
type Index struct {
	blobs     map[blobKey]place
	more      map[blobKey][]place // further places of blobs that have several
	numbers   map[format.MAC]uint32
	packs     []format.MAC // by number
	packfiles map[format.MAC]bool
	coloured  map[blobKey]bool // marked as deleted
	entries   int
}

// NewIndex returns the index of an empty store.
func NewIndex() *Index {
	return &Index{
		blobs: map[blobKey]place{}, more: map[blobKey][]place{}, numbers: map[format.MAC]uint32{},
		packfiles: map[format.MAC]bool{}, coloured: map[blobKey]bool{},
	}
}

// read are the types whose places are kept.
var read = []format.Type{format.TypeSnapshot, format.TypeObject, format.TypeChunk, format.TypeTree, format.TypeNode, format.TypeEntry}

func (x *Index) add(key blobKey, l Location) {
	if !slices.Contains(read, format.Type(key.kind)) {
		return
	}
	n, ok := x.numbers[l.Packfile]
	if !ok {
		n = uint32(len(x.packs))
		x.numbers[l.Packfile] = n
		x.packs = append(x.packs, l.Packfile)
	}
	p := place{l.Offset, uint32(l.Length), n}
	first, known := x.blobs[key]
	if !known {
		x.blobs[key] = p
		return
	}
	// The key of an entry is blob and packfile: a later one replaces it.
	if first.pack == n {
		x.blobs[key] = p
		return
	}
	for i, other := range x.more[key] {
		if other.pack == n {
			x.more[key][i] = p
			return
		}
	}
	x.more[key] = append(x.more[key], p)
}

func (x *Index) remove(key blobKey, pack format.MAC) {
	n, ok := x.numbers[pack]
	if !ok {
		return
	}
	more := slices.DeleteFunc(x.more[key], func(p place) bool { return p.pack == n })
	if first, known := x.blobs[key]; known && first.pack == n {
		if len(more) == 0 {
			delete(x.blobs, key)
		} else {
			x.blobs[key], more = more[0], more[1:]
		}
	}
	if len(more) == 0 {
		delete(x.more, key)
	} else {
		x.more[key] = more
	}
}

// Find returns where a blob lies, in each packfile that holds it and that the
// store still uses.
func (x *Index) Find(t format.Type, m format.MAC) []Location {
	key := blobKey{byte(t), m}
	first, ok := x.blobs[key]
	if !ok {
		return nil
	}
	found := make([]Location, 0, 1)
	for i := -1; i < len(x.more[key]); i++ {
		p := first
		if i >= 0 {
			p = x.more[key][i]
		}
		if pack := x.packs[p.pack]; x.live(pack) {
			found = append(found, Location{pack, p.off, int64(p.len)})
		}
	}
	return found
}

// live: a packfile is in use from when a state names it until it is coloured.
func (x *Index) live(pack format.MAC) bool {
	return x.packfiles[pack] && !x.coloured[blobKey{byte(format.TypePackfile), pack}]
}

// Order returns a number that grows with the place of a blob in the store, -1
// if it is not known.
func (x *Index) Order(t format.Type, m format.MAC) int64 {
	p, ok := x.blobs[blobKey{byte(t), m}]
	if !ok {
		return -1
	}
	return int64(p.pack)<<40 | p.off&(1<<40-1)
}

// Snapshots returns the names of the snapshots that are not deleted, in no
// order.
func (x *Index) Snapshots() (list []format.MAC) {
	for key := range x.blobs {
		if key.kind == byte(format.TypeSnapshot) && !x.coloured[key] && len(x.Find(format.TypeSnapshot, key.mac)) > 0 {
			list = append(list, key.mac)
		}
	}
	return list
}
