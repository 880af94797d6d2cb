// Package barman opens backups of a Barman server where they lie: its folder
// with base/ID, wals and streaming, or the folder of one backup. It reads them
// from an objects.Store, so that what barman-cloud-backup put into a bucket is
// the same to it.
//
// backup.info says what a backup is: lines key=value, whose values are Python's
// literals. Since Barman 3.13 it lies in meta/ID-backup.info, before in
// base/ID/backup.info. The data is what other sources read already: base/ID/data
// is a data directory with its tablespaces beside it by OID, or a folder of the
// tars that pg_basebackup wrote, compressed or not. This package adds what they
// cannot know: which backup, where its tablespaces are, when it ended, and the
// WAL that makes it consistent, which lies in wals/ by the first 16 digits of
// the segments' names, or still in streaming/ or incoming/. Segments there may
// be compressed, and are named so by barman-cloud only; they are recognised by
// content and decompressed into memory when they are read.
//
// barman-cloud has no folder data: base/ID/data.tar holds the data directory,
// base/ID/<oid>.tar a tablespace, either with a suffix of its compression, and
// what is larger than it may be goes on in data_0001.tar and so on, whole tars
// each. backup_label and pg_control are the last members that it adds.
//
// A backup whose info says that it was not finished is listed with the reason
// and not opened. One that waits for its WAL is opened if the WAL is there.
package barman
