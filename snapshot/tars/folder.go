package tars

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarset"
)

const manifestName = "backup_manifest"

// A found is a tar of a folder.
type found struct {
	objects.Entry
	role string
	part int
}

// find names a folder's tars by their roles, the parts of one in order. Other
// files are none of ours.
func find(list []objects.Entry, main string) (tars []found, err error) {
	for _, e := range list {
		if role, part, ok := split(e.Name, main); ok && !e.Dir {
			tars = append(tars, found{e, role, part})
		}
	}
	slices.SortFunc(tars, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.role, b.role), cmp.Compare(a.part, b.part), cmp.Compare(a.Name, b.Name))
	})
	for i := 1; i < len(tars); i++ {
		before, this := tars[i-1], tars[i]
		if before.role == this.role && before.part == this.part {
			return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s and %s are both there: leave the one that belongs to the backup", before.Name, this.Name)
		}
	}
	return tars, whole(tars)
}

// whole fails if a part is missing before one that is there. Whether the last
// one is, what is in them has to tell.
func whole(tars []found) error {
	for i, t := range tars {
		want := 0
		if i > 0 && tars[i-1].role == t.role {
			want = tars[i-1].part + 1
		}
		if t.part != want {
			return snapshot.Errorf(snapshot.ErrDamaged, "%s is there, but part %d of what it belongs to is not", t.Name, want)
		}
	}
	return nil
}

// folder opens the tars of the place.
func (o *opener) folder() (set tarset.Set, err error) {
	p := o.place
	list, err := p.Store.List(o.ctx, p.Name)
	if err != nil {
		return set, err
	}
	tars, err := find(list, p.main())
	if err != nil {
		return set, err
	}
	set.Tablespaces = map[uint32]tarset.Archive{}
	for _, e := range list {
		if e.Name == manifestName && !e.Dir && p.main() == Base {
			f, err := p.Store.Open(o.ctx, path.Join(p.Name, e.Name))
			if err != nil {
				return set, err
			}
			set.Manifest, set.ManifestSize = f, f.Size()
			set.ManifestMeta = snapshot.Meta{Perm: 0o600, ModTime: f.Changed(), Physical: -1}
		}
	}
	for len(tars) > 0 {
		n := 1
		for n < len(tars) && tars[n].role == tars[0].role {
			n++
		}
		a, err := o.parts(tars[:n])
		if err != nil {
			return set, err
		}
		switch role := tars[0].role; role {
		case p.main():
			set.Base = a
		case roleWAL:
			set.WAL = &a
		default:
			oid, _ := strconv.ParseUint(role, 10, 32) // split checked it
			set.Tablespaces[uint32(oid)] = a
		}
		tars = tars[n:]
	}
	if set.Base.Data == nil {
		return set, snapshot.Errorf(snapshot.ErrNotABackup, "no %s.tar, compressed or not%s", p.main(), map[bool]string{true: ": not a folder of pg_basebackup -Ft"}[p.main() == Base])
	}
	return set, nil
}

// parts opens the parts of one tar.
func (o *opener) parts(tars []found) (a tarset.Archive, err error) {
	for i, t := range tars {
		part, err := o.open(path.Join(o.place.Name, t.Name))
		if err != nil {
			return a, fmt.Errorf("%s: %w", t.Name, err)
		}
		if i == 0 {
			a = part
		} else {
			a.Parts = append(a.Parts, part)
		}
	}
	return a, nil
}
