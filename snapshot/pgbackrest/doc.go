// Package pgbackrest opens backups in pgBackRest repositories: full,
// differential and incremental, bundled, block incremental, compressed and
// encrypted, wherever an objects.Store reaches.
//
// # Layout of a repository (format 5)
//
//	backup/<stanza>/backup.info[.copy]            the list of backups
//	backup/<stanza>/<label>/backup.manifest[.copy] one backup: every file, its size,
//	                                              SHA-1, and the backup that holds it
//	backup/<stanza>/<label>/pg_data/...<.gz>      a file by itself
//	backup/<stanza>/<label>/pg_data/...pgbi       a file in blocks, with their map at its end
//	backup/<stanza>/<label>/bundle/<n>            many small files behind each other
//	archive/<stanza>/archive.info[.copy]
//	archive/<stanza>/<version>-<id>/<16 digits>/<segment>-<SHA-1><.gz>
//
// Keys form a chain: the passphrase opens backup.info and archive.info, which
// hold the keys of manifests and of WAL; a manifest holds the key of its files.
// An info file that is damaged is replaced by its .copy, which is said.
//
// # Reading
//
// Opening reads backup.info, one manifest and the few files that say what the
// backup is. Everything else is read when PostgreSQL asks for it:
//
//	stored as it is       straight from the object; encrypted, decrypted by blocks;
//	                      very small, whole, its SHA-1 verified
//	small, compressed     decoded whole into a bounded memory, its SHA-1 verified
//	large, compressed     decoded from its beginning as far as was asked for, into a
//	                      seekable file in the cache; the rest when it is asked for
//	in blocks             only the super blocks that hold what was asked for, each
//	                      block's checksum verified
//
// A file of 1 GiB that is touched at its end is decoded whole, once; the cache
// is keyed by its SHA-1, so other backups that hold the same file profit. A
// snapshot that is closed keeps what it decoded of a file.
//
// The WAL that recovery needs to reach the end of the backup is taken from the
// repository's archive and shown in pg_wal; no more than that, so that what is
// opened is the end of the backup.
//
// # Lock order
//
// stream.mu before vault.opening, vault.mu and streams.mu; the last two are held
// for a list only. While an object is opened vault.opening is held for reading,
// while a large file is decoded its stream.mu.
package pgbackrest
