package kloset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/kloset/chunks"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/repo"
	"github.com/snapview/snapview/snapshot/kloset/vfs"
	"github.com/snapview/snapview/snapshot/tarindex"
	"github.com/snapview/snapview/snapshot/tarset"
)

// layout lays the files of one snapshot out as a tree.
type layout struct {
	repo  *repo.Repo
	cache *chunks.Cache
	draft *snapshot.Draft
	pool  *hostdir.Pool
	opts  snapshot.Options

	name    string // of the snapshot, for errors
	entries []vfs.Entry
}

// errNone is part of the error for a snapshot that holds something else, as a
// store may keep anything besides backups of PostgreSQL.
var errNone = errors.New("no data directory in it (PG_VERSION beside global/pg_control) and no tar of one")

// snapshot fills the draft with the files of the snapshot.
func (l *layout) snapshot(ctx context.Context, h *header) error {
	l.name = fmt.Sprintf("%s#%s", l.repo.Name(), h.id.Short())
	var err error
	for _, source := range h.Sources {
		if l.entries, err = vfs.Entries(ctx, l.repo, source.Root); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		if err = l.source(ctx); err == nil {
			note(l.draft, snapshot.OK, "%s", h)
		}
		if !errors.Is(err, errNone) {
			break
		}
	}
	return err
}

// source lays the files out that were read.
func (l *layout) source(ctx context.Context) error {
	set, opts, err := l.set()
	if err != nil {
		return err
	}
	return tarset.Build(ctx, l.draft, set, l.pool, opts)
}

// set decides what the files are: a data directory, or tars of one.
func (l *layout) set() (set tarset.Set, opts snapshot.Options, err error) {
	opts = l.opts
	opts.Root = strings.TrimPrefix(path.Clean("/"+opts.Root), "/")
	files := map[string]*vfs.Entry{}
	for i := range l.entries {
		if e := &l.entries[i]; isFile(e) {
			files[e.Path[1:]] = e
		}
	}
	if len(files) == 0 {
		return set, opts, snapshot.Errorf(snapshot.ErrNotABackup, "%s holds no files, as a backup that failed does: %w", l.name, errNone)
	}
	if e := files[opts.Root]; e != nil {
		opts.Root = ""
		set.Base = l.archive(e)
		return set, opts, nil
	}
	if hasCluster(files, opts.Root) {
		set.Base = tarset.Archive{Name: l.name, Members: l.members(), Content: func(m *tarindex.Member) snapshot.Content {
			return l.content(&l.entries[m.Header])
		}}
		return set, opts, nil
	}
	set, err = l.tars(files, opts.Root)
	opts.Root = ""
	return set, opts, err
}

// hasCluster reports whether there is a data directory at root or, if that is
// empty, anywhere.
func hasCluster(files map[string]*vfs.Entry, root string) bool {
	for name := range files {
		if dir, ok := strings.CutSuffix("/"+name, "/global/pg_control"); ok && (root == "" || dir == "/"+root) &&
			files[strings.TrimPrefix(dir+"/PG_VERSION", "/")] != nil {
			return true
		}
	}
	return false
}

// tars finds the tars of pg_basebackup -Ft in root or, if that is empty, in
// the only folder that has a base.tar; else the only tar there is.
func (l *layout) tars(files map[string]*vfs.Entry, root string) (set tarset.Set, err error) {
	var bases, tars, packed []string
	for name := range files {
		if root != "" && path.Dir(name) != root {
			continue
		}
		switch base := path.Base(name); {
		case base == "base.tar":
			bases = append(bases, name)
		case strings.HasSuffix(base, ".tar"):
			tars = append(tars, name)
		case strings.HasPrefix(base, "base.tar."):
			packed = append(packed, name)
		}
	}
	slices.Sort(bases)
	slices.Sort(tars)
	switch {
	case len(bases) > 1:
		return set, snapshot.Errorf(snapshot.ErrNotABackup, "%s holds %d folders with a base.tar: name one with --root: %s", l.name, len(bases), strings.Join(bases[:min(len(bases), 10)], ", "))
	case len(bases) == 0 && len(packed) > 0:
		return set, snapshot.Errorf(snapshot.ErrUnsupported, "%s: %s is a compressed tar inside a Kloset, which cannot be read on demand: restore it and open it there", l.name, packed[0])
	case len(bases) == 0 && len(tars) == 1:
		set.Base = l.archive(files[tars[0]])
		return set, nil
	case len(bases) == 0 && len(tars) > 1:
		return set, snapshot.Errorf(snapshot.ErrNotABackup, "%s holds %d tars and no data directory: name one with --root: %s", l.name, len(tars), strings.Join(tars[:min(len(tars), 10)], ", "))
	case len(bases) == 0:
		return set, snapshot.Errorf(snapshot.ErrNotABackup, "%s: %d files, but%s %w", l.name, len(files), at(root), errNone)
	}
	dir := path.Dir(bases[0])
	in := func(name string) *vfs.Entry { return files[path.Join(dir, name)] }
	set.Base, set.Tablespaces = l.archive(in("base.tar")), map[uint32]tarset.Archive{}
	if e := in("pg_wal.tar"); e != nil {
		wal := l.archive(e)
		set.WAL = &wal
	}
	if e := in("backup_manifest"); e != nil {
		set.Manifest, set.ManifestSize = l.content(e), e.Size
		set.ManifestMeta = snapshot.Meta{Perm: 0o600, ModTime: e.ModTime, Physical: l.order(e)}
	}
	for _, name := range tars {
		if oid, ok := snapshot.TablespaceOID("pg_tblspc/" + strings.TrimSuffix(path.Base(name), ".tar")); ok && path.Dir(name) == dir {
			set.Tablespaces[oid] = l.archive(files[name])
		}
	}
	return set, nil
}

func at(root string) string {
	if root == "" {
		return ""
	}
	return " at " + root + " there is"
}

// archive is a tar that the snapshot holds as a file.
func (l *layout) archive(e *vfs.Entry) tarset.Archive {
	return tarset.Archive{Name: l.name + ":" + e.Path, Size: e.Size, Data: l.content(e)}
}

// isFile: the importer of tars keeps links as empty files with a target.
func isFile(e *vfs.Entry) bool { return e.Mode.IsRegular() && e.Link == "" }

// members lists the entries as those of a tar; Header is the entry's index.
func (l *layout) members() []tarindex.Member {
	members := make([]tarindex.Member, 0, len(l.entries))
	for i := range l.entries {
		e := &l.entries[i]
		m := tarindex.Member{Name: strings.TrimPrefix(e.Path, "/"), Perm: uint32(e.Mode.Perm()), ModTime: e.ModTime, Header: int64(i)}
		if m.Name == "" {
			m.Name = "."
		}
		switch {
		case !utf8.ValidString(m.Name):
			l.skipped(e, "its name is not UTF-8")
			continue
		case e.Link != "":
			m.Type, m.Link = tarindex.Symlink, e.Link
		case e.Mode.IsRegular():
			m.Type, m.Size = tarindex.File, e.Size
			m.Segments = []tarindex.Segment{{Length: e.Size, At: l.order(e)}}
		case e.Mode.IsDir():
			m.Type = tarindex.Dir
		default:
			l.skipped(e, "it is a "+kindOf(e.Mode))
			continue
		}
		members = append(members, m)
	}
	return members
}

func (l *layout) skipped(e *vfs.Entry, why string) {
	l.draft.Checks = append(l.draft.Checks, snapshot.Check{Name: "files", Outcome: snapshot.Info, Detail: fmt.Sprintf("%.200q left out: %s", e.Path, why)})
}

func kindOf(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeSocket:
		return "socket"
	case fs.ModeNamedPipe:
		return "pipe"
	case fs.ModeSymlink:
		return "link without a target"
	}
	return "device"
}

// order is where the file's data lies: objects are written behind their chunks.
func (l *layout) order(e *vfs.Entry) int64 { return l.repo.Order(format.TypeObject, e.Object) }

// content gives a file's bytes.
func (l *layout) content(e *vfs.Entry) *chunks.File {
	r, name, object, size := l.repo, l.name+":"+e.Path, e.Object, e.Size
	return chunks.NewFile(l.cache, func() ([]vfs.Chunk, error) {
		if size == 0 {
			return nil, nil
		}
		b, err := r.Blob(context.Background(), format.TypeObject, object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list, err := vfs.ParseObject(b, size)
		if err != nil {
			return nil, fmt.Errorf("%s: object %s: %w", name, object.Short(), err)
		}
		return list, nil
	})
}
