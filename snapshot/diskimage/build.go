package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// A builder turns directories of the image into a tree.
type builder struct {
	ctx         context.Context
	opts        snapshot.Options
	vols        []*mounted
	data        place
	b           *snapshot.Builder
	checks      []snapshot.Check
	tablespaces map[uint32]string // to where their links led
	found       map[uint32]place
	wal         *place
	seen        map[string]bool // directories, by volume and inode
}

func (b *builder) run() error {
	if err := b.add("data", "", b.data, true); err != nil {
		return err
	}
	if b.wal != nil {
		if err := b.add("data/pg_wal", "", *b.wal, false); err != nil {
			return err
		}
	}
	for oid, dir := range b.opts.Tablespaces {
		p, ok := b.resolve(dir, isTablespace)
		if !ok {
			return fmt.Errorf("tablespace %d: there is no tablespace in %s of the image: %w", oid, dir, fs.ErrNotExist)
		}
		b.found[oid] = p
	}
	oids := make([]uint32, 0, len(b.found))
	for oid := range b.found {
		oids = append(oids, oid)
	}
	slices.Sort(oids)
	for _, oid := range oids {
		if err := b.add(fmt.Sprintf("tablespaces/%d", oid), "", b.found[oid], false); err != nil {
			return err
		}
		if err := b.b.LinkTablespace(oid); err != nil {
			return err
		}
	}
	return nil
}

// add records what is below a directory; name is relative to at.
func (b *builder) add(at, name string, p place, data bool) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	a := p.in.Attr()
	key := fmt.Sprintf("%s:%d", p.vol.id(), a.Number)
	if b.seen[key] {
		return snapshot.Errorf(snapshot.ErrDamaged, "%s: a directory that is in the image twice, or in itself", path.Join(at, name))
	}
	b.seen[key] = true
	if err := b.b.Dir(path.Join(at, name), snapshot.Meta{Perm: a.Mode.Perm(), ModTime: a.ModTime}); err != nil {
		return err
	}
	return p.in.ReadDir(func(d imagefs.Dirent) error {
		in, err := p.vol.fs.Node(d.Number)
		if err != nil {
			return err
		}
		rel := path.Join(name, d.Name)
		full := path.Join(at, rel)
		switch mode := in.Attr().Mode; {
		case mode.IsDir():
			return b.add(at, rel, place{p.vol, path.Join(p.path, d.Name), in}, data)
		case mode.IsRegular():
			return b.file(full, p.vol, in)
		case mode&fs.ModeSymlink != 0:
			target, err := in.Readlink()
			if err != nil {
				return err
			}
			return b.link(at, rel, p, target, data)
		}
		b.checks = append(b.checks, snapshot.Check{Name: "files", Outcome: snapshot.Info, Detail: full + " left out: neither a file nor a directory"})
		return nil
	})
}

func (b *builder) file(name string, vol *mounted, in imagefs.Node) error {
	a, content := in.Attr(), in.Content()
	m := snapshot.Meta{Perm: a.Mode.Perm(), ModTime: a.ModTime, Physical: content.Place()}
	if m.Physical >= 0 {
		m.Physical += vol.start
	}
	if a.Links > 1 {
		m.LinkID = fmt.Sprintf("%s:%d", vol.id(), a.Number)
	}
	return b.b.File(name, a.Size, content, m)
}

// link follows the links of tablespaces and of pg_wal, and keeps others by
// snapshot.CheckLink's rule.
func (b *builder) link(at, rel string, from place, target string, data bool) error {
	if oid, ok := snapshot.TablespaceOID(rel); ok && data {
		b.tablespaces[oid] = target
		if p, ok := b.resolve(from.absolute(target), isTablespace); ok {
			b.found[oid] = p
			return nil
		}
		if b.opts.Tablespaces[oid] != "" {
			return nil
		}
		return b.b.Symlink(path.Join(at, rel), target, snapshot.Meta{}) // preflight names it
	}
	if rel == "pg_wal" && data {
		if p, ok := b.resolve(from.absolute(target), isWAL); ok {
			b.wal = &p
			return nil
		}
		b.checks = append(b.checks, snapshot.Check{
			Name: "wal", Outcome: snapshot.Warn,
			Detail: fmt.Sprintf("pg_wal is a link to %s, which is not in the image", target), Remedy: "name a directory with the WAL with --wal-dir",
		})
		return nil
	}
	keep, check, err := snapshot.CheckLink(path.Join(at, rel), rel, target)
	if err != nil {
		return err
	}
	if !keep {
		b.checks = append(b.checks, check)
		return nil
	}
	return b.b.Symlink(path.Join(at, rel), target, snapshot.Meta{})
}

// absolute is a link's target from the root of the file system.
func (p place) absolute(target string) string {
	if path.IsAbs(target) {
		return target
	}
	return path.Join("/", p.path, target)
}

// resolve finds a directory by the path that it had on the image's host: in the
// data directory's volume, then in the others, which may have been mounted
// anywhere: the path's first directories may be missing.
func (b *builder) resolve(name string, is func(place) bool) (place, bool) {
	vols := []*mounted{b.data.vol}
	for _, v := range b.vols {
		if v != b.data.vol {
			vols = append(vols, v)
		}
	}
	for _, v := range vols {
		for rest := strings.TrimPrefix(path.Clean(name), "/"); ; {
			p, err := v.lookup(rest)
			if err == nil && is(p) {
				return p, true
			}
			if rest == "" {
				break
			}
			_, rest, _ = strings.Cut(rest, "/")
		}
	}
	return place{}, false
}

func isTablespace(p place) bool {
	return p.has(func(name string) bool { return strings.HasPrefix(name, "PG_") && strings.Count(name, "_") == 2 })
}

func isWAL(p place) bool {
	return p.has(func(name string) bool {
		return name == "archive_status" || len(name) == 24 && strings.Trim(name, "0123456789ABCDEF") == ""
	})
}

var errNone = errors.New("no data directory")
