// Package tars opens backups that lie as tars: one tar with a whole cluster
// (pg_basebackup -D - -Ft -X fetch, or a tar made of a data directory), or a
// folder with base.tar, one <oid>.tar for each tablespace, pg_wal.tar and
// backup_manifest (pg_basebackup -Ft). Each may be compressed, whatever its
// name says.
//
// They are read from an objects.Store, so that a directory of this host, a
// bucket and a web server's folder are the same to this package. A tar that is
// not compressed is read where it lies; of a local one a read of the tree is
// one pread of the file. Package compressed makes the others readable at
// random; package tarset lays their members out as a tree.
package tars
