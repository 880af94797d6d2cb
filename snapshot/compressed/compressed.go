// Package compressed makes compressed tars readable at random; package tars
// opens the backups that consist of them.
//
// None of these formats can be read at random, so the first open makes one
// pass over each file, with progress, and keeps what it needs for the next in
// the cache. For gzip and lz4 that is an index of restarts (package spans),
// about 1 % of the data, and the file is read where it lies. Decoders of zstd,
// bzip2 and xz carry too much with them to be restarted; such a tar is copied
// as Zstandard frames of 128 KiB (package seekable), about as large as the
// original. It is never written uncompressed. Beside it stands what the scan
// of the tar read (package tarheaders), so that the next one decodes nothing.
//
// The entry is keyed by the file's size, time and the hash of its head and
// tail; the second open reads nothing of the original but those.
package compressed
