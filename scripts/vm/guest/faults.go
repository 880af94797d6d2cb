package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/block"
)

// elsewhere attaches a device that a child process serves.
func elsewhere() (*attach.Attachment, *process, error) {
	p, err := start(nil, "server")
	if err != nil {
		return nil, nil, err
	}
	socket, err := p.line()
	if err != nil {
		return nil, nil, err
	}
	a, err := written(socket)
	if err != nil {
		p.kill()
	}
	return a, p, err
}

// written attaches what is served at socket, by two connections, and writes the
// file to be read. Requests have no timeout: see impatient.
func written(socket string) (*attach.Attachment, error) {
	ctx, cancel := soon()
	defer cancel()
	a, err := attach.Attach(ctx, attach.Config{
		Dir: unique("/run/e"), Device: block.NewMemory(diskSize), Method: attach.NBD,
		NBDSocket: socket, NBDExport: export, NBDTimeout: -1, NBDConnections: 2,
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(writeFile(a.MountPoint()), dropCaches()); err != nil {
		return nil, errors.Join(err, a.Detach(ctx))
	}
	return a, nil
}

// impatient sets the timeout of the device's requests from now on. A short one
// from the beginning would end requests that a starved machine is slow with.
func impatient(a *attach.Attachment, timeout time.Duration) error {
	return os.WriteFile("/sys/block/"+a.DeviceName()+"/queue/io_timeout", fmt.Append(nil, timeout.Milliseconds()), 0)
}

func dropCaches() error { return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) }

// reads reads the file, and tells how that ended.
func reads(a *attach.Attachment) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(filepath.Join(a.MountPoint(), "data"))
		done <- err
	}()
	return done
}

// failsToRead wants reading the file to fail, and not to hang.
func failsToRead(a *attach.Attachment) error { return fails(reads(a)) }

func fails(reading <-chan error) error {
	select {
	case err := <-reading:
		if !errors.Is(err, unix.EIO) {
			return fmt.Errorf("reading without a server: %w, want EIO", err)
		}
		return nil
	case <-time.After(patience):
		return errors.New("reading without a server hangs")
	}
}

func serverKilled() error {
	a, p, err := elsewhere() // no timeout: a closed socket is noticed without
	if err != nil {
		return err
	}
	p.kill()
	ctx, cancel := soon()
	defer cancel()
	return errors.Join(failsToRead(a), a.Detach(ctx))
}

func serverStalls() error {
	a, p, err := elsewhere()
	if err != nil {
		return err
	}
	defer p.kill()
	if err := errors.Join(impatient(a, time.Second), p.cmd.Process.Signal(unix.SIGSTOP)); err != nil {
		return err
	}
	ctx, cancel := soon()
	defer cancel()
	return errors.Join(failsToRead(a), a.Detach(ctx))
}

// serverLies has a server answer every READ wrongly, from some time on.
func serverLies(how lie) error {
	return withLiar(func(l *liar, a *attach.Attachment) error {
		if err := impatient(a, time.Second); err != nil {
			return err
		}
		l.lie.Store(int32(how))
		return failsToRead(a)
	})
}

// serverHalts has a server stop in the middle of an answer. The kernel's
// timeout does not count while it receives (drivers/block/nbd.c,
// nbd_xmit_timeout), but who reclaims the device is not kept from it.
func serverHalts() error {
	return withLiar(func(l *liar, a *attach.Attachment) error {
		l.lie.Store(int32(halted))
		reading := reads(a)
		if err := wait("half an answer", func() bool { return l.halted.Load() > 0 }); err != nil {
			return err
		}
		var index int
		if _, err := fmt.Sscanf(a.DeviceName(), "nbd%d", &index); err != nil {
			return err
		}
		backend, err := os.ReadFile("/sys/block/" + a.DeviceName() + "/backend")
		if err != nil {
			return err
		}
		attach.Abort([]attach.Resource{{
			ID: "nbd:halted", Kind: attach.KindNBD, State: attach.Held, Index: index,
			Backend: strings.TrimSpace(string(backend)), BootID: bootID(),
		}})
		return fails(reading)
	})
}

// serverErrs has it answer with errors: they end with the requests, and the
// device lives on.
func serverErrs() error {
	return withLiar(func(l *liar, a *attach.Attachment) error {
		l.lie.Store(int32(wrongAnswer))
		err := failsToRead(a)
		l.lie.Store(int32(truth))
		return errors.Join(err, checkFile(a.MountPoint()))
	})
}

// oneConnectionBreaks has it break off one of two connections in the middle of
// a reply. Nobody may notice: after its timeout the kernel asks again by the
// other.
func oneConnectionBreaks() error {
	return withLiar(func(l *liar, a *attach.Attachment) error {
		if err := impatient(a, 5*time.Second); err != nil {
			return err
		}
		l.once.Store(true)
		l.lie.Store(int32(brokenOff))
		if err := checkFile(a.MountPoint()); err != nil {
			return err
		}
		if lie(l.lie.Load()) != truth {
			return errors.New("no connection was broken: nothing was read")
		}
		return nil
	})
}

// silentAtFirst has the first request of all go unanswered, as by a connection
// of the kernel's that is deaf: attaching must not wait for its timeout.
func silentAtFirst() error {
	d, err := newDisk()
	if err != nil {
		return err
	}
	l, socket, err := startLiar(d)
	if err != nil {
		return err
	}
	defer l.stop()
	l.once.Store(true)
	l.lie.Store(int32(silence))
	a, err := written(socket)
	if err != nil {
		return err
	}
	ctx, cancel := soon()
	defer cancel()
	return errors.Join(checkFile(a.MountPoint()), a.Detach(ctx))
}

func withLiar(check func(*liar, *attach.Attachment) error) error {
	d, err := newDisk()
	if err != nil {
		return err
	}
	l, socket, err := startLiar(d)
	if err != nil {
		return err
	}
	defer l.stop()
	a, err := written(socket)
	if err != nil {
		return err
	}
	err = check(l, a)
	l.lie.Store(int32(truth))
	ctx, cancel := soon()
	defer cancel()
	return errors.Join(err, a.Detach(ctx))
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
