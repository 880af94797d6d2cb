package attach

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Reclaim gives back what a dead process recorded and still exists. log is
// what Config.Record was called with, in that order, of any number of
// attachments. Whatever is not provably the thing recorded is left alone: a
// record of something that is gone, or that now belongs to somebody else, is
// done. It goes on past errors and joins them; calling it again is harmless.
//
// Processes that use the mount must be stopped by the caller first; the error
// names those that remain. Never call it for an attachment of a living process.
func Reclaim(ctx context.Context, log []Resource) error {
	Abort(log)
	left := Latest(log)
	var errs []error
	for i := len(left) - 1; i >= 0; i-- {
		r := left[i]
		// Directories outlive a boot, nothing else does; and after one a
		// device of the same name is somebody else's.
		if r.Kind != KindDir && r.BootID != bootID() {
			continue
		}
		if err := reclaim(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("reclaim the %s of %s: %w", r.Kind, r.ID, err))
		}
	}
	return errors.Join(errs...)
}

func reclaim(ctx context.Context, r Resource) error {
	switch r.Kind {
	case KindMount:
		return reclaimMount(ctx, r, "ext4")
	case KindFUSE:
		return reclaimMount(ctx, r, "fuse.snapview")
	case KindLoop:
		return reclaimLoop(ctx, r)
	case KindNBD:
		return reclaimNBD(ctx, r)
	case KindDir:
		return removeDir(r.Path)
	}
	return fmt.Errorf("this version of snapview does not know what a %q is", r.Kind)
}

// Abort makes the requests fail that wait for the server of a dead process, and
// those to come. The server died with its process: with NBD they would wait for
// the kernel's timeout, with FUSE for ever if a thread of the dead process
// waits for one of them itself. Reclaim does it first of all; whoever has to
// wait for the process or for users of its mount calls it before that.
func Abort(log []Resource) {
	for _, r := range Latest(log) {
		if r.BootID != bootID() {
			continue
		}
		switch r.Kind {
		case KindNBD:
			eachNBD(r, func(index int) { _ = disconnectNBD(index) })
		case KindFUSE:
			abortFUSE(r)
		}
	}
}

// abortFUSE ends the requests of a FUSE mount whose server is dead. A thread of
// the dead process may itself wait in the kernel for one of them (it unmounted
// when it was killed) and keep the connection open that way, so that nothing
// but an abort ever answers it. Forcing the unmount aborts the connection also
// when the unmount itself fails for being busy.
func abortFUSE(r Resource) {
	top, ok, err := topMount(r.Path)
	if err == nil && ok && top.fstype == "fuse.snapview" && top.source == r.Source {
		_ = unix.Unmount(r.Path, unix.MNT_FORCE)
	}
}

// reclaimMount unmounts what is mounted at the recorded place if its type and
// source are those recorded. A FUSE mount's source is unique by itself; that of
// ext4 is a device, and the mount point is a directory of ours alone.
func reclaimMount(ctx context.Context, r Resource, fstype string) error {
	top, ok, err := topMount(r.Path)
	if err != nil || !ok || top.fstype != fstype || top.source != r.Source {
		return err
	}
	if fstype == "ext4" {
		// Killed between freeze and thaw: unmounting first would leave a
		// frozen file system that nobody can reach any more.
		_ = onMount(r.Path, "thaw", thaw)
	}
	return unmount(ctx, r.Path, top.dev)
}

// reclaimLoop frees the loop device on our FUSE file. Usually there is nothing
// to do: it cleared itself when the mount went or the process died.
func reclaimLoop(ctx context.Context, r Resource) error {
	var names []string
	if r.Path != "" {
		names = []string{filepath.Base(r.Path)}
	} else {
		var err error
		if names, err = loopsOn(r.Backing); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, freeLoop(ctx, name, r))
	}
	return errors.Join(errs...)
}

func freeLoop(ctx context.Context, name string, r Resource) error {
	if r.Backing == "" || loopBacking(name) != r.Backing {
		return nil
	}
	fd, err := unix.Open("/dev/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// Having it open, it cannot change hands; so look again, at more than
	// the name. A dead FUSE file may refuse to tell its identity.
	info, err := unix.IoctlLoopGetStatus64(fd)
	ours := loopBacking(name) == r.Backing
	if err == nil && (info.Device != r.BackingDev || info.Inode != r.BackingIno) {
		ours = false
	}
	if ours {
		err = unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0)
	}
	unix.Close(fd)
	if !ours || errors.Is(err, unix.ENXIO) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clear /dev/%s: %w", name, err)
	}
	return waitLoopFree(ctx, "/dev/"+name, r.Backing)
}

// reclaimNBD frees the device that was recorded.
func reclaimNBD(ctx context.Context, r Resource) error {
	var errs []error
	eachNBD(r, func(index int) { errs = append(errs, freeNBD(ctx, index)) })
	return errors.Join(errs...)
}

// eachNBD calls do for the device that carries our identifier or, where the
// kernel keeps none, was connected by the dead process.
func eachNBD(r Resource, do func(index int)) {
	indices, err := nbdDevices()
	if err != nil {
		return // no NBD here, nothing held
	}
	for _, index := range indices {
		if (r.Index < 0 || index == r.Index) && nbdIsOurs(index, r) {
			do(index)
		}
	}
}

// nbdIsOurs proves that the device is the one recorded.
func nbdIsOurs(index int, r Resource) bool {
	if nbdPID(index) == 0 {
		return false
	}
	if backend := nbdAttribute(index, "backend"); backend != "" || (r.Backend != "" && r.Index < 0) {
		return backend == r.Backend && strings.HasPrefix(backend, "snapview-")
	}
	// No identifier, and the index recorded: the process that connected it
	// is the one that is dead now.
	return r.Index == index && nbdPID(index) == r.PID
}
