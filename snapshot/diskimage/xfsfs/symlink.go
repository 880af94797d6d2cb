package xfsfs

import (
	"fmt"
	"io/fs"
)

// maxLink is the longest target that XFS keeps.
const maxLink = 1024

// Readlink implements imagefs.Node.
func (i *Inode) Readlink() (string, error) {
	size := i.attr.Size
	if i.attr.Mode.Type() != fs.ModeSymlink || size == 0 || size > maxLink {
		return "", damaged("inode %d is no link of at most %d bytes", i.attr.Number, maxLink)
	}
	if i.format == formatLocal {
		if size > int64(len(i.fork)) {
			return "", damaged("inode %d: a link of %d bytes in %d", i.attr.Number, size, len(i.fork))
		}
		return string(i.fork[:size]), nil
	}
	var pieces []record
	m := &mapping{f: i.f, in: i, each: func(r record) { pieces = append(pieces, r) }}
	if i.count > maxLink {
		return "", damaged("inode %d: a link in %d pieces", i.attr.Number, i.count)
	}
	if err := m.load(); err != nil {
		return "", err
	}
	var target []byte
	for _, r := range pieces {
		b, err := i.linkPiece(r, int64(len(target)))
		if err != nil {
			return "", fmt.Errorf("XFS: the link with inode %d: %w", i.attr.Number, err)
		}
		target = append(target, b...)
	}
	if int64(len(target)) < size {
		return "", damaged("inode %d: %d bytes of a link of %d", i.attr.Number, len(target), size)
	}
	return string(target[:size]), nil
}

// linkPiece reads what one extent has of a link's target; in version 5 behind a
// header of its own.
func (i *Inode) linkPiece(r record, offset int64) ([]byte, error) {
	f := i.f
	at, err := f.linear(r.start, r.count)
	if err != nil {
		return nil, err
	}
	if int64(r.count) > max(1, 4*maxLink/f.block) {
		return nil, broken("a piece of %d blocks", r.count)
	}
	b := make([]byte, int64(r.count)*f.block)
	replayed, err := f.readThrough(b, int64(at)*f.block)
	if err != nil || !f.v5 {
		return b, err
	}
	if err := f.identify(b, identity{magicSymlink, 0, 12, 40, 16, 32}, at, i.attr.Number, replayed); err != nil {
		return nil, err
	}
	n := int64(be.Uint32(b[8:]))
	if int64(be.Uint32(b[4:])) != offset || n > int64(len(b))-56 {
		return nil, broken("a piece of %d bytes that begins at byte %d of the target", n, be.Uint32(b[4:]))
	}
	return b[56:][:n], nil
}
