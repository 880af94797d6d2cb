package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/nbdserver"
)

const (
	diskSize = 16 << 20
	export   = "demo"
)

// patience is for what can only fail by hanging; an emulated processor is slow.
const patience = 60 * time.Second

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// disk counts what reaches a device in memory.
type disk struct {
	block.Device
	syncs, zeroed atomic.Int64
}

func (d *disk) Sync() error { d.syncs.Add(1); return d.Device.Sync() }

func (d *disk) Zero(off, n int64) error { d.zeroed.Add(n); return d.Device.Zero(off, n) }

// newDisk makes a device that holds an empty ext4.
func newDisk() (*disk, error) {
	b, err := emptyImage()
	if err != nil {
		return nil, err
	}
	return &disk{Device: block.NewMemoryFrom(bytes.Clone(b))}, nil
}

// emptyImage is made once, for the children too.
var emptyImage = sync.OnceValues(func() ([]byte, error) {
	const path = "/run/empty"
	if b, err := os.ReadFile(path); err == nil {
		return b, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close(), mkfs(path)); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// check has e2fsck look at what the device holds.
func (d *disk) check() error {
	const path = "/tmp/checked"
	defer os.Remove(path)
	b := make([]byte, d.Size())
	if _, err := d.ReadAt(b, 0); err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	return run("e2fsck", "-fn", path)
}

func mkfs(path string) error {
	return run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^has_journal", path)
}

// serve serves a device on a unix socket until stop is called.
func serve(d block.Device) (socket string, server *nbdserver.Server, stop func(), err error) {
	socket = unique("/run/nbd")
	server, err = nbdserver.New(nbdserver.Options{})
	if err != nil {
		return "", nil, nil, err
	}
	if err := server.AddExport(nbdserver.Export{Name: export, Device: d}); err != nil {
		return "", nil, nil, err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return "", nil, nil, err
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	return socket, server, func() { _ = server.Close(); <-done }, nil
}

// unique returns a path that nobody else has.
func unique(path string) string {
	return fmt.Sprintf("%s-%d-%d", path, os.Getpid(), paths.Add(1))
}

var paths atomic.Int64

// content is what the tests write: 2 MiB that no block of is like another.
var content = sync.OnceValue(func() []byte {
	b := make([]byte, 2<<20)
	rand.New(rand.NewSource(7)).Read(b)
	return b
})

// writeFile writes the content and forces it to the device.
func writeFile(dir string) error {
	f, err := os.Create(filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	_, err = f.Write(content())
	return errors.Join(err, f.Sync(), f.Close())
}

// checkFile compares the file with the content, read from the device anew.
func checkFile(dir string) error {
	if err := dropCaches(); err != nil {
		return err
	}
	got, err := os.ReadFile(filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, content()) {
		return errors.New("the file's bytes differ")
	}
	return nil
}

// nothingHeld says what a check left in the kernel.
func nothingHeld() error {
	var errs []error
	pids, _ := filepath.Glob("/sys/block/nbd*/pid")
	for _, p := range pids {
		errs = append(errs, fmt.Errorf("left connected: %s", filepath.Dir(p)))
	}
	b, err := os.ReadFile("/proc/self/mounts")
	errs = append(errs, err)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "/dev/nbd") {
			errs = append(errs, fmt.Errorf("left mounted: %s", line))
		}
	}
	return errors.Join(errs...)
}

func run(name string, args ...string) error {
	ctx, cancel := soon()
	defer cancel()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// wait waits for a condition.
func wait(what string, ok func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return nil
		}
	}
	return fmt.Errorf("waited %v in vain: %s", patience, what)
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

func freeNBD(index int) bool {
	_, err := os.Stat(fmt.Sprintf("/sys/block/nbd%d/pid", index))
	return errors.Is(err, unix.ENOENT)
}
