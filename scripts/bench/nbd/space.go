package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	spaceUpdates = 10_000
	spaceUnit    = 8 << 10 // of an update: a page of PostgreSQL
)

// space makes the same random updates through every server, on a fresh overlay
// each, and prints what the overlays take afterwards.
func space(ctx context.Context, c config, base string, w io.Writer) error {
	rnd := rand.New(rand.NewPCG(3, 8))
	var script bytes.Buffer // for qemu-io
	changed := make(map[int64]bool)
	for range spaceUpdates {
		unit := rnd.Int64N(c.size / spaceUnit)
		changed[unit] = true
		fmt.Fprintf(&script, "write -q -P 0x5a %d %d\n", unit*spaceUnit, spaceUnit)
	}
	script.WriteString("flush\n")
	truly := int64(len(changed)) * spaceUnit

	fmt.Fprintf(w, "\nSpace of a fresh overlay after %d random updates of 8 KiB, which changed %.1f MiB, as du counts.\n\n", spaceUpdates, mebibytes(truly))
	fmt.Fprintf(w, "| | overlay, MiB | of what changed |\n|---|---|---|\n")
	for _, name := range []string{"snapview", "nbdkit-4k", "nbdkit", "qemu-nbd"} {
		taken, err := spaceOf(ctx, c, base, name, script.Bytes())
		if err != nil {
			return fmt.Errorf("space, %s: %w", name, err)
		}
		fmt.Fprintf(w, "| %s | %.1f | %.2f |\n", name, mebibytes(taken), float64(taken)/float64(truly))
	}
	return nil
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

func spaceOf(ctx context.Context, c config, base, name string, script []byte) (taken int64, err error) {
	err = withServer(ctx, c, name, base, nil, func(p *process) error {
		before, err := p.allocated()
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "qemu-io", "-f", "raw", p.uri)
		cmd.Stdin = bytes.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("failed")) {
			return fmt.Errorf("qemu-io: %v: %s", err, lastLines(out))
		}
		after, err := p.allocated()
		taken = after - before
		return err
	})
	return taken, err
}

// allocated returns what the server's files in its folder take: those with a
// name, and those without one that it has open, as nbdkit's overlay.
func (p *process) allocated() (int64, error) {
	seen := make(map[uint64]bool)
	sum := int64(0)
	add := func(path string) error {
		fi, err := os.Stat(path)
		if err != nil || !fi.Mode().IsRegular() {
			return err
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && !seen[st.Ino] {
			seen[st.Ino] = true
			sum += st.Blocks * 512
		}
		return nil
	}
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return add(path)
	})
	if err != nil {
		return 0, err
	}
	fds := fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)
	open, err := os.ReadDir(fds)
	if err != nil {
		return 0, err
	}
	for _, fd := range open {
		path := filepath.Join(fds, fd.Name())
		target, err := os.Readlink(path)
		if err != nil {
			continue // closed in the meantime
		}
		if strings.HasPrefix(target, p.dir+"/") && strings.HasSuffix(target, " (deleted)") {
			if err := add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
		}
	}
	return sum, nil
}

// status returns fields of /proc/PID/status, in bytes.
func (p *process) status(names ...string) ([]int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	values := make([]int64, len(names))
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		if i := slices.Index(names, name); i >= 0 {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s of /proc/PID/status: %w", name, err)
			}
			values[i] = kb << 10
		}
	}
	return values, nil
}
