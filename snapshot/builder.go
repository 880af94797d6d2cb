package snapshot

import (
	"io/fs"
	"math"
	"path"
	"strings"
	"time"
)

// Bounds on a tree. PostgreSQL's own names are far shorter, and a cluster of
// 100,000 tables has about a million files.
const (
	MaxName  = 255     // bytes of a name, as ext4
	MaxPath  = 4096    // bytes of a path, as PATH_MAX
	MaxFiles = 8 << 20 // names in a tree
	maxDepth = 64
)

// Meta is what a Builder records of one file.
type Meta struct {
	Perm    fs.FileMode // permission bits only
	ModTime time.Time

	// Physical is Sys.PhysicalOrder; LinkID is Sys.LinkID.
	Physical int64
	LinkID   string

	// Checksum is Sys.Checksum, nil if the store has none.
	Checksum *Checksum
}

func (m Meta) sys() Sys { return Sys{m.Physical, m.LinkID, m.Checksum} }

// A Builder collects the files of a snapshot. Paths are those of the Tree,
// slash-separated, "data/..." and "tablespaces/<oid>/...". Missing parents are
// made with mode 0700, what PostgreSQL gives its directories. It is not for
// concurrent use.
type Builder struct {
	t     *tree
	files int
}

// NewBuilder returns a Builder of an empty tree.
func NewBuilder() *Builder {
	return &Builder{t: &tree{root: newDir(".")}}
}

func newDir(name string) *node {
	return &node{name: name, mode: fs.ModeDir | 0o700, children: map[string]*node{}, sys: Sys{physical: -1}}
}

// parent finds or makes the directory that name lies in.
func (b *Builder) parent(name string) (*node, string, error) {
	if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) {
		return nil, "", Errorf(ErrUnsafe, "%.200q is not a path a backup may hold", name)
	}
	if len(name) > MaxPath || strings.Count(name, "/") >= maxDepth {
		return nil, "", Errorf(ErrUnsafe, "path of %d bytes and %d levels: %.80q...", len(name), strings.Count(name, "/"), name)
	}
	dir := b.t.root
	for {
		elem, rest, more := strings.Cut(name, "/")
		if len(elem) > MaxName {
			return nil, "", Errorf(ErrUnsafe, "name of %d bytes, at most %d can be represented: %.80q...", len(elem), MaxName, elem)
		}
		if !more {
			return dir, elem, nil
		}
		c := dir.children[elem]
		if c == nil {
			var err error
			if c, err = b.put(dir, newDir(elem)); err != nil {
				return nil, "", err
			}
		}
		if !c.mode.IsDir() {
			return nil, "", Errorf(ErrDamaged, "%q has files below it but is not a directory", elem)
		}
		dir, name = c, rest
	}
}

func (b *Builder) put(dir, n *node) (*node, error) {
	if dir.children[n.name] == nil {
		if b.files++; b.files > MaxFiles {
			return nil, Errorf(ErrUnsafe, "more than %d files", MaxFiles)
		}
	}
	dir.children[n.name] = n
	return n, nil
}

// Dir records a directory, or new permissions and time for one that exists.
func (b *Builder) Dir(name string, m Meta) error {
	dir, base, err := b.parent(name)
	if err != nil {
		return err
	}
	n := dir.children[base]
	switch {
	case n == nil:
		if n, err = b.put(dir, newDir(base)); err != nil {
			return err
		}
	case !n.mode.IsDir():
		return Errorf(ErrDamaged, "%s is both a directory and not one", name)
	}
	n.mode, n.mtime = fs.ModeDir|m.Perm.Perm(), m.ModTime
	return nil
}

// File records a regular file of size bytes. A later record of the same name
// replaces an earlier one, as unpacking a tar would.
func (b *Builder) File(name string, size int64, c Content, m Meta) error {
	if size < 0 || size > math.MaxInt64/2 {
		return Errorf(ErrDamaged, "%s: impossible size %d", name, size)
	}
	return b.leaf(name, &node{mode: m.Perm.Perm(), size: size, content: c, mtime: m.ModTime, sys: m.sys()})
}

// Symlink records a symbolic link.
func (b *Builder) Symlink(name, target string, m Meta) error {
	if target == "" || len(target) > MaxPath || strings.ContainsRune(target, 0) {
		return Errorf(ErrUnsafe, "%s: impossible link target %.80q", name, target)
	}
	return b.leaf(name, &node{mode: fs.ModeSymlink | 0o777, size: int64(len(target)), link: target, mtime: m.ModTime, sys: Sys{physical: -1}})
}

func (b *Builder) leaf(name string, n *node) error {
	dir, base, err := b.parent(name)
	if err != nil {
		return err
	}
	if old := dir.children[base]; old != nil && old.mode.IsDir() {
		return Errorf(ErrDamaged, "%s is both a directory and not one", name)
	}
	n.name = base
	_, err = b.put(dir, n)
	return err
}

// Remove forgets a name, with everything below it.
func (b *Builder) Remove(name string) {
	dir, err := b.t.walk(path.Dir(name), false, 0)
	if err == nil && dir.mode.IsDir() {
		delete(dir.children, path.Base(name))
	}
}

// Tree returns what was recorded. The Builder must not be used afterwards.
func (b *Builder) Tree() Tree { return b.finish() }

func (b *Builder) finish() *tree {
	sortNodes(b.t.root)
	return b.t
}
