package ext4

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// What the format, or good sense in the face of a hostile tree, allows.
const (
	maxNameLen   = 255
	maxSymlink   = blockSize - 1           // Linux wants room for a NUL
	maxLinks     = 65000                   // EXT4_LINK_MAX
	maxFileSize  = (1<<32 - 1) * blockSize // logical block numbers have 32 bits
	maxEntries   = 10_000_000
	maxDirs      = 1_000_000 // each takes a block of memory
	noPosition   = -1
	noLinkTarget = -1
)

// node is one name of the tree. Nodes of one directory's entries are
// consecutive, sorted by name, so that a directory is a range of them.
type node struct {
	name   string
	target string // of a symlink
	mode   uint16 // as in an inode: type and permissions
	mtime  timestamp
	size   int64
	parent int32
	linkOf int32 // the node whose inode this name shares, or noLinkTarget
	ino    uint32
	nlink  uint32

	firstChild, children int32 // of a directory

	position int64 // in the store, or noPosition
	sparse   bool
	firstBlk uint64 // of the data, once placed
}

func (n *node) isDir() bool     { return n.mode&modeType == modeDir }
func (n *node) isRegular() bool { return n.mode&modeType == modeRegular }
func (n *node) isSymlink() bool { return n.mode&modeType == modeSymlink }

// The type bits of an inode's mode.
const (
	modeType    = 0o170000
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeSymlink = 0o120000
)

// scan reads the whole tree, directory by directory. nodes[0] is the root.
// Inode numbers are given out in the order of the nodes.
func scan(tree fs.FS) ([]node, error) {
	info, err := fs.Stat(tree, ".")
	if err != nil {
		return nil, fmt.Errorf("ext4: reading the root of the tree: %w", err)
	}
	if !info.IsDir() {
		return nil, errors.New("ext4: the root of the tree is no directory")
	}
	s := &scanner{tree: tree, links: make(map[string]int32), nextIno: firstInode}
	root, err := s.node(".", ".", info)
	if err != nil {
		return nil, err
	}
	root.ino, root.nlink = rootInode, 2
	s.nodes = append(s.nodes, root)

	// A stack of its own instead of recursion: depth is the tree's choice.
	// Sub-directories are pushed in reverse, so that they are taken in order.
	type pending struct {
		dir  int32
		path string
	}
	stack := []pending{{0, "."}}
	for len(stack) > 0 {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if err := s.readDir(top.dir, top.path); err != nil {
			return nil, err
		}
		dir := &s.nodes[top.dir]
		for i := dir.firstChild + dir.children - 1; i >= dir.firstChild; i-- {
			if s.nodes[i].isDir() {
				stack = append(stack, pending{i, path.Join(top.path, s.nodes[i].name)})
			}
		}
	}
	return s.nodes, nil
}

type scanner struct {
	tree    fs.FS
	nodes   []node
	links   map[string]int32 // by LinkID: the first node
	nextIno uint32
	dirs    int
	probed  bool // a file was opened to see that it is an io.ReaderAt
}

// readDir appends the entries of one directory.
func (s *scanner) readDir(dir int32, dirPath string) error {
	entries, err := fs.ReadDir(s.tree, dirPath)
	if err != nil {
		return fmt.Errorf("ext4: reading directory %q: %w", dirPath, err)
	}
	byName := func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) }
	if !slices.IsSortedFunc(entries, byName) {
		entries = slices.Clone(entries)
		slices.SortFunc(entries, byName)
	}
	if len(s.nodes)+len(entries) > maxEntries {
		return fmt.Errorf("ext4: the tree has more than %d entries (reached in directory %q)", maxEntries, dirPath)
	}
	s.nodes[dir].firstChild, s.nodes[dir].children = int32(len(s.nodes)), int32(len(entries))
	for i, e := range entries {
		name := e.Name()
		p := path.Join(dirPath, name)
		if err := checkName(dirPath, name); err != nil {
			return err
		}
		if i > 0 && entries[i-1].Name() == name {
			return fmt.Errorf("ext4: %q is twice in its directory", p)
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("ext4: reading the file information of %q: %w", p, err)
		}
		n, err := s.node(p, name, info)
		if err != nil {
			return err
		}
		n.parent = dir
		if err := s.number(p, &n, info); err != nil {
			return err
		}
		s.nodes = append(s.nodes, n)
	}
	return nil
}

// checkName refuses names that a directory cannot hold, and those under which
// an fs.FS could not be asked for the file.
func checkName(dirPath, name string) error {
	switch {
	case len(name) > maxNameLen:
		return fmt.Errorf("ext4: a name in directory %q has %d bytes; at most %d fit: %q",
			dirPath, len(name), maxNameLen, name)
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || !fs.ValidPath(name):
		return fmt.Errorf("ext4: directory %q holds an entry whose name is not usable: %q", dirPath, name)
	}
	return nil
}

// node reads what is to be known of one file from its information.
func (s *scanner) node(p, name string, info fs.FileInfo) (node, error) {
	n := node{
		name:     strings.Clone(name), // not a slice of something larger
		mtime:    newTimestamp(info.ModTime()),
		position: noPosition,
		linkOf:   noLinkTarget,
		nlink:    1,
	}
	mode := info.Mode()
	n.mode = permissions(mode)
	switch mode.Type() {
	case fs.ModeDir:
		n.mode |= modeDir
		n.nlink = 2
	case 0:
		n.mode |= modeRegular
		n.size = info.Size()
		if n.size < 0 || n.size > maxFileSize {
			return n, fmt.Errorf("ext4: file %q has a size of %d bytes; an ext4 file has at most %d", p, n.size, int64(maxFileSize))
		}
		if sys, ok := info.Sys().(interface{ PhysicalOrder() int64 }); ok {
			n.position = max(sys.PhysicalOrder(), 0)
		}
		if sys, ok := info.Sys().(interface{ Sparse() bool }); ok {
			n.sparse = sys.Sparse()
		}
		if n.size > 0 && !s.probed {
			s.probed = true
			if err := s.probe(p); err != nil {
				return n, err
			}
		}
	case fs.ModeSymlink:
		n.mode |= modeSymlink
		target, err := fs.ReadLink(s.tree, p)
		if err != nil {
			return n, fmt.Errorf("ext4: reading symlink %q: %w", p, err)
		}
		if target == "" || len(target) > maxSymlink || strings.IndexByte(target, 0) >= 0 {
			return n, fmt.Errorf("ext4: symlink %q has a target that cannot be stored: %d bytes (1 to %d, none NUL)",
				p, len(target), maxSymlink)
		}
		n.target, n.size = target, int64(len(target))
	default:
		return n, fmt.Errorf("ext4: %q is no file, directory or symlink but has mode %v; remove it from the tree", p, mode)
	}
	return n, nil
}

// number gives n an inode: a new one, or that of the first name of its file.
func (s *scanner) number(p string, n *node, info fs.FileInfo) error {
	if sys, ok := info.Sys().(interface{ LinkID() string }); ok && n.isRegular() {
		if id := sys.LinkID(); id != "" {
			if first, ok := s.links[id]; ok {
				f := &s.nodes[first]
				if f.size != n.size {
					return fmt.Errorf("ext4: %q is a hard link of a file of %d bytes but has %d", p, f.size, n.size)
				}
				if f.nlink == maxLinks {
					return fmt.Errorf("ext4: %q would be link %d of its file; at most %d fit", p, maxLinks+1, maxLinks)
				}
				f.nlink++
				n.linkOf, n.ino = first, f.ino
				return nil
			}
			s.links[id] = int32(len(s.nodes))
		}
	}
	n.ino = s.nextIno
	s.nextIno++
	if n.isDir() {
		if s.dirs++; s.dirs > maxDirs {
			return fmt.Errorf("ext4: the tree has more than %d directories (reached at %q)", maxDirs, p)
		}
		// Its ".." is a link. The kernel counts beyond the limit, by counting
		// no more, only in hashed directories.
		if s.nodes[n.parent].nlink++; s.nodes[n.parent].nlink > maxLinks {
			return fmt.Errorf("ext4: the directory of %q has more than %d sub-directories", p, maxLinks-2)
		}
	}
	return nil
}

// probe opens one file, so that a tree whose files cannot be read at random is
// refused now and not at the first read.
func (s *scanner) probe(p string) error {
	f, err := openRandom(s.tree, p)
	if err != nil {
		return fmt.Errorf("ext4: trying to read %q: %w", p, err)
	}
	return f.Close()
}

// openRandom opens a file of the tree, which must be an io.ReaderAt.
func openRandom(tree fs.FS, p string) (randomFile, error) {
	f, err := tree.Open(p)
	if err != nil {
		return nil, err
	}
	if r, ok := f.(randomFile); ok {
		return r, nil
	}
	err = fmt.Errorf("the tree's file (a %T) cannot be read at random: it is no io.ReaderAt", f)
	return nil, errors.Join(err, f.Close())
}

// permissions returns the lower 12 bits of an inode's mode.
func permissions(m fs.FileMode) uint16 {
	p := uint16(m.Perm())
	if m&fs.ModeSetuid != 0 {
		p |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		p |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		p |= 0o1000
	}
	return p
}

// timestamp is a time as an inode has it: seconds since 1970, in 34 bits that
// begin at -2^31, and nanoseconds.
type timestamp struct {
	sec  int64
	nsec uint32
}

const (
	minSeconds = -1 << 31
	maxSeconds = 3<<32 - 1<<31 - 1 // what is later e2fsck takes for a time before 1970
)

// newTimestamp clamps times that do not fit (before 1901, after April 2310). The
// zero Time, which says "unknown", becomes 1970: the same in every layout.
func newTimestamp(t time.Time) timestamp {
	if t.IsZero() {
		return timestamp{}
	}
	switch sec := t.Unix(); {
	case sec < minSeconds:
		return timestamp{sec: minSeconds}
	case sec > maxSeconds:
		return timestamp{sec: maxSeconds}
	default:
		return timestamp{sec, uint32(t.Nanosecond())}
	}
}

// fields returns the two 32-bit fields of an inode.
func (t timestamp) fields() (low, extra uint32) {
	low = uint32(t.sec)
	epoch := uint32((t.sec-int64(int32(low)))>>32) & 3
	return low, t.nsec<<2 | epoch
}
