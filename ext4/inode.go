package ext4

import "encoding/binary"

var le = binary.LittleEndian

// Flags and sizes of struct ext4_inode.
const (
	flagExtents = 0x80000
	extraIsize  = 32 // up to and including i_projid
	inlineBytes = 60 // i_block
)

// putInode writes one inode. blocks are those of data and extent tree; inline
// is what i_block holds: the root of the extent tree, or a short symlink.
func putInode(p []byte, n *node, owner [2]uint32, blocks int64, inline *[inlineBytes]byte, extents bool, fsSeed uint32) {
	uid, gid := owner[0], owner[1]
	sec, extra := n.mtime.fields()
	le.PutUint16(p[0x00:], n.mode)
	le.PutUint16(p[0x02:], uint16(uid))
	le.PutUint32(p[0x04:], uint32(n.size))
	le.PutUint32(p[0x08:], sec) // atime
	le.PutUint32(p[0x0c:], sec) // ctime
	le.PutUint32(p[0x10:], sec) // mtime
	le.PutUint16(p[0x18:], uint16(gid))
	le.PutUint16(p[0x1a:], uint16(n.nlink))
	sectors := uint64(blocks) * (blockSize / 512)
	le.PutUint32(p[0x1c:], uint32(sectors))
	if extents {
		le.PutUint32(p[0x20:], flagExtents)
	}
	copy(p[0x28:], inline[:])
	le.PutUint32(p[0x6c:], uint32(n.size>>32))
	le.PutUint16(p[0x74:], uint16(sectors>>32))
	le.PutUint16(p[0x78:], uint16(uid>>16))
	le.PutUint16(p[0x7a:], uint16(gid>>16))
	le.PutUint16(p[0x80:], extraIsize)
	le.PutUint32(p[0x84:], extra) // ctime
	le.PutUint32(p[0x88:], extra) // mtime
	le.PutUint32(p[0x8c:], extra) // atime
	le.PutUint32(p[0x90:], sec)   // crtime
	le.PutUint32(p[0x94:], extra)
	sum := crc32c(inodeSeed(fsSeed, n.ino), p) // its own two fields being zero
	le.PutUint16(p[0x7c:], uint16(sum))
	le.PutUint16(p[0x82:], uint16(sum>>16))
}
