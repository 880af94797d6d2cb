package ext4

import "fmt"

// Sizes of the format, fixed here because one choice serves every tree.
const (
	blockSize      = 4096
	blocksPerGroup = 8 * blockSize // one bitmap block describes one group
	groupBytes     = blocksPerGroup * blockSize
	inodeSize      = 256
	inodesPerBlock = blockSize / inodeSize
	descSize       = 64
	maxInodesGroup = 8 * blockSize

	rootInode  = 2
	firstInode = 11 // 1 to 10 are reserved

	maxImageSize = 64 << 40
	maxInodes    = 1<<32 - 1
)

// geometry is where everything lies, in blocks from the image's beginning.
type geometry struct {
	groups         int64
	inodesPerGroup int64
	usedInodes     int64

	blockBitmaps int64 // group descriptors lie before, from block 1
	inodeBitmaps int64
	inodeTables  int64
	meta         int64 // directories, long symlinks, extent tree blocks
	data         int64
	free         int64
	end          int64
}

// tableBlocks returns the blocks of one group's inode table.
func (g *geometry) tableBlocks() int64 { return g.inodesPerGroup / inodesPerBlock }

// plan finds the smallest whole number of groups that holds metaBlocks of
// directories and trees, dataBlocks of files and the free space and inodes
// wanted. Descriptors, bitmaps and tables grow with the number of groups, which
// grows with them: hence the loop. It ends because a group's overhead is far
// smaller than a group.
func plan(usedInodes, freeInodes, metaBlocks, dataBlocks, freeBlocks int64) (geometry, error) {
	const maxBlocks = maxImageSize / blockSize
	if dataBlocks > maxBlocks || freeBlocks > maxBlocks || metaBlocks > maxBlocks {
		return geometry{}, tooLarge(dataBlocks, freeBlocks)
	}
	if freeInodes > maxInodes {
		return geometry{}, tooManyInodes(usedInodes, freeInodes)
	}
	inodes := usedInodes + freeInodes
	g := geometry{usedInodes: usedInodes, groups: ceilDiv(inodes, maxInodesGroup)}
	for {
		g.inodesPerGroup = ceilDiv(ceilDiv(inodes, g.groups), inodesPerBlock) * inodesPerBlock
		g.blockBitmaps = 1 + ceilDiv(g.groups*descSize, blockSize)
		g.inodeBitmaps = g.blockBitmaps + g.groups
		g.inodeTables = g.inodeBitmaps + g.groups
		g.meta = g.inodeTables + g.groups*g.tableBlocks()
		g.data = g.meta + metaBlocks
		g.free = g.data + dataBlocks
		g.end = g.free + freeBlocks
		need := ceilDiv(g.end, blocksPerGroup)
		if need > maxBlocks/blocksPerGroup {
			return geometry{}, tooLarge(dataBlocks, freeBlocks)
		}
		if need <= g.groups {
			break
		}
		g.groups = need
	}
	if g.groups*g.inodesPerGroup > maxInodes {
		return geometry{}, tooManyInodes(usedInodes, freeInodes)
	}
	g.end = g.groups * blocksPerGroup
	return g, nil
}

func tooManyInodes(used, free int64) error {
	return fmt.Errorf("ext4: %d used and %d free inodes are too many; at most %d fit", used, free, int64(maxInodes))
}

func tooLarge(dataBlocks, freeBlocks int64) error {
	return fmt.Errorf("ext4: %d bytes of file data and %d bytes of free space do not fit into the largest image of %d bytes",
		dataBlocks*blockSize, freeBlocks*blockSize, int64(maxImageSize))
}

// ceilDiv returns a/b rounded up, for a not negative, without overflow.
func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 {
		q++
	}
	return q
}

// blocksFor returns the blocks that n bytes take.
func blocksFor(n int64) int64 { return ceilDiv(n, blockSize) }
