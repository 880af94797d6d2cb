package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/snapview/snapview/attach"
)

// The tests run this program again as a child where a process has to be
// killed, stopped, or somewhere else.

// child is the program's life as such a child.
func child(args []string) error {
	switch args[0] {
	case "server": // serves a device and tells the socket
		d, err := newDisk()
		if err != nil {
			return err
		}
		socket, _, _, err := serve(d)
		if err != nil {
			return err
		}
		fmt.Println(socket)
		select {}
	case "victim": // attaches, tells its records and waits for the end
		return victim(args[1])
	case "often":
		return often()
	case "ioctl": // runs in a network namespace of its own, without netlink
		return roundTrip(attach.NBD)
	}
	return fmt.Errorf("unknown child %q", args[0])
}

func victim(then string) error {
	d, err := newDisk()
	if err != nil {
		return err
	}
	socket, _, _, err := serve(d)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	a, err := attach.Attach(context.Background(), attach.Config{
		Dir: "/run/victim", Device: d, Method: attach.NBD, NBDSocket: socket, NBDExport: export,
		Record: func(r attach.Resource) error { return out.Encode(r) },
	})
	if err != nil {
		return err
	}
	if then == "frozen" {
		if err := a.Freeze(); err != nil {
			return err
		}
	}
	if then == "writing" {
		for i := range 4 {
			go func() {
				for {
					_ = os.WriteFile(filepath.Join(a.MountPoint(), strconv.Itoa(i)), content(), 0o600)
					_ = a.Sync()
				}
			}()
		}
		time.Sleep(200 * time.Millisecond) // for requests to be under way
	}
	fmt.Println("ready")
	select {}
}

// often attaches and detaches again and again: opening the device makes the
// kernel look for partitions, so that its first request is one of the process
// that serves it.
func often() error {
	d, err := newDisk()
	if err != nil {
		return err
	}
	socket, _, stop, err := serve(d)
	if err != nil {
		return err
	}
	defer stop()
	for n := range 8 {
		ctx, cancel := soon()
		a, err := attach.Attach(ctx, attach.Config{
			Dir: "/run/often", Device: d, Method: attach.NBD, NBDSocket: socket, NBDExport: export,
			NBDConnections: 1 + n%4,
		})
		if err == nil {
			err = a.Detach(ctx)
		}
		cancel()
		if err != nil {
			return fmt.Errorf("attachment %d: %w", n, err)
		}
	}
	return nil
}

// process is a running child.
type process struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

func start(attr *syscall.SysProcAttr, args ...string) (*process, error) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, bufio.NewScanner(pipe)}, nil
}

// line returns the next line that the child says.
func (p *process) line() (string, error) {
	if !p.out.Scan() {
		return "", errors.Join(io.ErrUnexpectedEOF, p.out.Err(), p.cmd.Wait())
	}
	return p.out.Text(), nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
