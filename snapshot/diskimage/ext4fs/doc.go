// Package ext4fs reads an ext4 file system in an image, as it was at the instant
// when the image was taken: nothing is mounted, nothing is written.
//
// # The journal
//
// The image of a running host has a journal whose last transactions are not in
// their places yet. They are replayed into a map in memory, from block to its
// copy in the journal, by the rules of recovery: complete transactions only,
// checksums compared, revoked blocks left out. Every read goes through the map,
// so that files are what a host would see after it had mounted the disk again.
//
// # What is read
//
// ext4 with extents, with or without metadata checksums, 64-bit numbers, meta
// block groups, flexible groups and large directories; ext2 and ext3 with their
// block maps. Refused by name: encryption, data inside of inodes, compression,
// a journal on another device, fast commits that are not in their places.
//
// # Trust
//
// The image is input. Every number is checked against the size of the image
// before it is used; depths, counts and lengths are bounded; a directory or a
// file that contradicts itself is an error of class snapshot.ErrDamaged.
// Sources of the layout: the kernel's documentation (ext4 Data Structures and
// Algorithms) and its headers fs/ext4/ext4.h and include/linux/jbd2.h.
package ext4fs
