package attach

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// unmountPatience is how long a busy mount is retried when the caller's
// context sets no earlier end. The usual reasons (udev's probe of a new block
// device, a process that is just dying) pass in milliseconds.
const unmountPatience = 10 * time.Second

// ext4Options are the mount options below the flags:
//   - noinit_itable: the inode tables are virtual zeros; initialising them
//     lazily would write all of them into the overlay.
//   - no_prefetch_block_bitmaps: at mount the kernel would read every block
//     bitmap in the background (since 5.8; older kernels do not know it).
//   - discard: blocks of deleted files are given back to the overlay.
//   - errors=remount-ro: a damaged overlay must not be written on.
var ext4Options = []string{
	"noinit_itable,discard,errors=remount-ro,no_prefetch_block_bitmaps",
	"noinit_itable,discard,errors=remount-ro",
}

// mountExt4 mounts device at point. The flags keep a stranger's files from
// being programs or devices here.
func mountExt4(device, point string, readOnly bool) error {
	flags := uintptr(unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	var err error
	for _, options := range ext4Options {
		if err = unix.Mount(device, point, "ext4", flags, options); !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	if err == nil {
		return nil
	}
	hint := ""
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EUCLEAN):
		hint = " (the device holds no ext4 that this kernel accepts; dmesg says why)"
	case errors.Is(err, unix.ENODEV):
		hint = " (this kernel has no ext4: modprobe ext4)"
	case errors.Is(err, unix.EPERM):
		hint = " (this needs root with CAP_SYS_ADMIN)"
	}
	return fmt.Errorf("mount %s as ext4 at %s: %w%s", device, point, err, hint)
}

// unmount unmounts point, whose files have st_dev dev. While it is busy it
// tries again until ctx ends, at most unmountPatience. That nothing is mounted
// there any more is success.
func unmount(ctx context.Context, point string, dev uint64) error {
	ctx, cancel := context.WithTimeout(ctx, unmountPatience)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		err := unmountNow(point)
		if errors.Is(err, unix.EBUSY) {
			return false, nil
		}
		return true, err
	})
	if errors.Is(err, errPollEnd) {
		return &BusyError{MountPoint: point, Holders: holders(dev)}
	}
	return err
}

// unmountNow is umount(2), once; EINVAL and ENOENT mean that nothing is there.
func unmountNow(point string) error {
	// UMOUNT_NOFOLLOW: the directory is ours, but a link in its place is not.
	err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("unmount %s: %w", point, err)
}

// errPollEnd says that the context of poll ended before its condition held.
var errPollEnd = errors.New("condition not reached in time")

// poll calls try, in growing intervals from 1 to 50 ms, until it is done or
// ctx ends; it is called at least once.
func poll(ctx context.Context, try func() (done bool, err error)) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if done, err := try(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errPollEnd
		case <-time.After(wait):
		}
	}
}
