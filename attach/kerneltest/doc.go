// Package kerneltest tests attaching by the kernel's NBD client, which most
// containers and many virtual machines lack: it boots a stock kernel in qemu
// with scripts/vm/guest as its whole user space. It has tests only.
//
// Nothing is emulated but the machine: the guest's kernel talks to this
// repository's NBD server over a unix socket inside the guest, so there is no
// network, no disk, and no state. qemu's own emulation (TCG) is used always,
// since KVM inside virtual machines is a lottery; booting takes some seconds.
package kerneltest
