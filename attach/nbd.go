package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// nbdBlockSize is the device's logical block size; see loopSector.
const nbdBlockSize = 4096

// nbdForever stands for "no timeout". The kernel's own value for that, 0, makes
// a device with several connections give each up after 30 seconds. It must fit
// in 32 bits as ticks of a thousandth of a second.
const nbdForever = 7 * 24 * time.Hour

// handshakePatience bounds the handshake with a server that does not answer.
const handshakePatience = 30 * time.Second

// connectNBD connects the kernel to the server at cfg.NBDSocket and sees to it
// that the device answers. It fills in what r does not know yet and returns how
// to undo it.
func connectNBD(ctx context.Context, cfg Config, r *Resource, logger *slog.Logger) (func(context.Context) error, error) {
	for attempt := 1; ; attempt++ {
		undo, err := connectOnce(ctx, cfg, r, logger)
		if err != nil {
			return nil, err
		}
		if err = probeNBD(r.Index); err == nil {
			return undo, nil
		}
		again := errors.Is(err, errDeaf) && attempt < nbdAttempts && ctx.Err() == nil
		if undone := undo(context.WithoutCancel(ctx)); undone != nil {
			return nil, errors.Join(err, undone)
		}
		if !again {
			return nil, err
		}
		logger.Warn("connecting the NBD device again", "error", err)
	}
}

// connectOnce connects the kernel to the server at cfg.NBDSocket: by netlink,
// or by ioctl where the netlink family is not to be had (an old kernel, or
// another network namespace than the initial one). It fills in what r does not
// know yet and returns how to undo it.
func connectOnce(ctx context.Context, cfg Config, r *Resource, logger *slog.Logger) (undo func(context.Context) error, err error) {
	setup := nbdSetup{timeout: cfg.NBDTimeout, backend: r.Backend}
	if setup.timeout < 0 {
		setup.timeout = nbdForever
	}
	conns, export, err := negotiate(dialUnix(ctx, cfg.NBDSocket), cfg.NBDExport, cfg.NBDConnections)
	if err != nil {
		return nil, fmt.Errorf("NBD server at %s: %w", cfg.NBDSocket, err)
	}
	defer closeAll(conns)
	if cfg.ReadOnly {
		export.flags |= nbdFlagReadOnly
	}
	if export.size <= 0 || export.size%nbdBlockSize != 0 {
		return nil, fmt.Errorf("NBD server at %s: the size of export %q, %d bytes, is no multiple of %d", cfg.NBDSocket, cfg.NBDExport, export.size, nbdBlockSize)
	}
	setup.export = export
	for _, c := range conns {
		if err := c.SetDeadline(time.Time{}); err != nil {
			return nil, err
		}
		f, err := c.(*net.UnixConn).File()
		if err != nil {
			return nil, err
		}
		defer f.Close() // the kernel has its own reference
		setSendBuffer(f, logger)
		setup.sockets = append(setup.sockets, f)
	}

	if err := haveNBDNetlink(); err != nil {
		logger.Debug("no NBD by netlink, trying ioctl", "error", err)
		return attachIoctl(setup, r)
	}
	index, err := connectNetlink(setup)
	if err != nil {
		return nil, err
	}
	r.Index, r.Path = index, fmt.Sprintf("/dev/nbd%d", index)
	return func(ctx context.Context) error { return freeNBD(ctx, index) }, nil
}

func attachIoctl(setup nbdSetup, r *Resource) (func(context.Context) error, error) {
	n, err := connectIoctl(setup)
	if err != nil {
		return nil, err
	}
	r.Index, r.Path = n.index, fmt.Sprintf("/dev/nbd%d", n.index)
	r.Backend = "" // this interface has none
	return n.disconnect, nil
}

// dialUnix dials with a deadline for the handshake.
func dialUnix(ctx context.Context, path string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		deadline := time.Now().Add(handshakePatience)
		if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
			deadline = d
		}
		if err := c.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return c, nil
	}
}

// freeNBD disconnects a device and waits until it is free. One that has gone on
// its own is done.
func freeNBD(ctx context.Context, index int) error {
	if nbdPID(index) == 0 {
		return nil
	}
	if err := disconnectNBD(index); err != nil && nbdPID(index) != 0 {
		return err
	}
	return waitNBDFree(ctx, index)
}

// disconnectNBD ends the device's connections by whichever interface there is.
// Requests that were under way fail; so do later ones, of a file system that
// is still mounted on it.
func disconnectNBD(index int) error {
	if haveNBDNetlink() == nil {
		return disconnectNetlink(index)
	}
	fd, err := openNBDDevice(index, unix.O_RDWR)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.IoctlSetInt(fd, nbdDisconnect, 0)
	_ = unix.IoctlSetInt(fd, nbdClearSock, 0)
	return err
}

// waitNBDFree waits until a disconnected device has no user left.
func waitNBDFree(ctx context.Context, index int) error {
	ctx, cancel := context.WithTimeout(ctx, unmountPatience)
	defer cancel()
	err := poll(ctx, func() (bool, error) { return nbdPID(index) == 0, nil })
	if errors.Is(err, errPollEnd) {
		name := fmt.Sprintf("nbd%d", index)
		dev, _ := sysDev(name)
		return fmt.Errorf("/dev/%s is disconnected but still in use: %w", name, &BusyError{MountPoint: "/dev/" + name, Holders: holders(dev)})
	}
	return err
}

// haveNBD says whether the kernel's NBD client can be used, loading its module
// when load is set and it is not there.
func haveNBD(load bool) error {
	present := func() error {
		if _, err := os.Stat("/sys/module/nbd"); err == nil {
			return nil
		}
		_, err := nbdDevices()
		return err
	}
	err := present()
	if err == nil || !load {
		return err
	}
	if !moduleAvailable("nbd") {
		return fmt.Errorf("%w: this kernel has no NBD client", ErrUnsupported)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "modprobe", "nbd").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: this kernel has no NBD client (modprobe nbd: %w %.200s)", ErrUnsupported, err, out)
	}
	return present()
}
