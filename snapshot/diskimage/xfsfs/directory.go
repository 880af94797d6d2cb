package xfsfs

import (
	"fmt"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// Bounds and places of a directory: names first, then, from 32 GiB on, the
// index of their hashes, which is not read. PostgreSQL's directories have some
// hundred thousand names at most.
const (
	maxDirectory = 512 << 20
	indexAt      = 32 << 30
)

// ReadDir implements imagefs.Node.
func (i *Inode) ReadDir(each func(imagefs.Dirent) error) error {
	if !i.attr.Mode.IsDir() {
		return damaged("inode %d is no directory", i.attr.Number)
	}
	if i.format == formatLocal {
		return i.shortDirectory(each)
	}
	list, err := i.extents()
	if err != nil {
		return err
	}
	per := uint64(i.f.dirBlock / i.f.block)
	next, count := uint64(0), 0
	for _, e := range list {
		if e.Logical >= uint64(indexAt/i.f.block) {
			break
		}
		for n := max(next, e.Logical/per); n*per < e.Logical+e.Count; n++ {
			if count++; int64(count) > maxDirectory/i.f.dirBlock {
				return damaged("a directory of more than %d bytes (inode %d)", maxDirectory, i.attr.Number)
			}
			b, err := i.directoryBlock(list, n*per)
			if err != nil {
				return fmt.Errorf("XFS: the directory with inode %d: %w", i.attr.Number, err)
			}
			if err := i.names(b, each); err != nil {
				return err
			}
			next = n + 1
		}
	}
	if count == 0 {
		return damaged("the directory with inode %d has no blocks", i.attr.Number)
	}
	return nil
}

// shortDirectory reads the names in an inode: counts, the parent's number, then
// the names, with numbers of 8 bytes each if one of them needs that.
func (i *Inode) shortDirectory(each func(imagefs.Dirent) error) error {
	wrong := damaged("the directory in inode %d contradicts itself", i.attr.Number)
	if i.attr.Size > int64(len(i.fork)) || i.attr.Size < 6 {
		return wrong
	}
	b := i.fork[:i.attr.Size]
	count, width := int(b[0]), 4
	if b[1] != 0 {
		width = 8
	}
	if len(b) < 2+width {
		return wrong
	}
	b = b[2+width:]
	behind := width // of the name: the number, and a type
	if i.f.types {
		behind++
	}
	for range count {
		if len(b) < 3 || b[0] == 0 || len(b) < 3+int(b[0])+behind {
			return wrong
		}
		end := 3 + int(b[0])
		number := uint64(be.Uint32(b[end+behind-width:]))
		if width == 8 {
			number = be.Uint64(b[end+behind-width:])
		}
		if err := each(imagefs.Dirent{Name: string(b[3:end]), Number: number}); err != nil {
			return err
		}
		b = b[end+behind:]
	}
	return nil
}

// directoryBlock reads one, which may lie in several pieces, and checks what it
// says of itself.
func (i *Inode) directoryBlock(list imagefs.Extents, logical uint64) ([]byte, error) {
	f := i.f
	b := make([]byte, f.dirBlock)
	replayed := false
	var first uint64
	for n := uint64(0); n < uint64(f.dirBlock/f.block); n++ {
		at, ok := list.Find(logical + n)
		if !ok {
			return nil, broken("it has a hole at its block %d", logical+n)
		}
		if n == 0 {
			first = at
		}
		r, err := f.readThrough(b[int64(n)*f.block:][:f.block], int64(at)*f.block)
		if err != nil {
			return nil, err
		}
		replayed = replayed || r
	}
	if !f.v5 {
		if m := be.Uint32(b); m != magicDirBlock4 && m != magicDirData4 {
			return nil, broken("block %d has the magic number %#x, no directory's", first, m)
		}
		return b, nil
	}
	return b, f.identify(b, identity{magicDirBlock5, magicDirData5, 4, 8, 24, 40}, first, i.attr.Number, replayed)
}

// names reads the names in a block: entries of their own lengths, each with its
// place in the block at its end, and gaps. A directory of one block has its
// index behind them.
func (i *Inode) names(b []byte, each func(imagefs.Dirent) error) error {
	wrong := func(at int) error {
		return damaged("the directory with inode %d: a block of it contradicts itself at byte %d", i.attr.Number, at)
	}
	at, end := 16, len(b)
	if i.f.v5 {
		at = 64
	}
	if m := be.Uint32(b); m == magicDirBlock4 || m == magicDirBlock5 {
		index := int64(be.Uint32(b[len(b)-8:]))*8 + 8
		if index > int64(len(b)-at) {
			return wrong(len(b) - 8)
		}
		end -= int(index)
	}
	for at < end {
		rest := b[at:end]
		if len(rest) < 8 {
			return wrong(at)
		}
		if be.Uint16(rest) == 0xFFFF { // a gap
			length := int(be.Uint16(rest[2:]))
			if length < 8 || length%8 != 0 || length > len(rest) || int(be.Uint16(rest[length-2:])) != at {
				return wrong(at)
			}
			at += length
			continue
		}
		if len(rest) < 16 {
			return wrong(at)
		}
		name := int(rest[8])
		length := 8 + 1 + name + 2
		if i.f.types {
			length++
		}
		length = (length + 7) &^ 7
		if name == 0 || length > len(rest) || int(be.Uint16(rest[length-2:])) != at {
			return wrong(at)
		}
		if text := string(rest[9 : 9+name]); text != "." && text != ".." {
			if err := each(imagefs.Dirent{Name: text, Number: be.Uint64(rest)}); err != nil {
				return err
			}
		}
		at += length
	}
	return nil
}
