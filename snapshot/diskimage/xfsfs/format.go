package xfsfs

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/snapview/snapview/snapshot"
)

// Numbers are big-endian on disk, in the log's items those of the host that
// wrote them; checksums are little-endian.
var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

// Magic numbers of what is read.
const (
	magicSuperblock = 0x58465342 // XFSB
	magicInode      = 0x494E     // IN
	magicMap4       = 0x424D4150 // BMAP
	magicMap5       = 0x424D4133 // BMA3
	magicDirBlock4  = 0x58443242 // XD2B
	magicDirData4   = 0x58443244 // XD2D
	magicDirBlock5  = 0x58444233 // XDB3
	magicDirData5   = 0x58444433 // XDD3
	magicSymlink    = 0x58534C4D // XSLM
)

// sector is XFS's basic block, in bytes: the unit of its addresses on disk and
// in the log, whatever the device's sectors are.
const sector = 512

func damaged(format string, args ...any) error {
	return snapshot.Errorf(snapshot.ErrDamaged, "XFS: "+format, args...)
}

// broken is an error of a part, which its caller puts the whole's name before.
func broken(format string, args ...any) error {
	return snapshot.Errorf(snapshot.ErrDamaged, format, args...)
}

func unsupported(format string, args ...any) error {
	return snapshot.Errorf(snapshot.ErrUnsupported, "XFS: "+format, args...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf is the checksum of a block that holds it at an offset: CRC-32C with the
// checksum's own bytes as zeros.
func sumOf(b []byte, at int) uint32 {
	sum := crc32.Update(0, castagnoli, b[:at])
	sum = crc32.Update(sum, castagnoli, []byte{0, 0, 0, 0})
	return crc32.Update(sum, castagnoli, b[at+4:])
}

func matches(b []byte, at int) bool { return le.Uint32(b[at:]) == sumOf(b, at) }
