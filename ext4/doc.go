// Package ext4 lays a tree of files out as an ext4 file system image that is
// never written anywhere: metadata is computed, and file data is read from the
// tree when it is asked for.
//
// # Layout
//
//	block 0: superblock | group descriptors | all block bitmaps | all inode
//	bitmaps | all inode tables | directories and long symlinks | extent tree
//	blocks | file data | free space
//
// Everything in use is one prefix of the blocks and one prefix of the inodes.
// So each bitmap follows from one number and is made when it is read; only the
// superblock, the descriptors, the used inodes, the directories and the extent
// tree blocks are kept in memory (about 10 MB for a terabyte in 21,000 files).
// Each file's data is one contiguous run of blocks, so that a read of the
// image is one read of one file, straight into the caller's buffer. Files lie
// in the order in which they lie in their store, where the tree knows it (see
// New): a sequential scan here is then a sequential scan there.
//
// Blocks have 4096 bytes, groups 32768 blocks, inodes 256 bytes, descriptors
// 64 bytes. The image is a whole number of groups. Free space and spare inodes
// are zeros that nobody stores and cost nothing.
//
// # Features, and why
//
//   - extents, 64bit, flex_bg, filetype, huge_file, large_file, dir_nlink,
//     extra_isize: what every kernel since 3.18 reads and what lifts the limits.
//   - sparse_super2 without any backup superblock: nothing interrupts the data.
//   - metadata_csum: a mistake of a layer above becomes an error, not a wrong
//     answer.
//   - INODE_ZEROED in each descriptor: the inode tables read as zeros already,
//     and without the flag Linux's lazy initialisation writes every one.
//   - no journal: it would only add writes. The overlay above is disposable,
//     and a checkpoint freezes the file system first.
//   - no resize_inode, no dir_index: linear directories are fast enough for the
//     sizes that PostgreSQL has (0.2 ms for a cold look-up among 20,000).
//
// The format is described in the kernel's Documentation/filesystems/ext4 and
// judged by e2fsck, the kernel's mount and diff in this package's tests.
//
// # Limits
//
// Files of up to 16 TiB, 64 TiB in all, 10 million entries, a million of them
// directories, names of 255 bytes, symlinks of 4095 bytes, 65,000 hard links to
// a file, 64,998 sub-directories of a directory. Extended attributes are not
// carried over. What cannot be represented is refused by New with an error that
// names the path.
//
// # Concurrency
//
// An Image is immutable but for the files it holds open: at most
// Options.OpenFiles, least recently used closed first, a file in use never.
// The lock of that table is held for look-ups only, never while a file is
// opened, read or closed.
package ext4
