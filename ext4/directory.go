package ext4

// A linear directory: blocks of entries, none crossing a block, each block
// closed by a pseudo-entry of 12 bytes with its checksum.
const (
	dirTail     = 12
	dirCapacity = blockSize - dirTail
	dirTailType = 0xde
)

// File types in directory entries (feature filetype).
const (
	typeRegular = 1
	typeDir     = 2
	typeSymlink = 7
)

func fileType(n *node) byte {
	switch {
	case n.isDir():
		return typeDir
	case n.isSymlink():
		return typeSymlink
	default:
		return typeRegular
	}
}

// appendDir appends the blocks of directory dir to p.
func appendDir(p []byte, nodes []node, dir *node, fsSeed uint32) []byte {
	w := dirWriter{p: p, seed: inodeSeed(fsSeed, dir.ino)}
	w.add(dir.ino, typeDir, ".")
	w.add(nodes[dir.parent].ino, typeDir, "..")
	for i := dir.firstChild; i < dir.firstChild+dir.children; i++ {
		w.add(nodes[i].ino, fileType(&nodes[i]), nodes[i].name)
	}
	w.finishBlock()
	return w.p
}

type dirWriter struct {
	p    []byte
	seed uint32
	last int // offset of the block's last entry in p
	used int // bytes of the block in use; 0: no block begun
}

func (w *dirWriter) add(ino uint32, typ byte, name string) {
	size := (8 + len(name) + 3) &^ 3
	if w.used > 0 && w.used+size > dirCapacity {
		w.finishBlock()
	}
	if w.used == 0 {
		w.p = append(w.p, make([]byte, blockSize)...)
	}
	w.last = len(w.p) - blockSize + w.used
	e := w.p[w.last:]
	le.PutUint32(e[0:], ino)
	le.PutUint16(e[4:], uint16(size))
	e[6] = byte(len(name))
	e[7] = typ
	copy(e[8:], name)
	w.used += size
}

// finishBlock gives the rest of the block to its last entry and adds the tail.
func (w *dirWriter) finishBlock() {
	b := w.p[len(w.p)-blockSize:]
	last := w.last - (len(w.p) - blockSize)
	le.PutUint16(b[last+4:], uint16(dirCapacity-last))
	tail := b[dirCapacity:]
	le.PutUint16(tail[4:], dirTail)
	tail[7] = dirTailType
	le.PutUint32(tail[8:], crc32c(w.seed, b[:dirCapacity]))
	w.used = 0
}
