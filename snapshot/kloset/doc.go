// Package kloset opens PostgreSQL backups that lie in a Plakar Kloset: a store
// of many files or a single .ptar, in plain text or encrypted.
//
// # From a page to its bytes
//
//	tree (package snapshot) -> chunks.File -> chunks.Cache -> repo.Repo -> objects.Store
//
// Opening reads CONFIG and the states, which say where every blob lies (package
// state), the header of the snapshot that is asked for, and its tree of names
// (package vfs). The files' lists of chunks and the chunks themselves are read
// when a file is. Packages format, codec and msgpack take the bytes apart;
// klosettest writes stores for tests and benchmarks.
//
// # What is verified
//
// The MACs of CONFIG, of every state and of every blob that is read, and the
// tags of encrypted frames. Only a snapshot's header has no MAC of its own in
// a store in plain text; all that it leads to has. What does not match is an
// error of class ErrDamaged with the blob, its packfile and its offset. A blob
// that lies in several packfiles is read from the first that has it whole.
//
// # Where the data directory is
//
// An import of a tar stream makes PGDATA the snapshot's root, an import of a
// directory keeps the absolute path, and a folder of pg_basebackup -Ft stays
// one of tars: all are found by content (package tarset), or named by
// Options.Root. An import that failed leaves a snapshot without files, so the
// newest snapshot is the newest one that holds a data directory.
package kloset
