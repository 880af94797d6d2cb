package attach

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Requests of linux/fs.h, which x/sys does not name.
const (
	fiFreeze = 0xc0045877 // FIFREEZE, _IOWR('X', 119, int)
	fiThaw   = 0xc0045878 // FITHAW, _IOWR('X', 120, int)
)

// Freeze makes the file system on the device complete and still: dirty pages
// are written and writers wait until Thaw. Freezing twice is an error (EBUSY).
func (a *Attachment) Freeze() error { return onMount(a.mountPoint, "freeze", freeze) }

// Thaw ends Freeze. On a file system that is not frozen it does nothing.
func (a *Attachment) Thaw() error { return onMount(a.mountPoint, "thaw", thaw) }

// Sync writes the file system's dirty pages and metadata to the device.
func (a *Attachment) Sync() error { return onMount(a.mountPoint, "sync", unix.Syncfs) }

func freeze(fd int) error { return unix.IoctlSetInt(fd, fiFreeze, 0) }

// thaw treats EINVAL, "not frozen", as done.
func thaw(fd int) error {
	if err := unix.IoctlSetInt(fd, fiThaw, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

func onMount(point, what string, do func(fd int) error) error {
	fd, err := unix.Open(point, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, point, err)
	}
	defer unix.Close(fd)
	if err := do(fd); err != nil {
		return fmt.Errorf("%s the file system at %s: %w", what, point, err)
	}
	return nil
}
