package ext4

import (
	"cmp"
	"slices"
)

// dataFile is a regular file with data, as the image remembers it. They are
// sorted by their place in the image.
type dataFile struct {
	path   string
	size   int64 // bytes, at least 1
	start  int64 // byte offset in the image
	sparse bool
}

// metadata is all of an image but the data: what is computed once and kept.
type metadata struct {
	geometry
	head   []byte // superblock and group descriptors, whole blocks
	inodes []byte // the used inodes, from number 1 on
	meta   []byte // directories, long symlinks, extent tree blocks
	files  []dataFile
	layout Layout
}

// build lays out nodes, of which nodes[0] is the root.
func build(nodes []node, o *Options) (*metadata, error) {
	fsSeed := seed(o.UUID)
	m := &metadata{}
	m.layout = count(nodes)

	// Directories need inode numbers only, so they are written first; what
	// comes after them, and so the geometry, needs to know how large they are.
	dirBlock := make([]int64, 0, m.layout.Directories) // relative to meta
	for i := range nodes {
		if n := &nodes[i]; n.isDir() {
			dirBlock = append(dirBlock, int64(len(m.meta)/blockSize))
			m.meta = appendDir(m.meta, nodes, n, fsSeed)
			n.size = int64(len(m.meta)) - dirBlock[len(dirBlock)-1]*blockSize
		}
	}
	metaBlocks := int64(len(m.meta) / blockSize)
	for i := range nodes {
		n := &nodes[i]
		if n.linkOf != noLinkTarget {
			continue
		}
		if n.isSymlink() && n.size >= inlineBytes {
			metaBlocks++
		}
		if !n.isSymlink() {
			metaBlocks += treeBlocks(blocksFor(n.size))
		}
	}

	order, dataBlocks := place(nodes)
	var err error
	m.geometry, err = plan(firstInode-1+countInodes(nodes), o.FreeInodes, metaBlocks, dataBlocks, blocksFor(o.FreeBytes))
	if err != nil {
		return nil, err
	}
	m.placeFiles(nodes, order)
	m.writeInodes(nodes, dirBlock, metaBlocks, o, fsSeed)
	m.writeHead(nodes, o, fsSeed)
	m.finishLayout(dataBlocks)
	return m, nil
}

// place returns the files with data in the order in which to lay them out,
// and sets each node's first block relative to the data's beginning. Those
// whose position in the store is known come first, in that order; the others
// follow in the order of the tree.
func place(nodes []node) (order []int32, blocks int64) {
	for i := range nodes {
		if n := &nodes[i]; n.isRegular() && n.size > 0 && n.linkOf == noLinkTarget {
			order = append(order, int32(i))
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		x, y := nodes[a].position, nodes[b].position
		if (x == noPosition) != (y == noPosition) {
			return cmp.Compare(y, x) // noPosition is less than all others
		}
		return cmp.Compare(x, y)
	})
	for _, i := range order {
		nodes[i].firstBlk = uint64(blocks)
		blocks += blocksFor(nodes[i].size)
	}
	return order, blocks
}

// placeFiles makes the blocks of files absolute and remembers where they are.
func (m *metadata) placeFiles(nodes []node, order []int32) {
	paths := newPather(nodes)
	m.files = make([]dataFile, len(order))
	for k, i := range order {
		n := &nodes[i]
		n.firstBlk += uint64(m.data)
		m.files[k] = dataFile{paths.path(i), n.size, int64(n.firstBlk) * blockSize, n.sparse}
	}
}

// writeInodes writes the used inodes, and into meta what hangs on them: long
// symlinks and extent trees.
func (m *metadata) writeInodes(nodes []node, dirBlock []int64, metaBlocks int64, o *Options, fsSeed uint32) {
	m.inodes = make([]byte, m.usedInodes*inodeSize)
	m.meta = append(make([]byte, 0, metaBlocks*blockSize), m.meta...)
	owner := [2]uint32{o.UID, o.GID}
	dirs := 0
	for i := range nodes {
		n := &nodes[i]
		if n.linkOf != noLinkTarget {
			continue
		}
		var inline [inlineBytes]byte
		start, length, tree, extents := n.firstBlk, blocksFor(n.size), int64(0), true
		switch {
		case n.isDir():
			start = uint64(m.geometry.meta + dirBlock[dirs])
			dirs++
		case n.isSymlink() && n.size < inlineBytes:
			copy(inline[:], n.target)
			length, extents = 0, false
		case n.isSymlink():
			start = uint64(m.endOfMeta())
			m.growMeta(1)
			copy(m.meta[len(m.meta)-blockSize:], n.target)
		}
		if extents {
			tree = treeBlocks(length)
			at := uint64(m.endOfMeta())
			blocks := m.growMeta(tree)
			putExtents(&inline, blocks, at, start, length, inodeSeed(fsSeed, n.ino))
		}
		off := int64(n.ino-1) * inodeSize
		putInode(m.inodes[off:off+inodeSize], n, owner, length+tree, &inline, extents, fsSeed)
	}
}

// endOfMeta returns the block of the image that growMeta will give out next.
func (m *metadata) endOfMeta() int64 { return m.geometry.meta + int64(len(m.meta))/blockSize }

// growMeta adds n zeroed blocks to meta and returns them.
func (m *metadata) growMeta(n int64) []byte {
	old := len(m.meta)
	m.meta = m.meta[:old+int(n)*blockSize] // the capacity was counted beforehand
	return m.meta[old:]
}

func (m *metadata) writeHead(nodes []node, o *Options, fsSeed uint32) {
	m.head = make([]byte, m.blockBitmaps*blockSize)
	putSuper(m.head[superOffset:superOffset+superSize], &m.geometry, o)
	dirs := make([]int32, m.groups)
	for i := range nodes {
		if nodes[i].isDir() {
			dirs[int64(nodes[i].ino-1)/m.inodesPerGroup]++
		}
	}
	putDescriptors(m.head[blockSize:], &m.geometry, dirs, fsSeed)
}

// count returns how many nodes there are of each kind.
func count(nodes []node) (l Layout) {
	for i := range nodes {
		switch n := &nodes[i]; {
		case n.linkOf != noLinkTarget:
			l.HardLinks++
		case n.isDir():
			l.Directories++
		case n.isSymlink():
			l.Symlinks++
		default:
			l.Files++
		}
	}
	return l
}

// countInodes returns the inodes that nodes take, without the reserved ones,
// to which the root belongs.
func countInodes(nodes []node) int64 {
	l := count(nodes)
	return l.Files + l.Directories + l.Symlinks - 1
}

func (m *metadata) finishLayout(dataBlocks int64) {
	l := &m.layout
	l.Size = m.end * blockSize
	l.BlockSize = blockSize
	l.Blocks = m.end
	l.Groups = m.groups
	l.MetadataBytes = m.data * blockSize
	l.DataBytes = dataBlocks * blockSize
	l.FreeBytes = (m.end - m.free) * blockSize
	l.Inodes = m.groups * m.inodesPerGroup
	l.UsedInodes = m.usedInodes
	l.MemoryBytes = int64(len(m.head) + len(m.inodes) + len(m.meta))
}

// pather makes paths of nodes, keeping those of directories.
type pather struct {
	nodes []node
	dirs  map[int32]string
}

func newPather(nodes []node) *pather {
	return &pather{nodes, map[int32]string{0: ""}}
}

func (p *pather) path(i int32) string {
	return p.prefix(p.nodes[i].parent) + p.nodes[i].name
}

// prefix returns the path of directory i with a slash, or "" for the root. It
// goes up to the first directory known and down again, without recursion.
func (p *pather) prefix(i int32) string {
	var chain []int32
	s, ok := p.dirs[i]
	for ; !ok; s, ok = p.dirs[i] {
		chain = append(chain, i)
		i = p.nodes[i].parent
	}
	for k := len(chain) - 1; k >= 0; k-- {
		s += p.nodes[chain[k]].name + "/"
		p.dirs[chain[k]] = s
	}
	return s
}
