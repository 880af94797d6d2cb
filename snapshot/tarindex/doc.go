// Package tarindex finds the members of a tar by its headers alone: it reads
// 512 bytes a member at computed offsets and never the data between them, so
// that a tar of a terabyte costs as many reads as it has members.
//
// The standard library's archive/tar can skip data by seeking too, but tells
// neither where a member's data lies nor where a sparse file's holes are, and
// both are what reading on demand needs.
//
// Formats: V7, ustar with prefix, GNU (long names and links, base-256
// numbers, old sparse maps) and PAX (path, linkpath, size, mtime, and sparse
// 0.0, 0.1 and 1.0), as the manuals of GNU tar ("Basic Tar Format", "Storing
// Sparse Files") and POSIX's pax(1) describe them.
//
// The input is not trusted. Checksums are verified; sizes, names, extended
// headers, sparse maps and the number of members are bounded; device nodes,
// FIFOs and volumes of a multi-volume archive are refused; a tar that ends
// inside a member is an error that names the member and the offset. Absolute
// names and those with ".." are refused except as link targets, which are
// text.
package tarindex
