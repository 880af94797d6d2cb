// Package tarset lays the members of one or several tars out as a snapshot's
// tree. It serves every source whose files are tars, whatever gives their
// bytes: plain files, compressed ones, objects of a store.
//
// A tar that pg_basebackup wrote has PGDATA at its root; one that a person
// made may have it anywhere, with tablespaces beside it. PGDATA is found by
// content (PG_VERSION beside global), and a tablespace's link is resolved
// inside the tar.
package tarset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/tarindex"
)

// An Archive is one tar, or what a store keeps in the manner of one: a list of
// files with their paths.
type Archive struct {
	Name string // for errors
	Size int64  // bytes
	// Data gives the tar's bytes; reading must be counted already.
	Data io.ReaderAt

	// Members, if not nil, are known already, and Content gives the bytes of
	// a File among them: there is no tar to be scanned.
	Members []tarindex.Member
	Content func(*tarindex.Member) snapshot.Content

	// Parts are more tars with members of this one, where a tool splits what
	// would grow too large.
	Parts []Archive
}

// A member is one of an archive or of its parts.
type member struct {
	*tarindex.Member
	from *Archive
}

func (m member) content() snapshot.Content {
	if m.from.Content != nil {
		return m.from.Content(m.Member)
	}
	return m.Content(m.from.Data)
}

// A Set is the tars of one backup.
type Set struct {
	Base        Archive            // the tar that holds PGDATA
	Tablespaces map[uint32]Archive // by OID
	WAL         *Archive           // pg_wal.tar, or nil

	// Manifest is a backup_manifest that lies beside the tars, or nil.
	Manifest     snapshot.Content
	ManifestSize int64
	ManifestMeta snapshot.Meta
}

// builder is the state of one Build.
type builder struct {
	ctx    context.Context
	opts   snapshot.Options
	draft  *snapshot.Draft
	b      *snapshot.Builder
	found  map[uint32]bool
	files  map[string]member // of the base tar, by name: targets of hard links
	linked map[string]string // member to the first name of its data, where it has several
	sent   []sent            // what the manifest says was sent, in order
}

// Build scans the set's tars and adds to the draft what Identify needs. pool
// serves directories of this host that the options name.
func Build(ctx context.Context, d *snapshot.Draft, set Set, pool *hostdir.Pool, opts snapshot.Options) error {
	b := &builder{ctx: ctx, opts: opts, draft: d, b: snapshot.NewBuilder(), found: map[uint32]bool{}}
	d.Builder, d.Tablespaces = b.b, map[uint32]string{}
	b.readOrder(set)
	if err := b.base(set.Base); err != nil {
		return err
	}
	for oid, a := range set.Tablespaces {
		if err := b.flat(a, fmt.Sprintf("tablespaces/%d", oid), fmt.Sprintf("pg_tblspc/%d/", oid)); err != nil {
			return err
		}
		b.found[oid] = true
	}
	if set.WAL != nil {
		if err := b.flat(*set.WAL, "data/pg_wal", "pg_wal/"); err != nil {
			return err
		}
	}
	if set.Manifest != nil {
		if err := b.b.File("data/backup_manifest", set.ManifestSize, set.Manifest, set.ManifestMeta); err != nil {
			return err
		}
	}
	return b.outside(pool)
}

func (b *builder) info(name, format string, args ...any) {
	b.draft.Checks = append(b.draft.Checks, snapshot.Check{Name: name, Outcome: snapshot.Info, Detail: fmt.Sprintf(format, args...)})
}

// flat adds an archive whose root belongs at prefix; the manifest has its files
// below another.
func (b *builder) flat(a Archive, prefix, manifest string) error {
	members, err := b.scan(&a, manifest)
	if err != nil {
		return err
	}
	b.index(members)
	for _, m := range members {
		if err := b.add(m, prefix, m.Name); err != nil {
			return err
		}
	}
	return nil
}

// index prepares hard links, whose targets are members of the same archive.
func (b *builder) index(members []member) {
	b.files, b.linked = map[string]member{}, map[string]string{}
	for _, m := range members {
		switch m.Type {
		case tarindex.File:
			b.files[m.Name] = m
		case tarindex.Hardlink:
			b.linked[m.Link] = m.Link
		}
	}
}

// add records one member at prefix/name.
func (b *builder) add(m member, prefix, name string) error {
	at := path.Join(prefix, name)
	meta := snapshot.Meta{Perm: fs.FileMode(m.Perm), ModTime: m.ModTime, Physical: m.PhysicalOrder()}
	var err error
	switch m.Type {
	case tarindex.Dir:
		if at == "." {
			return nil
		}
		err = b.b.Dir(at, meta)
	case tarindex.Symlink:
		keep, check, lerr := snapshot.CheckLink(at, name, m.Link)
		if lerr != nil {
			err = lerr
		} else if keep {
			err = b.b.Symlink(at, m.Link, meta)
		} else {
			b.draft.Checks = append(b.draft.Checks, check)
		}
	case tarindex.Hardlink:
		target, ok := b.files[m.Link]
		if !ok {
			return snapshot.Errorf(snapshot.ErrDamaged, "%s: %s is a hard link to %s, which is no file of the archive", m.from.Name, m.Name, m.Link)
		}
		meta.LinkID, meta.Physical = m.Link, target.PhysicalOrder()
		meta.Perm, meta.ModTime = fs.FileMode(target.Perm), target.ModTime
		err = b.b.File(at, target.Size, target.content(), meta)
	case tarindex.File:
		meta.LinkID = b.linked[m.Name]
		err = b.b.File(at, m.Size, m.content(), meta)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.from.Name, err)
	}
	return nil
}

// outside adds directories of this host: tablespaces and WAL.
func (b *builder) outside(pool *hostdir.Pool) error {
	for oid, dir := range b.opts.Tablespaces {
		root, err := pool.Root(dir)
		if err != nil {
			return fmt.Errorf("tablespace %d: %w", oid, err)
		}
		at := fmt.Sprintf("tablespaces/%d", oid)
		b.b.Remove(at)
		w := hostdir.Walk{Builder: b.b, Prefix: at, Link: func(name, target string) (bool, error) {
			keep, check, err := snapshot.CheckLink(path.Join(at, name), name, target)
			if err == nil && !keep {
				b.draft.Checks = append(b.draft.Checks, check)
			}
			return !keep, err
		}}
		if err := w.Run(b.ctx, root); err != nil {
			return fmt.Errorf("tablespace %d: %w", oid, err)
		}
		b.found[oid] = true
	}
	for oid := range b.found {
		if err := b.b.LinkTablespace(oid); err != nil {
			return err
		}
	}
	if b.opts.WALDir != "" {
		files, err := hostdir.WAL(pool, b.opts.WALDir)
		if err != nil {
			return fmt.Errorf("WAL directory: %w", err)
		}
		b.draft.WAL = files
	}
	return nil
}

// base adds the tar that holds PGDATA.
func (b *builder) base(a Archive) error {
	members, err := b.scan(&a, "")
	if err != nil {
		return err
	}
	root, err := findRoot(members, a.Name, b.opts.Root)
	if err != nil {
		return err
	}
	b.index(members)
	moved := b.moves(members, root)
	for _, m := range members {
		name, ok := below(root, m.Name)
		if !ok {
			continue
		}
		if _, ok := moved[path.Join(root, name)]; ok && m.Type == tarindex.Symlink {
			continue // replaced by what it leads to
		}
		if oid, ok := snapshot.TablespaceOID(name); ok && m.Type == tarindex.Symlink {
			b.draft.Tablespaces[oid] = m.Link
			if err := b.b.Symlink(path.Join("data", name), m.Link, snapshot.Meta{}); err != nil {
				return err
			}
			continue // leads out of the tar; preflight names it
		}
		if name == "pg_wal" && m.Type == tarindex.Symlink {
			b.info("wal", "pg_wal is a link to %s, which is not in %s", m.Link, m.from.Name)
			continue
		}
		if oid, rest, ok := inPlace(name); ok {
			b.found[oid] = true
			if err := b.add(m, fmt.Sprintf("tablespaces/%d", oid), rest); err != nil {
				return err
			}
			continue
		}
		if err := b.add(m, "data", name); err != nil {
			return err
		}
		if name == "tablespace_map" && m.Type == tarindex.File {
			b.readMap(m)
		}
	}
	return b.moveAll(members, moved)
}

// readMap takes note of where tablespaces were; preflight reports damage.
func (b *builder) readMap(m member) {
	if m.Size == 0 || m.Size > 1<<20 {
		return
	}
	text := make([]byte, m.Size)
	if _, err := m.content().ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return
	}
	list, err := snapshot.ParseTablespaceMap(text)
	if err != nil {
		return
	}
	for oid, dir := range list {
		b.draft.Tablespaces[oid] = dir
	}
}

// A place is where members below a link's target go.
type place struct {
	target string // directory in the tar
	at     string // directory in the tree
}

// moves finds links of tablespaces and pg_wal that lead to directories of the
// tar itself.
func (b *builder) moves(members []member, root string) map[string]place {
	moved := map[string]place{}
	for _, m := range members {
		name, ok := below(root, m.Name)
		if !ok || m.Type != tarindex.Symlink {
			continue
		}
		oid, isTablespace := snapshot.TablespaceOID(name)
		if !isTablespace && name != "pg_wal" {
			continue
		}
		target := path.Join(path.Dir(m.Name), m.Link)
		if path.IsAbs(m.Link) {
			target = strings.TrimPrefix(path.Clean(m.Link), "/") // tar strips the first slash
		}
		if target == "" || target == "." || strings.HasPrefix(target, "..") || !slices.ContainsFunc(members, func(c member) bool {
			return strings.HasPrefix(c.Name, target+"/")
		}) {
			continue
		}
		at := "data/pg_wal"
		if isTablespace {
			at = fmt.Sprintf("tablespaces/%d", oid)
			b.found[oid] = true
			b.draft.Tablespaces[oid] = m.Link
		}
		moved[m.Name] = place{target, at}
	}
	return moved
}

func (b *builder) moveAll(members []member, moved map[string]place) error {
	for _, p := range moved {
		for _, m := range members {
			if name, ok := below(p.target, m.Name); ok {
				if err := b.add(m, p.at, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inPlace recognises pg_tblspc/<oid>/..., a tablespace that was copied in
// place of its link.
func inPlace(name string) (oid uint32, rest string, ok bool) {
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 2 {
		return 0, "", false
	}
	oid, ok = snapshot.TablespaceOID(parts[0] + "/" + parts[1])
	rest = "."
	if len(parts) == 3 {
		rest = parts[2]
	}
	return oid, rest, ok
}

// below returns name relative to dir; "." for dir itself.
func below(dir, name string) (string, bool) {
	switch dir {
	case ".":
		return name, true
	case name:
		return ".", true
	}
	return strings.CutPrefix(name, dir+"/")
}

// findRoot finds PGDATA: the directory with both PG_VERSION and global.
func findRoot(members []member, archive, want string) (string, error) {
	versions, globals := map[string]bool{}, map[string]bool{}
	for _, m := range members {
		dir, base := path.Split(m.Name)
		dir = path.Clean(dir)
		if base == "PG_VERSION" && m.Type == tarindex.File {
			versions[dir] = true
		}
		if path.Base(dir) == "global" {
			globals[path.Dir(dir)] = true
		}
	}
	var roots []string
	for dir := range versions {
		if globals[dir] {
			roots = append(roots, dir)
		}
	}
	slices.Sort(roots)
	if want != "" {
		if !slices.Contains(roots, path.Clean(want)) {
			return "", snapshot.Errorf(snapshot.ErrNotABackup, "%s: no data directory at %s; there are: %s", archive, want, strings.Join(roots, ", "))
		}
		return path.Clean(want), nil
	}
	switch len(roots) {
	case 1:
		return roots[0], nil
	case 0:
		if len(versions) > 0 {
			return "", snapshot.Errorf(snapshot.ErrDamaged, "%s has a PG_VERSION but no directory global beside it: it is incomplete", archive)
		}
		return "", snapshot.Errorf(snapshot.ErrNotABackup, "%s: %d members without a PostgreSQL data directory (PG_VERSION, global/pg_control)", archive, len(members))
	}
	return "", snapshot.Errorf(snapshot.ErrNotABackup, "%s holds %d data directories: name one of %s", archive, len(roots), strings.Join(roots[:min(len(roots), 10)], ", "))
}
