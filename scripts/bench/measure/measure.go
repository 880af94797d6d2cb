// Package measure holds what the benchmarks have in common.
package measure

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// FirstRow runs a snapview query that writes CSV and returns the seconds until
// its first row is there; it does not count the closing. The answer must have
// one row. env is added to the environment.
func FirstRow(ctx context.Context, program string, args []string, env ...string) (seconds float64, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	lines, n := bufio.NewScanner(out), 0
	for lines.Scan() {
		if n++; n == 2 { // behind the names of the columns
			seconds = time.Since(began).Seconds()
		}
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return 0, err
	}
	if n != 2 {
		return 0, fmt.Errorf("%d lines of an answer", n)
	}
	return seconds, nil
}

// DropCaches empties the host's page cache. It needs root.
func DropCaches() error {
	syscall.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// Median returns the median, 0 of nothing.
func Median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	switch n := len(v); {
	case n == 0:
		return 0
	case n%2 == 0:
		return (v[n/2-1] + v[n/2]) / 2
	default:
		return v[n/2]
	}
}
