package attach

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// writeDepth is how many writes the block device's scheduler lets through at
// once. The overlay may hold writes back for long (its quota, a full disk);
// they must not take all of the device's slots, 128 of a loop device, since
// reads have to go on: PostgreSQL must be able to answer and to stop.
const writeDepth = 64

// maxSectorsKB keeps a request of the block layer within one FUSE or NBD
// request of 1 MiB.
const maxSectorsKB = 1024

// tuneQueue sets the scheduler of a block device so that held writes do not
// starve reads, and returns what puts the former settings back. All of it is
// best effort: where /sys is read-only, attaching works all the same.
func tuneQueue(name string, logger *slog.Logger) (restore func()) {
	q := "/sys/block/" + name + "/queue/"
	var undo []func()
	set := func(file, value string, current func(string) string) {
		old, err := os.ReadFile(q + file)
		if err == nil {
			err = os.WriteFile(q+file, []byte(value), 0)
		}
		if err != nil {
			logger.Debug("block device is not tuned", "device", name, "setting", file, "error", err)
			return
		}
		undo = append(undo, func() { _ = os.WriteFile(q+file, []byte(current(string(old))), 0) })
	}
	set("max_sectors_kb", strconv.Itoa(maxSectorsKB), strings.TrimSpace)
	set("scheduler", "mq-deadline", activeScheduler)
	// Not restored on its own: it goes with the scheduler.
	if err := os.WriteFile(q+"iosched/async_depth", []byte(strconv.Itoa(writeDepth)), 0); err != nil {
		logger.Debug("write depth is not limited", "device", name, "error", err)
	}
	return func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
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

// readAhead returns a block device's read-ahead in bytes.
func readAhead(device string) (int64, error) {
	b, err := os.ReadFile("/sys/block/" + strings.TrimPrefix(device, "/dev/") + "/queue/read_ahead_kb")
	if err != nil {
		return 0, err
	}
	kb, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return kb << 10, err
}
