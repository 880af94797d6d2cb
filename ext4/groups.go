package ext4

// groupInodeZeroed says that the rest of a group's inode table is zeros.
const groupInodeZeroed = 0x4

// usedIn returns how many of the size units of group are below the prefix of
// used ones.
func usedIn(group, used, size int64) int64 {
	return min(max(used-group*size, 0), size)
}

// putBitmap writes the bitmap block of a group of which the first used of size
// units are in use. Bits past size are set, as the format wants.
func putBitmap(p []byte, used, size int64) {
	clear(p)
	setBits(p, 0, used)
	setBits(p, size, 8*blockSize)
}

func setBits(p []byte, from, to int64) {
	for ; from < to && from%8 != 0; from++ {
		p[from/8] |= 1 << (from % 8)
	}
	if from >= to {
		return
	}
	for ; from+8 <= to; from += 8 {
		p[from/8] = 0xff
	}
	for ; from < to; from++ {
		p[from/8] |= 1 << (from % 8)
	}
}

// bitmapSummer computes checksums of bitmaps. Nearly all of them are full or
// empty, so the last is kept.
type bitmapSummer struct {
	seed, sum  uint32
	used, size int64
	valid      bool
	buf        [blockSize]byte
}

func (s *bitmapSummer) checksum(used, size int64) uint32 {
	if !s.valid || s.used != used || s.size != size {
		putBitmap(s.buf[:], used, size)
		s.sum = crc32c(s.seed, s.buf[:size/8])
		s.used, s.size, s.valid = used, size, true
	}
	return s.sum
}

// putDescriptors writes the group descriptors. dirs counts the directories of
// each group's inodes.
func putDescriptors(p []byte, g *geometry, dirs []int32, fsSeed uint32) {
	blockSums := bitmapSummer{seed: fsSeed}
	inodeSums := bitmapSummer{seed: fsSeed}
	for i := range g.groups {
		d := p[i*descSize : (i+1)*descSize]
		usedBlocks := usedIn(i, g.free, blocksPerGroup)
		usedInodes := usedIn(i, g.usedInodes, g.inodesPerGroup)
		freeInodes := g.inodesPerGroup - usedInodes
		blockSum := blockSums.checksum(usedBlocks, blocksPerGroup)
		inodeSum := inodeSums.checksum(usedInodes, g.inodesPerGroup)

		put32(d, 0x00, 0x20, uint64(g.blockBitmaps+i))
		put32(d, 0x04, 0x24, uint64(g.inodeBitmaps+i))
		put32(d, 0x08, 0x28, uint64(g.inodeTables+i*g.tableBlocks()))
		put16(d, 0x0c, 0x2c, uint32(blocksPerGroup-usedBlocks))
		put16(d, 0x0e, 0x2e, uint32(freeInodes))
		put16(d, 0x10, 0x30, uint32(dirs[i]))
		le.PutUint16(d[0x12:], groupInodeZeroed)
		put16(d, 0x18, 0x38, blockSum)
		put16(d, 0x1a, 0x3a, inodeSum)
		put16(d, 0x1c, 0x32, uint32(freeInodes)) // inodes never used: those at the end

		var group [4]byte
		le.PutUint32(group[:], uint32(i))
		sum := crc32c(crc32c(fsSeed, group[:]), d) // its own field being zero
		le.PutUint16(d[0x1e:], uint16(sum))
	}
}

// put32 writes the two 32-bit halves of v, put16 the two 16-bit halves.
func put32(d []byte, lo, hi int, v uint64) {
	le.PutUint32(d[lo:], uint32(v))
	le.PutUint32(d[hi:], uint32(v>>32))
}

func put16(d []byte, lo, hi int, v uint32) {
	le.PutUint16(d[lo:], uint16(v))
	le.PutUint16(d[hi:], uint16(v>>16))
}
