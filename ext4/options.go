package ext4

import (
	"crypto/rand"
	"fmt"
	"time"
)

// Defaults for the zero values of Options.
const (
	DefaultFreeBytes  = 32 << 30
	DefaultFreeInodes = 256 << 10
	DefaultOpenFiles  = 512
)

// Options say how an image is laid out. The zero value is usable.
type Options struct {
	// UID and GID own every inode.
	UID, GID uint32

	// FreeBytes is the least free space for writes, in bytes; 0 means
	// DefaultFreeBytes. The image is rounded up to whole groups of 128 MiB, so
	// there may be more.
	FreeBytes int64

	// FreeInodes is the least number of inodes for new files; 0 means
	// DefaultFreeInodes.
	FreeInodes int64

	// Label is the volume's name, of at most 16 bytes.
	Label string

	// UUID identifies the file system and seeds its checksums. All zeros mean
	// a random one. To open an overlay over the same image again, give the
	// same UUID again.
	UUID [16]byte

	// Now is the time of making, in the superblock; zero means time.Now().
	Now time.Time

	// OpenFiles bounds the files of the tree held open at once; 0 means
	// DefaultOpenFiles.
	OpenFiles int
}

// withDefaults returns o with every zero value filled in, or what is wrong
// with it.
func (o Options) withDefaults() (Options, error) {
	if o.FreeBytes == 0 {
		o.FreeBytes = DefaultFreeBytes
	}
	if o.FreeInodes == 0 {
		o.FreeInodes = DefaultFreeInodes
	}
	if o.OpenFiles == 0 {
		o.OpenFiles = DefaultOpenFiles
	}
	switch {
	case o.FreeBytes < 0 || o.FreeInodes < 0 || o.OpenFiles < 0:
		return o, fmt.Errorf("ext4: negative option: FreeBytes %d, FreeInodes %d, OpenFiles %d",
			o.FreeBytes, o.FreeInodes, o.OpenFiles)
	case len(o.Label) > 16:
		return o, fmt.Errorf("ext4: label %q has %d bytes; at most 16 fit", o.Label, len(o.Label))
	}
	if o.UUID == [16]byte{} {
		rand.Read(o.UUID[:]) // never fails, by its contract
		o.UUID[6] = o.UUID[6]&0x0f | 0x40
		o.UUID[8] = o.UUID[8]&0x3f | 0x80
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	return o, nil
}
