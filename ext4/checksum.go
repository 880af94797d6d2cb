package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c continues a checksum as the kernel does: without the inversions at
// both ends that package crc32 makes.
func crc32c(crc uint32, p []byte) uint32 {
	return ^crc32.Update(^crc, castagnoli, p)
}

// seed is where all checksums but the superblock's begin (metadata_csum
// without metadata_csum_seed).
func seed(uuid [16]byte) uint32 { return crc32c(^uint32(0), uuid[:]) }

// inodeSeed is where the checksums of an inode and its blocks begin. The
// generation is 0 in every inode here.
func inodeSeed(fsSeed uint32, ino uint32) uint32 {
	var p [8]byte // inode number, generation
	binary.LittleEndian.PutUint32(p[:], ino)
	return crc32c(fsSeed, p[:])
}
