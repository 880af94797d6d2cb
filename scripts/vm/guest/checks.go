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
)

// attaching are the checks of package attach.
var attaching = []check{
	{"netlink", func() error { return roundTrip(attach.NBD) }},
	{"auto takes nbd", func() error { return roundTrip(attach.Auto) }},
	{"ioctl", withoutNetlink},
	{"nbd-client by netlink", func() error { return nbdClient() }},
	{"nbd-client by ioctl", func() error { return nbdClient("-nonetlink") }},
	{"go-nbd", goNBD},
	{"fio verify", fioVerify},
	{"again and again", func() error { return inChild(nil, "often") }},
	{"server killed", serverKilled},
	{"server answers with errors", serverErrs},
	{"server halts in an answer", serverHalts},
	{"nobody listens", nobodyListens},
	{"reclaim after kill -9", func() error { return reclaim("") }},
	{"reclaim after kill -9 while writing", func() error { return reclaim("writing") }},
	{"reclaim after kill -9 while frozen", func() error { return reclaim("frozen") }},
	{"others are left alone", othersAreLeft},
}

// waiting are checks of package attach that mostly wait for timeouts of the
// kernel's, so they run all at once.
var waiting = []check{
	{"server stalls", serverStalls},
	{"server answers nonsense", func() error { return serverLies(wrongMagic) }},
	{"server answers what was not asked", func() error { return serverLies(wrongCookie) }},
	{"server breaks off", func() error { return serverLies(brokenOff) }},
	{"server is silent", func() error { return serverLies(silence) }},
	{"server is silent at first", silentAtFirst},
	{"one of two connections breaks", oneConnectionBreaks},
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
		"queue/io_timeout": "30000", // NBDTimeout
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
	return inChild(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}, "ioctl")
}

// inChild runs a check in a process of its own.
func inChild(attr *syscall.SysProcAttr, args ...string) error {
	p, err := start(attr, args...)
	if err != nil {
		return err
	}
	for p.out.Scan() {
		fmt.Println(p.out.Text())
	}
	return p.cmd.Wait()
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
	// Not waiting for it: a thread of it that waits for its own disk is there
	// until Reclaim ends its requests.
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	ctx, cancel := soon()
	defer cancel()
	err = errors.Join(attach.Reclaim(ctx, log), attach.Reclaim(ctx, log))
	p.kill()
	if err != nil {
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
	var errs []error
	for _, r := range []attach.Resource{
		{Index: 0, Backend: "snapview-another", PID: os.Getpid()},
		{Index: -1, Backend: "snapview-another"},
		{Index: -1},
	} {
		r.ID, r.Kind, r.State, r.BootID = "nbd:x", attach.KindNBD, attach.Held, bootID()
		errs = append(errs, attach.Reclaim(context.Background(), []attach.Resource{r}))
		if freeNBD(0) {
			errs = append(errs, fmt.Errorf("another's device was disconnected for %+v", r))
		}
	}
	return errors.Join(append(errs, run("nbd-client", "-d", "/dev/nbd0"),
		wait("nbd0 free", func() bool { return freeNBD(0) }))...)
}
