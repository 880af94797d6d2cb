package ext4fs

import (
	"io/fs"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// Bounds on a directory: ext4's own largest is 2 GiB, PostgreSQL's have some
// hundred thousand names at most.
const (
	maxDirectory = 512 << 20
	maxLink      = 4096
)

// ReadDir implements imagefs.Node.
func (i *Inode) ReadDir(each func(imagefs.Dirent) error) error {
	f, number, size := i.f, i.attr.Number, i.attr.Size
	if !i.attr.Mode.IsDir() {
		return damaged("inode %d is no directory", number)
	}
	if size > maxDirectory {
		return damaged("a directory of %d bytes (inode %d)", size, number)
	}
	c := i.Content()
	list, err := c.Extents()
	if err != nil {
		return err
	}
	if list.Blocks() < uint64(size/f.block) {
		return damaged("the directory with inode %d has holes", number)
	}
	block := make([]byte, f.block)
	// The inner blocks of an indexed directory look like empty ones.
	for off := int64(0); off+f.block <= size; off += f.block {
		if _, err := c.ReadAt(block, off); err != nil && off+f.block != size {
			return err
		}
		for b := block; len(b) > 0; {
			if len(b) < 8 {
				return damaged("the directory with inode %d ends inside of a name", number)
			}
			length := int(le.Uint16(b[4:]))
			if f.block == 65536 && (length == 0 || length == 65535) {
				length = 65536
			}
			name := int(b[6])
			inode := le.Uint32(b)
			if length < 8 || length%4 != 0 || length > len(b) || name+8 > length {
				return damaged("the directory with inode %d has an entry of %d bytes with a name of %d", number, length, name)
			}
			if text := string(b[8 : 8+name]); inode != 0 && text != "." && text != ".." {
				if err := each(imagefs.Dirent{Name: text, Number: uint64(inode)}); err != nil {
					return err
				}
			}
			b = b[length:]
		}
	}
	return nil
}

// Readlink implements imagefs.Node.
func (i *Inode) Readlink() (string, error) {
	size := i.attr.Size
	if i.attr.Mode.Type() != fs.ModeSymlink || size > maxLink {
		return "", damaged("inode %d is no link of at most %d bytes", i.attr.Number, maxLink)
	}
	if size < int64(len(i.mapping)) && i.flags&flagExtents == 0 {
		return string(i.mapping[:size]), nil
	}
	b := make([]byte, size)
	if n, err := i.Content().ReadAt(b, 0); n < len(b) {
		return "", err
	}
	return string(b), nil
}
