package ext4

import (
	"fmt"
	"io"
)

// SuperblockOffset and SuperblockSize say where CleanSuperblock's bytes lie.
const (
	SuperblockOffset = superOffset
	SuperblockSize   = superSize
)

// CleanSuperblock reads the superblock of an image that a kernel has mounted
// and that is at rest now (frozen), and returns it marked as cleanly
// unmounted. It returns nil if it is so already.
//
// Linux clears the mark when it mounts a file system without a journal, and
// sets it again only when it unmounts. An image taken in between is complete,
// but would be mounted with the warning "mounting unchecked fs" and checked
// by e2fsck for nothing. Errors that the kernel has noted stay noted.
func CleanSuperblock(r io.ReaderAt) ([]byte, error) {
	sb := make([]byte, superSize)
	if _, err := r.ReadAt(sb, superOffset); err != nil {
		return nil, fmt.Errorf("reading the superblock: %w", err)
	}
	if le.Uint16(sb[0x38:]) != superMagic || crc32c(^uint32(0), sb[:0x3fc]) != le.Uint32(sb[0x3fc:]) {
		return nil, fmt.Errorf("the device holds no ext4 superblock of ours")
	}
	const valid = 1 // EXT4_VALID_FS
	state := le.Uint16(sb[0x3a:])
	if state&valid != 0 {
		return nil, nil
	}
	le.PutUint16(sb[0x3a:], state|valid)
	le.PutUint32(sb[0x3fc:], crc32c(^uint32(0), sb[:0x3fc]))
	return sb, nil
}
