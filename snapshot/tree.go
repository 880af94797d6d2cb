package snapshot

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A Tree is a snapshot's files.
//
// Regular files opened from it implement io.ReaderAt and io.Seeker besides
// fs.File, and Prefetch(off, n int64), a hint that returns at once. Infos have
// a *Sys as their Sys. Reading may be done by many goroutines at once, on one
// file or on several.
type Tree interface {
	fs.ReadLinkFS
	fs.ReadDirFS
	fs.StatFS
}

// Content is a regular file's bytes. ReadAt follows io.ReaderAt; it may be
// asked only for offsets inside the file, the tree takes care of the end. A
// Content that also has Prefetch(off, n int64) is told of reads to come.
type Content interface{ io.ReaderAt }

// Sys is what a tree's fs.FileInfo gives beyond the standard's.
type Sys struct {
	physical int64
	linkID   string
	checksum *Checksum
}

// A Checksum is of a whole file's contents.
type Checksum struct {
	Algorithm string // as a manifest names it: CRC32C, SHA1, SHA224, SHA256, SHA384 or SHA512
	Sum       []byte // CRC32C in little-endian order, as PostgreSQL writes it
}

// PhysicalOrder is a number that grows with the place of the file's data in
// its store, such as the offset in a tar; -1 when unknown. Reading files in
// this order reads the store forwards.
func (s *Sys) PhysicalOrder() int64 { return s.physical }

// LinkID is equal for, and only for, files that are hard links to the same
// data; empty for a file with one name.
func (s *Sys) LinkID() string { return s.linkID }

// Checksum is what the store itself recorded of the file's contents, nil if it
// did not.
func (s *Sys) Checksum() *Checksum { return s.checksum }

// tree is a Tree in memory, made by a Builder.
type tree struct {
	root   *node
	closed atomic.Bool
}

// A node is one name in the tree.
type node struct {
	name     string
	mode     fs.FileMode // type and permissions
	size     int64
	mtime    time.Time
	link     string // target of a symbolic link
	content  Content
	sys      Sys
	children map[string]*node // of a directory
	sorted   []*node          // the same, by name, once built
}

const maxLinkDepth = 40 // as Linux's ELOOP

// find resolves name from the root. The last element is followed if it is a
// link and follow is set.
func (t *tree) find(op, name string, follow bool) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if t.closed.Load() {
		return nil, &fs.PathError{Op: op, Path: name, Err: os.ErrClosed}
	}
	n, err := t.walk(name, follow, 0)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return n, nil
}

func (t *tree) walk(name string, follow bool, depth int) (*node, error) {
	if depth > maxLinkDepth {
		return nil, fs.ErrInvalid
	}
	n, rest := t.root, name
	if rest == "." {
		return n, nil
	}
	done := ""
	for rest != "" {
		var elem string
		elem, rest, _ = strings.Cut(rest, "/")
		if n.mode.Type() != fs.ModeDir {
			return nil, fs.ErrNotExist
		}
		c := n.children[elem]
		if c == nil {
			return nil, fs.ErrNotExist
		}
		if c.mode.Type() == fs.ModeSymlink && (rest != "" || follow) {
			to, ok := linkTarget(path.Join(done, elem), c.link)
			if !ok {
				return nil, fs.ErrNotExist // leaves the tree
			}
			return t.walk(path.Join(to, rest), follow, depth+1)
		}
		n, done = c, path.Join(done, elem)
	}
	return n, nil
}

// linkTarget resolves a link's target lexically; ok is false if it leaves the
// tree.
func linkTarget(at, target string) (string, bool) {
	if path.IsAbs(target) || target == "" {
		return "", false
	}
	to := path.Join(path.Dir(at), target)
	return to, to != ".." && !strings.HasPrefix(to, "../")
}

func (t *tree) Open(name string) (fs.File, error) {
	n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return &dirFile{info: info{n, path.Base(name)}, entries: entries(n)}, nil
	}
	if !n.mode.IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return &file{t: t, info: info{n, path.Base(name)}, path: name}, nil
}

func (t *tree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return info{n, path.Base(name)}, nil
}

func (t *tree) Lstat(name string) (fs.FileInfo, error) {
	n, err := t.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return info{n, path.Base(name)}, nil
}

func (t *tree) ReadLink(name string) (string, error) {
	n, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.mode.Type() != fs.ModeSymlink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return n.link, nil
}

func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	return entries(n), nil
}

func entries(n *node) []fs.DirEntry {
	list := make([]fs.DirEntry, len(n.sorted))
	for i, c := range n.sorted {
		list[i] = fs.FileInfoToDirEntry(info{c, c.name})
	}
	return list
}

// sortNodes prepares the listings; after it the tree is only read.
func sortNodes(n *node) {
	n.sorted = make([]*node, 0, len(n.children))
	for _, c := range n.children {
		n.sorted = append(n.sorted, c)
		if c.mode.IsDir() {
			sortNodes(c)
		}
	}
	slices.SortFunc(n.sorted, func(a, b *node) int { return strings.Compare(a.name, b.name) })
}

// info is a node under the name it was asked for.
type info struct {
	n    *node
	name string
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.n.size }
func (i info) Mode() fs.FileMode  { return i.n.mode }
func (i info) ModTime() time.Time { return i.n.mtime }
func (i info) IsDir() bool        { return i.n.mode.IsDir() }
func (i info) Sys() any           { return &i.n.sys }

// Bytes is a Content held in memory.
func Bytes(b []byte) Content { return bytes.NewReader(b) }
