// Package diskimage opens the data directory inside of a disk image: raw or
// qcow2, with partitions or a bare file system, or a block device such as an
// LVM snapshot.
//
// The image is a store like any other: the file system is read by package
// ext4fs or xfsfs, journal included, and becomes a snapshot's tree. So nothing of
// it is mounted, looking needs no root, owners inside of the image do not matter,
// and a kernel never parses a file system that somebody else made. Linear volumes
// of LVM are read as well; what cannot be read so (Btrfs, LUKS, ...) is refused by
// name.
//
// # Consistency
//
// An image shows the disk of one instant, as after a power failure. PostgreSQL
// recovers from that by its WAL, whether a backup_label is there or not; but
// only if the image was taken at one instant, which no one can tell from it:
// a check says so.
//
// # Finding the data directory
//
// Every volume is searched, the host's programs last. Tablespaces and pg_wal are
// found by their links: an absolute target is looked for in the same volume and
// then in the others, at its whole path and without its first directories, since
// a volume may have been mounted anywhere.
package diskimage
