// Package filemap reads from an ext4 image which blocks belong to which file,
// without mounting it.
//
// It is for images that package ext4 laid out and a kernel has written to
// since: a checkpoint's disk is such an image at rest. So it knows the features
// that package ext4 chooses (extents, 64bit, flex_bg, metadata_csum; 4 KiB
// blocks; linear directories) and refuses others by name.
//
// It reads the superblock, group descriptors, the inodes that directories
// name, directories and extent tree blocks, and never the data of a file. The
// checksum of everything that it follows is verified, so that an image that is
// torn or damaged is an error, and never a wrong answer.
//
// Inodes that no directory names (files that were deleted while a process had
// them open) are not reported. A file with several names is reported by the
// first.
//
// The bytes are not trusted: each directory is read once, and what is read in
// all, kept in memory and followed in depth is bounded.
package filemap
