// Command guest is the whole user space of a small virtual machine that tests
// attaching by the kernel's NBD client. It runs as process 1: it mounts what a
// program expects, loads the modules, runs the tests, says how each went on
// the console, and powers off. The test in attach/kerneltest boots it.
//
// On the console, a line each:
//
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
	"strconv"
	"strings"
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
	for _, c := range chosen() {
		begin := time.Now()
		stop := watch(c.name)
		err := guarded(c.run)
		if stop() {
			err = errors.Join(err, errors.New("hung"))
		}
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

// chosen returns the checks to run: those of the whole product if there is a
// backup, else those of attaching. The kernel's command line may ask for those
// that guest.only matches, and for all of them guest.repeat times.
func chosen() []check {
	checks := attaching
	if _, err := os.Stat(backup); err == nil {
		checks = product
	}
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
	errs = append(errs, loadModule("/nbd.ko", "nbds_max=4"), loopbackUp())
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

func powerOff() {
	time.Sleep(100 * time.Millisecond) // the console's last line
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
