// Command guest is the whole user space of a small virtual machine that tests
// attaching by the kernel's NBD client. It runs as process 1: it mounts what a
// program expects, loads the modules, runs the tests, says how each went on
// the second serial line, and powers off. The test in attach/kerneltest boots it.
//
// The first serial line is the kernel's console, whose messages come between
// the letters of others. On the second, a line each:
//
//	GUEST BEGIN
//	GUEST PASS name
//	GUEST FAIL name: why        (the rest of the message follows)
//	GUEST HANG name: ...        (who waits where follows; it goes on)
//	GUEST END
package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A check is one test; it returns what is wrong.
type check struct {
	name string
	run  func() error
}

func main() {
	if len(os.Args) > 1 {
		if err := child(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
			os.Exit(1)
		}
		return
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: made to be process 1 of a virtual machine")
		os.Exit(2)
	}
	defer powerOff()
	err := setUp()
	say("BEGIN")
	if err != nil {
		say("FAIL set-up: %v", err)
		return
	}
	one, beside := attaching, waiting
	if _, err := os.Stat(backup); err == nil {
		one, beside = product, nil
	}
	for _, c := range chosen(one) {
		if c.try() {
			nothingLeft(c.name)
		}
	}
	for batch := range slices.Chunk(chosen(beside), len(waiting)) {
		var all sync.WaitGroup
		for _, c := range batch {
			all.Go(func() { c.try() })
		}
		all.Wait()
		nothingLeft("those that wait")
	}
	say("END")
}

// try runs a check, says how it went, and reports whether it passed.
func (c check) try() bool {
	begin := time.Now()
	stop := watch(c.name)
	err := guarded(c.run)
	if stop() {
		err = errors.Join(err, errors.New("hung"))
	}
	took := time.Since(begin).Seconds()
	if err != nil {
		say("FAIL %s: (%.1f s) %v", c.name, took, err)
		return false
	}
	say("PASS %s (%.1f s)", c.name, took)
	return true
}

// nothingLeft says it where checks have passed and left something in the kernel.
func nothingLeft(name string) {
	if err := nothingHeld(); err != nil {
		say("FAIL after %s: %v", name, err)
	}
}

// chosen returns which of some checks to run. The kernel's command line may ask
// for those that guest.only matches, and for all of them guest.repeat times.
func chosen(checks []check) []check {
	only, repeat := regexp.MustCompile(""), 1
	line, _ := os.ReadFile("/proc/cmdline")
	for _, word := range strings.Fields(string(line)) {
		if text, ok := strings.CutPrefix(word, "guest.only="); ok {
			only = regexp.MustCompile(text)
		}
		if text, ok := strings.CutPrefix(word, "guest.repeat="); ok {
			repeat, _ = strconv.Atoi(text)
		}
		if text, ok := strings.CutPrefix(word, "guest.patience="); ok {
			tooLong, _ = time.ParseDuration(text)
		}
	}
	var out []check
	for range repeat {
		for _, c := range checks {
			if only.MatchString(strings.ReplaceAll(c.name, " ", "_")) {
				out = append(out, c)
			}
		}
	}
	return out
}

// guarded runs a check and makes a panic its error: process 1 must not die.
func guarded(run func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return run()
}

func setUp() error {
	// The first root cannot be pivoted away from, as sandboxes do; a bind mount
	// of it can.
	errs := []error{os.MkdirAll("/root", 0o755), unix.Mount("/", "/root", "", unix.MS_BIND, ""), unix.Chroot("/root"), os.Chdir("/")}
	for _, m := range []struct{ source, dir, fstype string }{
		{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"devtmpfs", "/dev", "devtmpfs"},
		{"tmpfs", "/tmp", "tmpfs"}, {"tmpfs", "/run", "tmpfs"},
	} {
		errs = append(errs, os.MkdirAll(m.dir, 0o755))
		if err := unix.Mount(m.source, m.dir, m.fstype, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.dir, err))
		}
	}
	errs = append(errs, openReport(), loadModule("/nbd.ko", "nbds_max=4"), loopbackUp())
	errs = append(errs, os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))
	return errors.Join(errs...)
}

// loopbackUp gives the machine its 127.0.0.1.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

func loadModule(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), params, 0); err != nil {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}
