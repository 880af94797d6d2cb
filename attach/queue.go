package attach

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What keeps the kernel from ever waiting for room in a socket to the server: an
// NBD device has nbdDepth slots for each connection, whose requests are cut to
// nbdRequestMax, so that nbdSendBuffer holds all their data. A kernel that
// waited there could neither send other requests nor disconnect: it would hang,
// and whoever reclaims a killed process's device with it, until the timeout of
// the request. The memory is only in use while the server does not read.
const (
	nbdDepth      = 128
	nbdRequestMax = 512 << 10
	nbdSendBuffer = nbdDepth * (nbdRequestMax + 4<<10)
)

// setSendBuffer gives a socket to the server that room. Best effort: it needs
// CAP_NET_ADMIN in the initial user namespace.
func setSendBuffer(f *os.File, logger *slog.Logger) {
	if err := unix.SetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, nbdSendBuffer); err != nil {
		logger.Debug("the sockets of the NBD device stay small", "error", err)
	}
}

// limitQueue sets the queue of a device up and returns what puts it back.
func limitQueue(name string, method Method, logger *slog.Logger) (restore func()) {
	writes := limitWrites(name, logger)
	if method != NBD {
		return writes
	}
	requests := limitRequests(name, logger)
	return func() { requests(); writes() }
}

// limitRequests cuts an NBD device's requests to nbdRequestMax and returns what
// puts the former limit back.
func limitRequests(name string, logger *slog.Logger) (restore func()) {
	file := "/sys/block/" + name + "/queue/max_sectors_kb"
	old, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strconv.Itoa(nbdRequestMax>>10)), 0)
	}
	if err != nil {
		logger.Debug("requests of the NBD device stay long", "error", err)
		return func() {}
	}
	return func() { _ = os.WriteFile(file, old, 0) }
}

// writeDepth is how many writes limitWrites lets through at once, of the 128
// slots that a loop or NBD device has.
const writeDepth = 64

// limitWrites sees to it that writes never take all of a block device's slots:
// the overlay may hold writes back for long (its quota, a full disk), and reads
// have to go on, since PostgreSQL must be able to answer and to stop. It
// returns what puts the former settings back.
//
// Where the kernel throttles write-back (blk-wbt, on by default in most
// kernels) it keeps a quarter of the slots free by itself, and nothing is done:
// a change of the scheduler costs some 40 ms. Else the scheduler mq-deadline
// has a limit for writes. All of it is best effort: where /sys is read-only,
// attaching works all the same.
func limitWrites(name string, logger *slog.Logger) (restore func()) {
	q := "/sys/block/" + name + "/queue/"
	read := func(file string) string {
		b, _ := os.ReadFile(q + file)
		return strings.TrimSpace(string(b))
	}
	if usec, err := strconv.Atoi(read("wbt_lat_usec")); err == nil && usec > 0 {
		return func() {}
	}
	old := activeScheduler(read("scheduler"))
	err := os.WriteFile(q+"scheduler", []byte("mq-deadline"), 0)
	if err == nil {
		err = os.WriteFile(q+"iosched/async_depth", []byte(strconv.Itoa(writeDepth)), 0)
	}
	if err != nil {
		logger.Warn("writes that the overlay holds back may hold back reads too", "device", name, "error", err)
	}
	return func() {
		if old != "" {
			_ = os.WriteFile(q+"scheduler", []byte(old), 0)
		}
	}
}

// activeScheduler picks "bfq" out of "none mq-deadline [bfq]".
func activeScheduler(s string) string {
	if _, after, ok := strings.Cut(s, "["); ok {
		if name, _, ok := strings.Cut(after, "]"); ok {
			return name
		}
	}
	return strings.TrimSpace(s)
}

// setReadAhead sets a block device's read-ahead, in bytes, by BLKRASET, which
// works where /sys is read-only.
func setReadAhead(device string, bytes int64) error {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", device, err)
	}
	defer unix.Close(fd)
	if bytes < 0 {
		bytes = 0
	}
	// The argument is a value, not a pointer, in units of 512 bytes.
	if err := unix.IoctlSetInt(fd, unix.BLKRASET, int((bytes+1023)/1024*2)); err != nil {
		return fmt.Errorf("set the read-ahead of %s: %w", device, err)
	}
	return nil
}
