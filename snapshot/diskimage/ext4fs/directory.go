package ext4fs

import "io/fs"

// Bounds on a directory: ext4's own largest is 2 GiB, PostgreSQL's have some
// hundred thousand names at most.
const (
	maxDirectory = 512 << 20
	maxLink      = 4096
)

// A Dirent is a name in a directory.
type Dirent struct {
	Name  string
	Inode uint32
}

// ReadDir calls each for every name in a directory but "." and "..", in the
// order in which they lie there. An error from each ends it and is returned.
func (f *FS) ReadDir(in *Inode, each func(Dirent) error) error {
	if !in.Mode.IsDir() {
		return damaged("inode %d is no directory", in.Number)
	}
	if in.Size > maxDirectory {
		return damaged("a directory of %d bytes (inode %d)", in.Size, in.Number)
	}
	c := f.Open(in)
	if err := c.load(); err != nil {
		return err
	}
	there := uint64(0)
	for _, r := range c.runs {
		there += r.count
	}
	if there < uint64(in.Size/f.block) {
		return damaged("the directory with inode %d has holes", in.Number)
	}
	block := make([]byte, f.block)
	// The inner blocks of an indexed directory look like empty ones.
	for off := int64(0); off+f.block <= in.Size; off += f.block {
		if _, err := c.ReadAt(block, off); err != nil && off+f.block != in.Size {
			return err
		}
		for b := block; len(b) > 0; {
			if len(b) < 8 {
				return damaged("the directory with inode %d ends inside of a name", in.Number)
			}
			length := int(le.Uint16(b[4:]))
			if f.block == 65536 && (length == 0 || length == 65535) {
				length = 65536
			}
			name := int(b[6])
			inode := le.Uint32(b)
			if length < 8 || length%4 != 0 || length > len(b) || name+8 > length {
				return damaged("the directory with inode %d has an entry of %d bytes with a name of %d", in.Number, length, name)
			}
			if text := string(b[8 : 8+name]); inode != 0 && text != "." && text != ".." {
				if err := each(Dirent{text, inode}); err != nil {
					return err
				}
			}
			b = b[length:]
		}
	}
	return nil
}

// Readlink returns the target of a symbolic link.
func (f *FS) Readlink(in *Inode) (string, error) {
	if in.Mode.Type() != fs.ModeSymlink || in.Size > maxLink {
		return "", damaged("inode %d is no link of at most %d bytes", in.Number, maxLink)
	}
	if in.Size < int64(len(in.mapping)) && in.flags&flagExtents == 0 {
		return string(in.mapping[:in.Size]), nil
	}
	b := make([]byte, in.Size)
	if n, err := f.Open(in).ReadAt(b, 0); n < len(b) {
		return "", err
	}
	return string(b), nil
}
