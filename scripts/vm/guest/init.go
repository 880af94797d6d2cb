// Command guest is the whole user space of a small virtual machine that tests
// attaching by the kernel's NBD client. It runs as process 1: it mounts what a
// program expects, loads the modules, runs the tests, says how each went on
// the console, and powers off. The test in attach/kerneltest boots it.
//
// On the console, a line each:
//
//	GUEST PASS name
//	GUEST FAIL name: why        (the rest of the message follows)
//	GUEST END
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
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
	if err := setUp(); err != nil {
		fmt.Printf("GUEST FAIL set-up: %v\n", err)
		return
	}
	for _, c := range checks {
		begin := time.Now()
		err := guarded(c.run)
		if err == nil {
			err = nothingHeld()
		}
		if err != nil {
			fmt.Printf("GUEST FAIL %s: (%.1f s) %v\n", c.name, time.Since(begin).Seconds(), err)
			continue
		}
		fmt.Printf("GUEST PASS %s (%.1f s)\n", c.name, time.Since(begin).Seconds())
	}
	fmt.Println("GUEST END")
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
	var errs []error
	for _, m := range []struct{ source, dir, fstype string }{
		{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"devtmpfs", "/dev", "devtmpfs"},
		{"tmpfs", "/tmp", "tmpfs"}, {"tmpfs", "/run", "tmpfs"},
	} {
		errs = append(errs, os.MkdirAll(m.dir, 0o755))
		if err := unix.Mount(m.source, m.dir, m.fstype, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.dir, err))
		}
	}
	errs = append(errs, loadModule("/nbd.ko", "nbds_max=4"))
	errs = append(errs, os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))
	return errors.Join(errs...)
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

func powerOff() {
	time.Sleep(100 * time.Millisecond) // the console's last line
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
