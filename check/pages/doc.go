// Package pages reads every page of every relation's file and decides, as the
// server would when it reads the page, whether it is valid: its checksum, if
// the cluster has them, and its header (PageIsVerified in storage/page/bufpage.c).
//
// # When
//
// Pages may be torn in a backup that was taken from a running server, and are
// made whole by recovery. So the files are those of a recovered cluster, on a
// mount, of a server that is idle. A page that looks wrong is read again before
// it is said to be: the server may have been writing it.
//
// # What
//
// Main, free space, visibility and init forks in base/, global/ and the
// tablespaces. Not read: temporary relations, and files that hold no pages
// (pg_control, the relation map, versions). A page of zeros is one that was
// added to a relation and never written; it is valid and is counted apart.
package pages
