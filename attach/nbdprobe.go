package attach

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A connection of the kernel's NBD client may be deaf: requests go out by it,
// and nobody takes the answers. The kernel has one work item for each connection
// that receives for as long as the connection lives. When making worker threads
// takes more than 10 ms, on a machine that is starved, the work queue's rescuer
// takes all items that wait and runs them one after the other, of which only the
// first ever begins (kernel/workqueue.c, rescuer_thread). What goes by the others
// waits for the timeout. Once there are threads, a new attempt finds them.
const (
	nbdAttempts = 4
	// probePatience is how long a first answer may take. It is computed, not
	// read from the backup; what is slow is the machine.
	probePatience = 5 * time.Second
)

// errDeaf says that a new NBD device does not answer.
var errDeaf = errors.New("the kernel's NBD client does not take the server's answers")

// probeNBD reads from a new NBD device by each of its queues, that is by each
// connection that the kernel uses. After an error somebody may still be waiting
// for the device, until it is disconnected.
func probeNBD(index int) error {
	queues := nbdQueues(index)
	results := make(chan error, len(queues))
	for _, cpu := range queues {
		go func() { results <- readFrom(index, cpu) }()
	}
	patience := time.After(probePatience)
	for range queues {
		select {
		case err := <-results:
			if err != nil {
				return fmt.Errorf("read from /dev/nbd%d: %w", index, err)
			}
		case <-patience:
			return fmt.Errorf("/dev/nbd%d: %w", index, errDeaf)
		}
	}
	return nil
}

// nbdQueues returns a processor of each of the device's queues; one, any, if
// the kernel does not tell.
func nbdQueues(index int) []int {
	var out []int
	lists, _ := filepath.Glob(fmt.Sprintf("/sys/block/nbd%d/mq/*/cpu_list", index))
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		first, _, _ := strings.Cut(strings.TrimSpace(string(b)), ",")
		if cpu, err := strconv.Atoi(first); err == nil {
			out = append(out, cpu)
		}
	}
	if len(out) == 0 {
		return []int{-1}
	}
	return out
}

// readFrom reads the device's first block, past the page cache, on a processor.
func readFrom(index, cpu int) error {
	// Never unlocked: the thread, which is tied to a processor, ends here.
	runtime.LockOSThread()
	if cpu >= 0 {
		var set unix.CPUSet
		set.Set(cpu)
		_ = unix.SchedSetaffinity(0, &set) // where it may not run, nobody does
	}
	fd, err := openNBDDevice(index, unix.O_RDONLY|unix.O_DIRECT)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// A page, since direct reads want aligned memory.
	b, err := unix.Mmap(-1, 0, nbdBlockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	_, err = unix.Pread(fd, b, 0)
	return errors.Join(err, unix.Munmap(b))
}
