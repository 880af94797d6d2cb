package diskimage

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// Bounds on a search.
const (
	maxSearched = 300_000 // directories
	maxDepth    = 24      // levels
	maxLinks    = 40      // symbolic links of one path, as Linux's ELOOP
)

// A place is a directory of a file system in the image.
type place struct {
	vol  *mounted
	path string // from the root of its file system, without the slash
	in   imagefs.Node
}

// mounted is a volume whose file system is read.
type mounted struct {
	volume
	fs imagefs.FS
}

// programs are the directories of a host that hold no data, searched last.
var programs = map[string]bool{
	"usr": true, "proc": true, "sys": true, "dev": true, "run": true, "boot": true, "snap": true,
	"bin": true, "sbin": true, "lib": true, "lib32": true, "lib64": true, "etc": true,
}

// search finds the data directories of a volume: directories with PG_VERSION
// and global/pg_control.
func (m *mounted) search(ctx context.Context) ([]place, error) {
	root, err := m.fs.Root()
	if err != nil {
		return nil, err
	}
	var later []place
	found, err := m.searchFrom(ctx, []place{{m, "", root}}, func(p place) bool {
		if programs[p.path] {
			later = append(later, p)
			return false
		}
		return true
	})
	if err == nil && len(found) == 0 {
		found, err = m.searchFrom(ctx, later, func(place) bool { return true })
	}
	return found, err
}

func (m *mounted) searchFrom(ctx context.Context, queue []place, enter func(place) bool) (found []place, err error) {
	seen := map[uint64]bool{}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if seen[p.in.Attr().Number] {
			continue // a circle, which only a damaged file system has
		}
		seen[p.in.Attr().Number] = true
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(seen) > maxSearched {
			return nil, snapshot.Errorf(snapshot.ErrUnsupported, "more than %d directories: name the data directory's path inside of the image with --root", maxSearched)
		}
		is, below, err := p.children()
		if err != nil {
			return nil, err
		}
		if is {
			found = append(found, p)
			continue
		}
		for _, b := range below {
			if strings.Count(b.path, "/") < maxDepth && enter(b) {
				queue = append(queue, b)
			}
		}
	}
	return found, nil
}

// children returns the directories in a place, and whether it is a data
// directory.
func (p place) children() (isData bool, below []place, err error) {
	names := map[string]uint64{}
	err = p.in.ReadDir(func(d imagefs.Dirent) error {
		names[d.Name] = d.Number
		return nil
	})
	if err != nil {
		return false, nil, err
	}
	if names["PG_VERSION"] != 0 && names["global"] != 0 && names["base"] != 0 {
		return true, nil, nil
	}
	for name, number := range names {
		in, err := p.vol.fs.Node(number)
		if err != nil {
			return false, nil, err
		}
		if in.Attr().Mode.IsDir() {
			below = append(below, place{p.vol, path.Join(p.path, name), in})
		}
	}
	return false, below, nil
}

// lookup finds a path from the root of the file system, links followed inside
// of it. fs.ErrNotExist if there is none.
func (m *mounted) lookup(name string) (place, error) {
	root, err := m.fs.Root()
	if err != nil {
		return place{}, err
	}
	at, rest := []place{{m, "", root}}, strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		elem := rest[0]
		rest = rest[1:]
		here := at[len(at)-1]
		switch elem {
		case "", ".":
			continue
		case "..":
			at = at[:max(1, len(at)-1)]
			continue
		}
		var in imagefs.Node
		stop := errors.New("found")
		err := here.in.ReadDir(func(d imagefs.Dirent) (err error) {
			if d.Name != elem {
				return nil
			}
			if in, err = m.fs.Node(d.Number); err != nil {
				return err
			}
			return stop
		})
		switch {
		case err != nil && !errors.Is(err, stop):
			return place{}, err
		case in == nil:
			return place{}, fs.ErrNotExist
		case in.Attr().Mode&fs.ModeSymlink != 0:
			target, err := in.Readlink()
			if links++; err != nil || links > maxLinks {
				return place{}, errors.Join(err, fs.ErrNotExist)
			}
			if strings.HasPrefix(target, "/") {
				at = at[:1]
			}
			rest = append(strings.Split(target, "/"), rest...)
			continue
		case !in.Attr().Mode.IsDir():
			return place{}, fs.ErrNotExist
		}
		at = append(at, place{m, path.Join(here.path, elem), in})
	}
	return at[len(at)-1], nil
}

// has says whether a directory has a name that is wanted.
func (p place) has(wanted func(name string) bool) bool {
	found := false
	err := p.in.ReadDir(func(d imagefs.Dirent) error {
		found = found || wanted(d.Name)
		return nil
	})
	return err == nil && found
}
