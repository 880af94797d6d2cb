package pgrunner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processResource describes a running process.
func processResource(pid int) (Resource, error) {
	start, err := startTime(pid)
	if err != nil {
		return Resource{}, err
	}
	boot, err := bootID()
	if err != nil {
		return Resource{}, err
	}
	return Resource{Kind: "process", PID: pid, StartTime: start, BootID: boot}, nil
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("identify this boot: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// startTime returns field 22 of /proc/PID/stat (proc(5)). The name in field 2
// may hold anything; the last parenthesis ends it.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("identify process %d: %w", pid, err)
	}
	_, rest, ok := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	f := strings.Fields(rest)
	if !ok || len(f) < 20 {
		return 0, fmt.Errorf("identify process %d: %q", pid, b)
	}
	if f[0] == "Z" {
		return 0, fmt.Errorf("process %d has ended: %w", pid, os.ErrNotExist)
	}
	return strconv.ParseUint(f[19], 10, 64)
}

// Reclaim ends and removes what an earlier process recorded and left behind;
// what is gone, or is no longer what was recorded, is left alone. It waits
// until each resource has let go of its mounts.
func Reclaim(ctx context.Context, rs []Resource) error {
	var errs []error
	for _, r := range rs {
		switch r.Kind {
		case "process":
			errs = append(errs, reclaimProcess(ctx, r))
		case "container":
			errs = append(errs, reclaimContainer(ctx, r))
		default:
			errs = append(errs, fmt.Errorf("cannot reclaim a resource of kind %q: is it a later snapview's?", r.Kind))
		}
	}
	return errors.Join(errs...)
}

func reclaimProcess(ctx context.Context, r Resource) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	ours := func() bool {
		start, err := startTime(r.PID)
		return err == nil && start == r.StartTime
	}
	if boot != r.BootID || r.PID <= 1 || !ours() {
		return nil
	}
	// A number may be given to another process between look and kill; a
	// handle is not.
	p, err := os.FindProcess(r.PID)
	if err != nil || !ours() {
		return err
	}
	defer p.Release()
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill process %d: %w", r.PID, err)
	}
	for ours() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d does not end, is its storage stuck? %w", r.PID, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}
