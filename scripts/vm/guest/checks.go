package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/block"
)

var checks = []check{
	{"netlink", func() error { return roundTrip(attach.NBD) }},
	{"auto takes nbd", func() error { return roundTrip(attach.Auto) }},
	{"ioctl", withoutNetlink},
	{"nbd-client by netlink", func() error { return nbdClient() }},
	{"nbd-client by ioctl", func() error { return nbdClient("-nonetlink") }},
	{"server killed", serverKilled},
	{"server stalls", serverStalls},
	{"nobody listens", nobodyListens},
	{"reclaim after kill -9", func() error { return reclaim("") }},
	{"reclaim after kill -9 while writing", func() error { return reclaim("writing") }},
	{"reclaim after kill -9 while frozen", func() error { return reclaim("frozen") }},
	{"others are left alone", othersAreLeft},
}

// roundTrip attaches, writes, detaches, attaches again, and compares.
func roundTrip(m attach.Method) error {
	d, err := newDisk()
	if err != nil {
		return err
	}
	socket, server, stop, err := serve(d)
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := soon()
	defer cancel()
	cfg := attach.Config{
		Dir: fmt.Sprintf("/run/a%d", os.Getpid()), Device: d, Method: m,
		NBDSocket: socket, NBDExport: export, NBDConnections: 3, NBDTimeout: 30 * time.Second,
	}
	for round := range 2 {
		a, err := attach.Attach(ctx, cfg)
		if err != nil {
			return err
		}
		err = func() error {
			if a.Method() != attach.NBD || !strings.HasPrefix(a.DeviceName(), "nbd") {
				return fmt.Errorf("attached as %s, %s", a.Method(), a.DeviceName())
			}
			if n := server.Connections(); n != 3 {
				return fmt.Errorf("the kernel has %d connections, want 3", n)
			}
			if err := queueIs(a.DeviceName()); err != nil {
				return err
			}
			if round == 0 {
				return writeFile(a.MountPoint())
			}
			if err := checkFile(a.MountPoint()); err != nil {
				return err
			}
			return os.Remove(filepath.Join(a.MountPoint(), "data"))
		}()
		if err = errors.Join(err, a.Detach(ctx), a.Detach(ctx)); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	if d.syncs.Load() == 0 {
		return errors.New("no FLUSH arrived after fsync")
	}
	if d.zeroed.Load() < 2<<20 {
		return fmt.Errorf("%d bytes were trimmed after a file of 2 MiB was removed", d.zeroed.Load())
	}
	if _, err := os.Stat(cfg.Dir); err == nil {
		return errors.New("the directory was left behind")
	}
	return nil
}

// queueIs checks what the kernel knows of the export.
func queueIs(name string) error {
	for file, want := range map[string]string{
		"queue/logical_block_size": "4096", "queue/write_cache": "write back", "ro": "0",
		"queue/read_ahead_kb": "128", "size": fmt.Sprint(diskSize / 512),
	} {
		b, err := os.ReadFile("/sys/block/" + name + "/" + file)
		if err != nil {
			return err
		}
		if got := strings.TrimSpace(string(b)); got != want {
			return fmt.Errorf("%s of %s is %s, want %s", file, name, got, want)
		}
	}
	return nil
}

// withoutNetlink attaches in a network namespace of its own, where the kernel
// does not show its netlink family, so that only the ioctl interface is left.
func withoutNetlink() error {
	p, err := start(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}, "ioctl")
	if err != nil {
		return err
	}
	for p.out.Scan() {
		fmt.Println(p.out.Text())
	}
	return p.cmd.Wait()
}

func nbdClient(flags ...string) error {
	d, err := newDisk()
	if err != nil {
		return err
	}
	socket, _, stop, err := serve(d)
	if err != nil {
		return err
	}
	defer stop()
	if err := os.MkdirAll("/run/m", 0o755); err != nil {
		return err
	}
	for round := range 2 {
		args := append([]string{"-unix", socket, "/dev/nbd2", "-N", export, "-b", "4096", "-C", "2"}, flags...)
		if err := run("nbd-client", args...); err != nil {
			return err
		}
		err := wait("size of nbd2", func() bool {
			b, _ := os.ReadFile("/sys/block/nbd2/size")
			return strings.TrimSpace(string(b)) != "0"
		})
		if err == nil && round == 0 {
			err = mkfs("/dev/nbd2")
		}
		if err == nil {
			err = unix.Mount("/dev/nbd2", "/run/m", "ext4", 0, "")
		}
		if err == nil {
			if round == 0 {
				err = writeFile("/run/m")
			} else {
				err = checkFile("/run/m")
			}
			err = errors.Join(err, unix.Unmount("/run/m", 0))
		}
		err = errors.Join(err, run("nbd-client", "-d", "/dev/nbd2"),
			wait("nbd2 free", func() bool { return freeNBD(2) }))
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

// elsewhere attaches a device that a child process serves.
func elsewhere(timeout time.Duration) (*attach.Attachment, *process, error) {
	p, err := start(nil, "server")
	if err != nil {
		return nil, nil, err
	}
	socket, err := p.line()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := soon()
	defer cancel()
	a, err := attach.Attach(ctx, attach.Config{
		Dir: "/run/e", Device: block.NewMemory(diskSize), Method: attach.NBD,
		NBDSocket: socket, NBDExport: export, NBDTimeout: timeout, NBDConnections: 2,
	})
	if err != nil {
		p.kill()
		return nil, nil, err
	}
	if err := writeFile(a.MountPoint()); err != nil {
		err = errors.Join(err, a.Detach(ctx))
		p.kill()
		return nil, nil, err
	}
	return a, p, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// failsToRead wants reading the file to fail, and not to hang.
func failsToRead(a *attach.Attachment) error {
	done := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(filepath.Join(a.MountPoint(), "data"))
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, unix.EIO) {
			return fmt.Errorf("reading without a server: %w, want EIO", err)
		}
		return nil
	case <-time.After(patience):
		return errors.New("reading without a server hangs")
	}
}

func serverKilled() error {
	a, p, err := elsewhere(-1) // no timeout: a closed socket is noticed without
	if err != nil {
		return err
	}
	p.kill()
	ctx, cancel := soon()
	defer cancel()
	return errors.Join(failsToRead(a), a.Detach(ctx))
}

func serverStalls() error {
	a, p, err := elsewhere(3 * time.Second)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := p.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := soon()
	defer cancel()
	return errors.Join(failsToRead(a), a.Detach(ctx))
}

func nobodyListens() error {
	ctx, cancel := soon()
	defer cancel()
	_, err := attach.Attach(ctx, attach.Config{
		Dir: "/run/n", Device: block.NewMemory(diskSize), Method: attach.NBD, NBDSocket: "/run/none", NBDExport: export,
	})
	if !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("attaching to nothing: %w", err)
	}
	if _, err := os.Stat("/run/n"); err == nil {
		return errors.New("the directory was left behind")
	}
	return nil
}

func reclaim(then string) error {
	p, err := start(nil, "victim", then)
	if err != nil {
		return err
	}
	var log []attach.Resource
	for {
		line, err := p.line()
		if err != nil {
			return err
		}
		if line == "ready" {
			break
		}
		var r attach.Resource
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return err
		}
		log = append(log, r)
	}
	p.kill()
	ctx, cancel := soon()
	defer cancel()
	if err := errors.Join(attach.Reclaim(ctx, log), attach.Reclaim(ctx, log)); err != nil {
		return err
	}
	if _, err := os.Stat("/run/victim"); err == nil {
		return errors.New("the directory was left behind")
	}
	return nil
}

// othersAreLeft gives Reclaim records that fit somebody else's device badly.
func othersAreLeft() error {
	d, err := newDisk()
	if err != nil {
		return err
	}
	socket, _, stop, err := serve(d)
	if err != nil {
		return err
	}
	defer stop()
	if err := run("nbd-client", "-unix", socket, "/dev/nbd0", "-N", export, "-b", "4096"); err != nil {
		return err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range []attach.Resource{
		{Index: 0, Backend: "snapview-another", PID: os.Getpid()},
		{Index: -1, Backend: "snapview-another"},
		{Index: -1},
	} {
		r.ID, r.Kind, r.State, r.BootID = "nbd:x", attach.KindNBD, attach.Held, strings.TrimSpace(string(boot))
		errs = append(errs, attach.Reclaim(context.Background(), []attach.Resource{r}))
		if freeNBD(0) {
			errs = append(errs, fmt.Errorf("another's device was disconnected for %+v", r))
		}
	}
	return errors.Join(append(errs, run("nbd-client", "-d", "/dev/nbd0"),
		wait("nbd0 free", func() bool { return freeNBD(0) }))...)
}
