// Package attach is the kernel side of a session: it turns a block.Device into
// a mounted ext4 file system and takes that down again.
//
// # Two ways into the kernel
//
// nbd: the kernel's own NBD client connects to our NBD server over a unix
// socket and gives us /dev/nbdN. Best where it exists, but the nbd module is
// absent from many kernels of containers and small virtual machines.
//
// fuse: a FUSE file system with one file, served by this process, and a loop
// device with direct I/O on that file. Needs only /dev/fuse and loop devices.
//
//	nbd:  block.Device <- NBD server <- unix socket <- /dev/nbdN          <- ext4
//	fuse: block.Device <- FUSE file "disk"          <- /dev/loopN (direct) <- ext4
//
// # Nothing is left behind
//
// Attach is a list of steps, each with its undo. Before a step takes something
// of the kernel's, Config.Record is told what that will be; after it, what it
// became (the number of the loop device, the index of the NBD device). When a
// step fails, the steps before it are undone. Detach undoes all of them in
// reverse and may be called again, after a failure too, to go on where it
// stopped. After kill -9 the records are given to Reclaim, which releases what
// they name, and only after it has proved that the thing of that name is still
// the one recorded: loop devices and NBD devices are numbered from a small pool
// that the whole machine shares.
//
// # Deadlocks to know about
//
// In fuse mode this process is both the server of the disk and a user of the
// mount that lies on it. A goroutine that touches the mount sits in a system
// call until another goroutine has answered the read; that is safe as long as
// the first one does so in a way that the Go runtime can see (a system call),
// never in a page fault on mapped memory. The file under the loop device is
// opened by a raw system call: os.Open would register it with the runtime's
// poller, and epoll on a FUSE file asks that file's server, which is us.
//
// With nbd the server is in this process too, and its sockets are closed only when
// the last of its threads is gone. One that waits for its own disk keeps them
// open after kill -9, with requests that nobody will answer: Abort ends them. So
// that it can, the sockets have room for all that the kernel may send (queue.go).
//
// # A connection that is deaf
//
// Of several connections of one NBD device the kernel may serve the answers of
// the first only, on a machine that is short of time when they are made. Each is
// tried before the device is used (nbdprobe.go).
//
// All of it is Linux; the package builds nowhere else, by design.
package attach
