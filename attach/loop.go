package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	loopControl = "/dev/loop-control"
	loopMajor   = 7
	// loopSector is the device's logical block size: what ext4 and the
	// overlay use, so that nothing smaller ever arrives.
	loopSector = 4096
)

// setLoop makes a loop device of the file at path and returns it open. The
// device clears itself when its last user closes it (autoclear), so closing
// the descriptor undoes setLoop until a mount holds the device, and the
// unmount undoes it from then on, even when we are no longer there.
func setLoop(ctx context.Context, path, name string, readOnly bool) (fd int, device string, err error) {
	mode := unix.O_RDWR
	if readOnly {
		mode = unix.O_RDONLY
	}
	// Raw: see "Deadlocks" in the package documentation.
	file, err := unix.Open(path, mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(file)
	control, err := unix.Open(loopControl, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("open %s: %w%s", loopControl, err, loopHint(err))
	}
	defer unix.Close(control)

	// Between GET_FREE and CONFIGURE anybody may take the device: try again.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = poll(ctx, func() (bool, error) {
		index, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return false, fmt.Errorf("find a free loop device: %w", err)
		}
		device = fmt.Sprintf("/dev/loop%d", index)
		fd, err = openBlockDevice(device, loopMajor, uint32(index), mode)
		if err != nil {
			return false, fmt.Errorf("open %s: %w", device, err)
		}
		err = configureLoop(fd, file, name, readOnly)
		if err == nil {
			return true, nil
		}
		unix.Close(fd)
		if errors.Is(err, unix.EBUSY) {
			return false, nil
		}
		return false, fmt.Errorf("make %s a loop device on %s: %w", device, path, err)
	})
	if errors.Is(err, errPollEnd) {
		err = fmt.Errorf("no loop device could be had: others took each one that was free")
	}
	if err != nil {
		return -1, "", err
	}
	return fd, device, nil
}

// configureLoop puts file under the loop device fd: in one step, or for
// kernels before 5.8 in several.
func configureLoop(fd, file int, name string, readOnly bool) error {
	info := unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO}
	if readOnly {
		info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	copy(info.File_name[:len(info.File_name)-1], name)
	err := unix.IoctlLoopConfigure(fd, &unix.LoopConfig{Fd: uint32(file), Size: loopSector, Info: info})
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	return configureLoopOld(fd, file, info)
}

// configureLoopOld is configureLoop by the calls of old kernels.
func configureLoopOld(fd, file int, info unix.LoopInfo64) error {
	if err := unix.IoctlSetInt(fd, unix.LOOP_SET_FD, file); err != nil {
		return err
	}
	// The read-only flag follows from how the file was opened, and direct
	// I/O has a call of its own.
	info.Flags &= unix.LO_FLAGS_AUTOCLEAR
	if err := unix.IoctlLoopSetStatus64(fd, &info); err != nil {
		return errors.Join(err, unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0))
	}
	// Both are for speed; 512-byte sectors and a page cache work as well.
	_ = unix.IoctlSetInt(fd, unix.LOOP_SET_BLOCK_SIZE, loopSector)
	_ = unix.IoctlSetInt(fd, unix.LOOP_SET_DIRECT_IO, 1)
	return nil
}

// openBlockDevice opens a device that the kernel has, making its node when the
// /dev of this container has none.
func openBlockDevice(path string, major, minor uint32, mode int) (int, error) {
	fd, err := unix.Open(path, mode|unix.O_CLOEXEC, 0)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(major, minor))); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	return unix.Open(path, mode|unix.O_CLOEXEC, 0)
}

func loopHint(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return " (is the loop module loaded? modprobe loop; a container needs --device /dev/loop-control and the loop devices, or --privileged)"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return " (this needs root with CAP_SYS_ADMIN)"
	}
	return ""
}

// loopBacking returns the path of the file under a loop device as the kernel
// knows it, or "" when the device is free.
func loopBacking(name string) string {
	b, err := os.ReadFile("/sys/block/" + name + "/loop/backing_file")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), " (deleted)")
}

// loopsOn returns the names of the loop devices on the file at path.
func loopsOn(path string) ([]string, error) {
	entries, err := os.ReadDir("/sys/block")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "loop") && loopBacking(e.Name()) == path {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// waitLoopFree waits until the loop device no longer lies on the file backing.
func waitLoopFree(ctx context.Context, device, backing string) error {
	name := strings.TrimPrefix(device, "/dev/")
	ctx, cancel := context.WithTimeout(ctx, unmountPatience)
	defer cancel()
	err := poll(ctx, func() (bool, error) { return loopBacking(name) != backing, nil })
	if errors.Is(err, errPollEnd) {
		dev, _ := sysDev(name)
		return fmt.Errorf("%s is unmounted here but still in use: %w", device, &BusyError{MountPoint: device, Holders: holders(dev)})
	}
	return err
}

// sysDev returns the device number of a block device by its name.
func sysDev(name string) (uint64, error) {
	b, err := os.ReadFile("/sys/block/" + name + "/dev")
	if err != nil {
		return 0, err
	}
	return parseDev(strings.TrimSpace(string(b)))
}
