// Package verify reads a snapshot's files from the first byte to the last and
// compares them with the checksums that were recorded when the backup was
// taken, as pg_verifybackup does of a restored one.
//
// # What is compared with what
//
// The files that backup_manifest lists, with its checksums; where it has none
// (NONE, or a backup without a manifest), with those of the store itself
// (snapshot.Sys). A file that neither knows a checksum of is read to its end,
// which notices what the source notices, and is counted as not verified. Each
// backup of an incremental chain is compared with its own manifest.
//
// As in pg_verifybackup, backup_manifest itself, postgresql.auto.conf,
// standby.signal and recovery.signal may be there or not and differ, and pg_wal
// is judged by the manifest's WAL ranges: each record's checksum, from the first
// that recovery needs to the last.
//
// # Order
//
// Files are read in the order in which they lie in the store, by a worker for
// each core, each of which reads its file forwards. Nothing is kept but names:
// memory grows with the number of files, not with their sizes. What is wrong
// is listed and the rest is read all the same.
package verify
