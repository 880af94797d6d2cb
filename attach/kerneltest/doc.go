// Package kerneltest tests attaching by the kernel's NBD client, which most
// containers and many virtual machines lack: it boots a stock kernel in qemu
// with scripts/vm/guest as process 1. It has tests only.
//
// One machine has the kernel's client attach in every way and by other programs,
// with servers that die, stall and lie. In another the whole of snapview opens
// a backup by nbd, with the host's own PostgreSQL. SNAPVIEW_VM=1 has them run, as
// scripts/test.sh does where it is root. SNAPVIEW_VM_APPEND goes to the guest's
// kernel: guest.only=REGEXP chooses checks, guest.repeat=N repeats them.
//
// Nothing is emulated but the machine: the guest's kernel talks to this
// repository's NBD server over a unix socket inside the guest, so there is no
// network, no disk, and no state. qemu's own emulation (TCG) is used always,
// since KVM inside virtual machines is a lottery; booting takes some seconds.
//
// A busy host must not make it fail. What waits for the kernel's timeouts waits
// for all of them at once, and shortens them only when a server begins to lie.
// The guest talks on a serial line that its kernel does not write to. A machine
// that never gets as far as this repository's program is booted again; one that
// hangs later says who waits for what, and is ended in minutes.
package kerneltest
