package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// nbdSetFlags is NBD_SET_FLAGS of linux/nbd.h, which go-nbd lacks: without it
// the kernel sends neither FLUSH nor FUA nor TRIM.
const nbdSetFlags = 0xab0a

// nbdIoctl is a device that is driven by the ioctl interface: one thread of
// this process sits in NBD_DO_IT for as long as it is connected.
type nbdIoctl struct {
	index int
	fd    int
	done  chan struct{} // closed when NBD_DO_IT has returned
	err   error         // what it returned, valid after done
}

// connectIoctl takes the first free device and returns when it is connected.
func connectIoctl(s nbdSetup) (*nbdIoctl, error) {
	indices, err := nbdDevices()
	if err != nil {
		return nil, err
	}
	for _, index := range indices {
		if nbdPID(index) != 0 {
			continue
		}
		n, err := doIt(index, s)
		if errors.Is(err, unix.EBUSY) {
			continue // another was faster
		}
		return n, err
	}
	return nil, fmt.Errorf("%w: none of the %d NBD devices is free (modprobe -r nbd; modprobe nbd nbds_max=32)", ErrUnsupported, len(indices))
}

// doIt sets one device up and starts it.
//
// All calls come from one thread, since the kernel takes the sockets of a
// device from one task only. That thread gets no signals: NBD_DO_IT ends, and
// the connection with it, at any signal that its thread takes.
func doIt(index int, s nbdSetup) (*nbdIoctl, error) {
	fd, err := openNBDDevice(index, unix.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open /dev/nbd%d: %w", index, err)
	}
	n := &nbdIoctl{index: index, fd: fd, done: make(chan struct{})}
	ready := make(chan error, 1)
	go func() {
		// Never unlocked: the thread with its blocked signals ends here.
		runtime.LockOSThread()
		defer close(n.done)
		var all unix.Sigset_t
		for i := range all.Val {
			all.Val[i] = ^all.Val[i]
		}
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil {
			ready <- err
			return
		}
		err := setupIoctl(fd, s)
		ready <- err
		if err != nil {
			return
		}
		n.err = unix.IoctlSetInt(fd, nbdDoIt, 0)
		_ = unix.IoctlSetInt(fd, nbdClearSock, 0)
	}()
	if err := <-ready; err != nil {
		<-n.done
		unix.Close(fd)
		return nil, fmt.Errorf("set up /dev/nbd%d: %w", index, err)
	}
	// NBD_DO_IT sets the size; nobody may open the device before.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err = poll(ctx, func() (bool, error) {
		select {
		case <-n.done:
			return false, fmt.Errorf("NBD_DO_IT ended at once: %w", n.err)
		default:
			return nbdPID(index) != 0 && nbdSize(index) == s.export.size, nil
		}
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start /dev/nbd%d: %w", index, err), n.disconnect(ctx))
	}
	return n, nil
}

func setupIoctl(fd int, s nbdSetup) error {
	set := func(what string, req uint, v int) error {
		err := unix.IoctlSetInt(fd, req, v)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	for i, f := range s.sockets {
		if err := set("NBD_SET_SOCK", nbdSetSock, int(f.Fd())); err != nil {
			if i == 0 {
				// EINVAL: another task is setting the device up.
				return fmt.Errorf("%w (%w)", unix.EBUSY, err)
			}
			return errors.Join(err, set("NBD_CLEAR_SOCK", nbdClearSock, 0))
		}
	}
	err := errors.Join(
		set("NBD_SET_BLKSIZE", nbdSetBlockSize, nbdBlockSize),
		set("NBD_SET_SIZE_BLOCKS", nbdSetSizeBlocks, int(s.export.size/nbdBlockSize)),
		set("NBD_SET_FLAGS", nbdSetFlags, int(s.export.flags)),
		set("NBD_SET_TIMEOUT", nbdSetTimeout, int(s.timeoutSeconds())))
	if err != nil {
		return errors.Join(err, set("NBD_CLEAR_SOCK", nbdClearSock, 0))
	}
	return nil
}

// disconnect ends NBD_DO_IT and frees the device.
func (n *nbdIoctl) disconnect(ctx context.Context) error {
	if n.fd < 0 {
		return nil
	}
	select {
	case <-n.done: // it has ended on its own, the server being gone
	default:
		if err := unix.IoctlSetInt(n.fd, nbdDisconnect, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("NBD_DISCONNECT /dev/nbd%d: %w", n.index, err)
		}
		select {
		case <-n.done:
		case <-ctx.Done():
			return fmt.Errorf("/dev/nbd%d does not disconnect: %w", n.index, ctx.Err())
		}
	}
	err := unix.Close(n.fd)
	n.fd = -1
	return err
}

// nbdDevices returns the indices of the NBD devices that the kernel has.
func nbdDevices() ([]int, error) {
	names, err := filepath.Glob("/sys/block/nbd*")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, name := range names {
		// Partitions do not show here, but be strict.
		if i, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(name), "nbd")); err == nil {
			out = append(out, i)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: the kernel has no NBD devices (modprobe nbd)", ErrUnsupported)
	}
	sort.Ints(out)
	return out, nil
}

// openNBDDevice opens /dev/nbdN, making its node where /dev has none. Minor
// numbers are spread to leave room for partitions, so sysfs is asked.
func openNBDDevice(index, mode int) (int, error) {
	dev, err := sysDev(fmt.Sprintf("nbd%d", index))
	if err != nil {
		return -1, err
	}
	return openBlockDevice(fmt.Sprintf("/dev/nbd%d", index), unix.Major(dev), unix.Minor(dev), mode)
}

// nbdPID returns the process that connected the device, 0 when it is free.
func nbdPID(index int) int {
	n, _ := strconv.Atoi(nbdAttribute(index, "pid"))
	return n
}

// nbdSize returns the device's size in bytes.
func nbdSize(index int) int64 {
	n, _ := strconv.ParseInt(nbdAttribute(index, "size"), 10, 64)
	return n * 512
}

func nbdAttribute(index int, name string) string {
	b, err := os.ReadFile(fmt.Sprintf("/sys/block/nbd%d/%s", index, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
