// Package snapshot describes a PostgreSQL backup as it lies in its store, and
// reads the files that every backup has whatever keeps it: pg_control,
// backup_label, tablespace_map, backup_manifest, timeline history files and
// the server's configuration.
//
// # Flow
//
// A source (a package below this one: directory, tars, kloset, ...)
// finds out by content that a reference is of its kind, records every file in
// a Builder without reading data, and hands the Builder to Identify, which
// reads the few small files that say what the backup is, draws up the
// preflight checks and returns a Snapshot. Package sources tries one source
// after the other.
//
// # The tree
//
// A snapshot's Tree is an fs.FS with two directories at its root:
//
//	data/               PGDATA exactly as the backup holds it: its own
//	                    postgresql.conf, backup_label, tablespace_map. What has
//	                    to change for a start is changed in the overlay.
//	tablespaces/<oid>/  one directory for each tablespace
//
// data/pg_tblspc/<oid> is a symbolic link to ../../tablespaces/<oid> even
// where the backup holds an absolute link or none at all (tars), and
// data/pg_wal is a directory even where it was a link or a tar of its own.
// Metadata is in memory, about 200 bytes for a file; data is read from the
// store when asked for, and every byte read is counted.
//
// # Trust
//
// A backup is input. Sizes, counts and depths are bounded, links are followed
// only to find tablespaces and pg_wal, and what cannot be represented is an
// error that names the object. Nothing is ever written to the store.
//
// # Import rules
//
// This package imports nothing of snapview; sources import this package and
// the helpers hostdir and tarindex, never each other.
package snapshot
