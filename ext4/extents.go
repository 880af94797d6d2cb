package ext4

// The extent tree: a root in the inode with room for 4 entries, and blocks of
// 340. All entries have 12 bytes, as has the header.
const (
	extentMagic   = 0xf30a
	maxExtentLen  = 32768 // blocks; more would mean "not initialised"
	rootEntries   = 4
	blockEntries  = (blockSize - 12 - 4) / 12 // a header before, a checksum behind
	extentTailOff = 12 + 12*blockEntries
)

// treeBlocks returns the blocks that the extent tree of a run of n blocks
// takes beside the inode.
func treeBlocks(n int64) int64 {
	total := int64(0)
	for entries := ceilDiv(n, maxExtentLen); entries > rootEntries; {
		entries = ceilDiv(entries, blockEntries)
		total += entries
	}
	return total
}

// extentEntry is an extent, or an index entry that points to a block of them.
type extentEntry struct {
	logical uint32
	start   uint64
	length  uint16 // 0 in an index entry
}

// putExtents writes the tree of one run of n blocks from start. Its root goes
// to inline, its blocks to tree, whose first is block treeStart of the image.
func putExtents(inline *[inlineBytes]byte, tree []byte, treeStart uint64, start uint64, n int64, inoSeed uint32) {
	entries := make([]extentEntry, 0, ceilDiv(n, maxExtentLen))
	for at := int64(0); at < n; at += maxExtentLen {
		entries = append(entries, extentEntry{uint32(at), start + uint64(at), uint16(min(n-at, maxExtentLen))})
	}
	depth := uint16(0)
	for len(entries) > rootEntries {
		parents := make([]extentEntry, 0, ceilDiv(int64(len(entries)), blockEntries))
		for len(entries) > 0 {
			part := entries[:min(len(entries), blockEntries)]
			entries = entries[len(part):]
			b := tree[:blockSize:blockSize]
			tree = tree[blockSize:]
			putExtentNode(b, part, blockEntries, depth)
			le.PutUint32(b[extentTailOff:], crc32c(inoSeed, b[:extentTailOff]))
			parents = append(parents, extentEntry{logical: part[0].logical, start: treeStart})
			treeStart++
		}
		entries = parents
		depth++
	}
	putExtentNode(inline[:], entries, rootEntries, depth)
}

func putExtentNode(p []byte, entries []extentEntry, room int, depth uint16) {
	le.PutUint16(p[0:], extentMagic)
	le.PutUint16(p[2:], uint16(len(entries)))
	le.PutUint16(p[4:], uint16(room))
	le.PutUint16(p[6:], depth)
	for i, e := range entries {
		q := p[12+12*i:]
		le.PutUint32(q[0:], e.logical)
		if depth == 0 {
			le.PutUint16(q[4:], e.length)
			le.PutUint16(q[6:], uint16(e.start>>32))
			le.PutUint32(q[8:], uint32(e.start))
		} else {
			le.PutUint32(q[4:], uint32(e.start))
			le.PutUint16(q[8:], uint16(e.start>>32))
		}
	}
}
