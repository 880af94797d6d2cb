// Package session is the only one that knows the order: it opens a snapshot,
// lays it out, puts an overlay over it, serves and attaches the device, starts
// the server on the mount, and takes all of it down in reverse.
//
//	identify  snapshot.Open: what is it, will it open, what will be changed
//	lay out   ext4.New over its tree, a cow overlay over that, the NBD export
//	attach    the kernel's block device and the mount
//	recover   PostgreSQL's own start on the mount, up to the frozen standby
//	ready     until Close, the time to live, or the server's death
//
// # States
//
//	opening -> ready -> closing -> closed
//	opening -> closing -> failed
//
// Every change is an event with its time and how long it took (Events).
//
// # Nothing is left behind
//
// A session owns one folder below the state directory, named by its id. What
// it takes from the kernel or from Docker is written to the folder's ledger
// before it is taken and again when its details are known. The folder is
// locked (flock) for as long as the process lives, so a ledger whose lock is
// free belongs to a process that died, and Reclaim gives back exactly what it
// names. The snapshot is only ever opened for reading.
//
// # Forks
//
// What a session shares with its forks is a sharedDisk: the backup, the base
// and the store of layers. Each is one of its users, and so is an image of a
// checkpoint that is being copied; the last to let go closes it. The store lies
// in a folder of its own, beside the sessions, with its own lock, since any of
// them may close first.
//
// # Locks
//
// Session.mu guards the state and the ledger and is never held across a call
// that may block on the mount or the server.
package session
