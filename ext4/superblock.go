package ext4

// Offsets are those of struct ext4_super_block, which lies 1024 bytes into the
// image.
const (
	superOffset = 1024
	superSize   = 1024
	superMagic  = 0xef53

	compatSparseSuper2 = 0x200

	incompatFiletype = 0x2
	incompatExtents  = 0x40
	incompat64bit    = 0x80
	incompatFlexBG   = 0x200

	roSparseSuper  = 0x1
	roLargeFile    = 0x2
	roHugeFile     = 0x8
	roDirNlink     = 0x20
	roExtraIsize   = 0x40
	roMetadataCsum = 0x400
)

// Where the superblock holds times, for Identity, which leaves them out.
var superTimes = [][2]int{
	{0x2c, 8},  // s_mtime, s_wtime
	{0x40, 4},  // s_lastcheck
	{0x108, 4}, // s_mkfs_time
	{0x274, 4}, // the upper bytes of wtime, mtime, mkfs_time and lastcheck
	{0x3fc, 4}, // s_checksum
}

// putSuper writes the superblock to p, which has superSize bytes.
func putSuper(p []byte, g *geometry, o *Options) {
	freeBlocks := uint64(g.end - g.free)
	inodes := g.groups * g.inodesPerGroup
	le.PutUint32(p[0x00:], uint32(inodes))
	le.PutUint32(p[0x04:], uint32(g.end))
	le.PutUint32(p[0x0c:], uint32(freeBlocks))
	le.PutUint32(p[0x10:], uint32(inodes-g.usedInodes))
	le.PutUint32(p[0x14:], 0) // s_first_data_block
	le.PutUint32(p[0x18:], 2) // s_log_block_size: 1024 << 2
	le.PutUint32(p[0x1c:], 2) // s_log_cluster_size
	le.PutUint32(p[0x20:], blocksPerGroup)
	le.PutUint32(p[0x24:], blocksPerGroup) // clusters per group
	le.PutUint32(p[0x28:], uint32(g.inodesPerGroup))
	le.PutUint16(p[0x36:], 0xffff) // s_max_mnt_count: never
	le.PutUint16(p[0x38:], superMagic)
	le.PutUint16(p[0x3a:], 1) // s_state: clean
	le.PutUint16(p[0x3c:], 2) // s_errors: remount read-only
	le.PutUint32(p[0x4c:], 1) // s_rev_level: dynamic
	le.PutUint32(p[0x54:], firstInode)
	le.PutUint16(p[0x58:], inodeSize)
	le.PutUint32(p[0x5c:], compatSparseSuper2)
	le.PutUint32(p[0x60:], incompatFiletype|incompatExtents|incompat64bit|incompatFlexBG)
	le.PutUint32(p[0x64:], roSparseSuper|roLargeFile|roHugeFile|roDirNlink|roExtraIsize|roMetadataCsum)
	copy(p[0x68:0x78], o.UUID[:])
	copy(p[0x78:0x88], o.Label)
	copy(p[0xec:0xfc], o.UUID[:]) // s_hash_seed, should anyone turn on dir_index
	p[0xfc] = 1                   // s_def_hash_version: half MD4
	le.PutUint16(p[0xfe:], descSize)
	le.PutUint32(p[0x150:], uint32(g.end>>32))
	le.PutUint32(p[0x158:], uint32(freeBlocks>>32))
	le.PutUint16(p[0x15c:], extraIsize) // s_min_extra_isize
	le.PutUint16(p[0x15e:], extraIsize) // s_want_extra_isize
	le.PutUint32(p[0x160:], 1)          // s_flags: signed directory hash
	p[0x174] = 4                        // s_log_groups_per_flex: as mke2fs
	p[0x175] = 1                        // s_checksum_type: crc32c
	// s_backup_bgs at 0x24c stays 0, 0: no backup superblock.

	now := newTimestamp(o.Now)
	le.PutUint32(p[0x30:], uint32(now.sec)) // s_wtime
	le.PutUint32(p[0x40:], uint32(now.sec)) // s_lastcheck
	le.PutUint32(p[0x108:], uint32(now.sec))
	high := byte(now.sec >> 32)
	p[0x274], p[0x276], p[0x277] = high, high, high // of wtime, mkfs_time, lastcheck
	le.PutUint32(p[0x3fc:], crc32c(^uint32(0), p[:0x3fc]))
}
