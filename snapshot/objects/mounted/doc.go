// Package mounted reads directories that are mounted from elsewhere: network
// file systems, and what backup programs show of their repositories by FUSE
// (restic, borg, kopia, rclone, sshfs). It puts the chunk cache of the object
// stores before them: larger reads, several at once, ahead of who reads
// forwards, and once only.
//
// # When
//
// Each directory that a source opens is asked for its file system
// (package hostdir). Disks of this host are read directly, as ever; so is what
// FUSE shows of them (fuseblk, mergerfs). The user may decide otherwise:
// snapshot.Options.ReadAhead.
//
// # What is kept, and by which name
//
// Chunks are kept by the file's path, size and times, and by marks of the
// backup: the hash of the few files that no two backups have in common
// (pg_control, backup_label). Another backup that is mounted at the same path
// never gets the first one's chunks, whatever its files' times say.
//
// # What does not answer
//
// A read may hang in the kernel as long as the server of a network file system
// is gone. It is given up after a while and tried again, as a request to an
// object store is; the thread that hangs is left behind until the kernel lets go
// of it. Errors of the network are tried again until the reader's patience ends;
// others, EIO among them, are final at once, since they may just as well be
// damage.
package mounted
