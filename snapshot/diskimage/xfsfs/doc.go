// Package xfsfs reads an XFS file system in an image, as it was at the instant
// when the image was taken: nothing is mounted, nothing is written.
//
// # The log
//
// The image of a running host has a log whose transactions are not in their
// places yet. They are replayed into memory, sector by sector, by the rules of
// recovery: the head of the log is where its cycle numbers fall, less what was
// torn there; complete transactions only; buffers that were cancelled left out;
// what is newer in its place than in the log, by its LSN, left as it is. Inodes
// made by one item (inode create) are noted as a range and not written out. Every
// read goes through the sectors, so that files are what a host would see after
// it had mounted the disk again.
//
// Work that a transaction left for the next one (an intent without its done
// item) is of no interest where it concerns free space, reverse maps, reference
// counts, quotas or attributes. Where it maps or unmaps blocks of a file, that
// is done when the file is read. An exchange of two files' extents that is
// half done is refused, with what to do about it, as is all that cannot be
// replayed.
//
// # What is read
//
// Version 5, with or without finobt, sparse inodes, rmapbt, reflink, bigtime,
// large extent counts, exchange-range and parent pointers, and version 4 with
// directories of version 2; blocks and directory blocks of all sizes, extents and
// B+trees, links inside of inodes and outside. Refused by name: an external log,
// files on a realtime device, metadata directories, zones, a file system that
// xfs_repair has not finished, and features that are not known.
//
// # Trust
//
// The image is input. All metadata that version 5 checksums is compared with
// its checksum, own address, owner and file system before a byte of it is used;
// but for blocks that the log replaces parts of, whose checksum is made when they are
// written to their places: there the log's own checksum counts. Every number is
// checked against the file system's geometry, that against the image; depths,
// counts and lengths are bounded.
//
// # Why not a library
//
// The Go packages that read XFS neither look at the log nor at checksums, and
// read version 5's newer inodes in part (masahiro331/go-xfs-filesystem, looked at
// in 2026). Without the log the image of a running host is torn data.
//
// Sources of the layout: "XFS Algorithms & Data Structures" (3rd edition) and the
// kernel's xfs_format.h, xfs_da_format.h and xfs_log_format.h; of the rules of
// recovery: what xfs_log_recover.c and the recovery of its items do.
package xfsfs
