package xfsfs

import "slices"

// Fields of an inode that an item says it holds.
const (
	loggedData    = 0x002
	loggedExtents = 0x004
	loggedTree    = 0x008
	loggedFork    = loggedData | loggedExtents | loggedTree
	loggedOwner   = 0x200 // the blocks of the data fork's tree are to name it

	maxFlushes = 0xFFFF
)

// inode replays one: its core always, its data fork if that was changed. What is
// logged of attributes is left out, since they are not read.
func (r *replayer) inode(i *item, lsn uint64) error {
	b := i.regions[0]
	if len(i.regions) < 2 || len(b) < 52 || len(i.regions[1]) < nextUnused {
		return broken("an inode's item of %d regions, %d bytes", len(i.regions), len(b))
	}
	// Hosts of 32 bits wrote it without padding.
	fields, number, place := le.Uint32(b[4:]), le.Uint64(b[12:]), b[36:]
	if len(b) >= 56 {
		number, place = le.Uint64(b[16:]), b[40:]
	}
	buffer := span{int64(le.Uint64(place)), int64(int32(le.Uint32(place[8:])))}
	if r.cancelled[buffer] > 0 {
		return nil
	}
	_, at, err := r.f.place(number)
	if err != nil {
		return err
	}
	if want := buffer.at*sector + int64(int32(le.Uint32(place[12:]))); want != at {
		return broken("the item of inode %d is for byte %d, its place is byte %d", number, want, at)
	}
	disk, _, err := r.f.rawInode(number)
	if err != nil {
		return err
	}
	core := i.regions[1]
	if be.Uint16(disk) != magicInode || le.Uint16(core) != magicInode || r.f.v5 && len(core) < core5 {
		return broken("inode %d has no magic number, in its place or in the log", number)
	}
	if fields&loggedOwner != 0 {
		if r.f.overlay.adopted == nil {
			r.f.overlay.adopted = map[uint64]bool{}
		}
		r.f.overlay.adopted[number] = true
	}
	if r.newer(disk, core, lsn) {
		return nil
	}
	r.core(disk, core, lsn)
	if fields&loggedFork != 0 {
		if len(i.regions) < 3 {
			return broken("the item of inode %d has no data fork", number)
		}
		if err := r.fork(disk, i.regions[2], fields); err != nil {
			return broken("the data fork of inode %d: %w", number, err)
		}
	}
	return r.putInode(at, disk)
}

// newer says whether the inode in its place is newer than the log's.
func (r *replayer) newer(disk, core []byte, lsn uint64) bool {
	if r.f.v5 {
		there := valid(be.Uint64(disk[inodeLSN:]))
		return there != 0 && there > lsn
	}
	// Version 4 counts how often it was written, around the end.
	there, here := be.Uint16(disk[30:]), le.Uint16(core[30:])
	return here < there && (there != maxFlushes || here >= maxFlushes/2)
}

// widths are the fields of an inode's core: the log has them in the order of
// its host's bytes.
var (
	widths4 = []int{2, 2, 1, 1, 2, 4, 4, 4, 2, 2, 1, 1, 1, 1, 1, 1, 2, 4, 4, 4, 4, 4, 4, 8, 8, 4, 4, 2, 1, 1, 4, 2, 2, 4}
	// behind nextUnused and the checksum
	widths5 = []int{8, 8, 8, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 8}
)

// core puts the log's core over the one in its place.
func (r *replayer) core(disk, core []byte, lsn uint64) {
	at := swap(disk, core, 0, widths4)
	clear(disk[6:8]) // a count of links that version 1 had
	if !r.f.v5 {
		clear(disk[30:32]) // of how often it was written
		return
	}
	swap(disk, core, at+8, widths5)
	copy(disk[160:core5], core[160:])
	be.PutUint64(disk[inodeLSN:], lsn)
	flags2 := le.Uint64(core[120:])
	if flags2&flag2ManyExtent != 0 {
		swap(disk, core, 24, []int{8})
	} else {
		clear(disk[24:32])
	}
	if flags2&flag2BigTime != 0 {
		swap(disk, core, 32, []int{8, 8, 8})
		swap(disk, core, 144, []int{8})
	}
}

// swap copies fields from offset at on, each with its bytes turned around.
func swap(to, from []byte, at int, widths []int) int {
	for _, w := range widths {
		copy(to[at:at+w], from[at:at+w])
		slices.Reverse(to[at : at+w])
		at += w
	}
	return at
}

// fork replaces the data fork.
func (r *replayer) fork(disk, b []byte, fields uint32) error {
	begin := core4
	if r.f.v5 {
		begin = core5
	}
	end := len(disk)
	if fork := int(disk[82]) * 8; fork != 0 {
		end = min(end, begin+fork)
	}
	into := disk[begin:end]
	if fields&loggedFork == loggedTree {
		return r.root(into, b)
	}
	// The region's end is padding.
	if len(b) > len(into)+3 {
		return broken("%d bytes for %d", len(b), len(into))
	}
	copy(into, b)
	return nil
}

// root turns the root of a tree of extents, in the log a block like any other,
// into the form that it has in an inode.
func (r *replayer) root(into, b []byte) error {
	header := 24
	if r.f.v5 {
		header = 72
	}
	if len(b) < header+16 || len(into) < 4+16 {
		return broken("a root of %d bytes for %d", len(b), len(into))
	}
	count, room, roomInto := int(be.Uint16(b[6:])), (len(b)-header)/16, (len(into)-4)/16
	if count > room || count > roomInto {
		return broken("a root of %d entries in %d bytes for %d", count, len(b), len(into))
	}
	clear(into)
	copy(into, b[4:8]) // level and count
	copy(into[4:], b[header:][:8*count])
	copy(into[4+8*roomInto:], b[header+8*room:][:8*count])
	return nil
}

// putInode stores an inode, which may be a part of a sector only.
func (r *replayer) putInode(at int64, b []byte) error {
	from := at / sector * sector
	whole := make([]byte, (at+int64(len(b))-from+sector-1)/sector*sector)
	if _, err := r.f.readThrough(whole, from); err != nil {
		return err
	}
	copy(whole[at-from:], b)
	return r.f.overlay.put(from/sector, whole)
}

// inodeCreate notes a range of new inodes that are not in use.
func (r *replayer) inodeCreate(b []byte) error {
	if len(b) < 28 {
		return broken("an item that creates inodes of %d bytes", len(b))
	}
	group, block := uint64(be.Uint32(b[4:])), uint64(be.Uint32(b[8:]))
	count, size, blocks := be.Uint32(b[12:]), int64(be.Uint32(b[16:])), uint64(be.Uint32(b[20:]))
	f := r.f
	if !f.v5 || size != f.inodeSize || uint64(count)*uint64(size) != blocks*uint64(f.block) || blocks > 1<<16 || block>>f.agBits != 0 {
		return broken("an item that creates %d inodes of %d bytes in %d blocks", count, size, blocks)
	}
	first, err := f.linear(group<<f.agBits|block, blocks)
	if err != nil {
		return err
	}
	if f.overlay.fresh == nil {
		f.overlay.fresh = map[uint64]bool{}
	}
	perBlock := f.block / sector
	for n := range blocks {
		if r.clusterCancelled(first, n) {
			continue
		}
		f.overlay.fresh[first+n] = true
		for s := range perBlock {
			f.overlay.drop(int64(first+n)*perBlock + s)
		}
	}
	if len(f.overlay.fresh) > maxOverlay/256 {
		return unsupported("the log creates more inodes than are kept in memory: %s", remedy)
	}
	return nil
}

// clusterCancelled says whether the buffer that a block of new inodes is in was
// cancelled. How large such buffers are depends on how the file system was made.
func (r *replayer) clusterCancelled(first, n uint64) bool {
	for _, size := range []int64{8192, 8192 * r.f.inodeSize / 256, r.f.block} {
		size = max(size, r.f.block)
		per := uint64(size / r.f.block)
		at := int64(first+n/per*per) * (r.f.block / sector)
		if r.cancelled[span{at, size / sector}] > 0 {
			return true
		}
	}
	return false
}
