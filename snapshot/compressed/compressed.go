// Package compressed makes compressed tars readable at random; package tars
// opens the backups that consist of them.
//
// None of these formats can be read at random, so the first open makes one
// pass over each file, with progress, and keeps what it needs for the next in
// the cache. For gzip, lz4 and zstd that is an index of restarts (package
// spans), 1 to 2 % of the data, and the file is read where it lies. Decoders of
// bzip2 and xz tell nothing to restart them from; such a tar is copied as
// Zstandard frames of 128 KiB (package seekable), about as large as the
// original. It is never written uncompressed. Beside it stands what the scan
// of the tar read (package tarheaders), so that the next one decodes nothing.
//
// The entry is keyed by the file's size, time and the hash of its head and
// tail; the second open reads nothing of the original but those.
package compressed
