package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	gonbd "github.com/pojntfx/go-nbd/pkg/client"
	"golang.org/x/sys/unix"
)

// Other programs that give the kernel our server's sockets.

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
	for round := range 2 {
		args := append([]string{"-unix", socket, "/dev/nbd2", "-N", export, "-b", "4096", "-C", "2"}, flags...)
		if err := run("nbd-client", args...); err != nil {
			return err
		}
		err := errors.Join(otherRound(2, round), run("nbd-client", "-d", "/dev/nbd2"),
			wait("nbd2 free", func() bool { return freeNBD(2) }))
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

// goNBD is the client of github.com/pojntfx/go-nbd.
func goNBD() error {
	d, err := newDisk()
	if err != nil {
		return err
	}
	socket, _, stop, err := serve(d)
	if err != nil {
		return err
	}
	defer stop()
	for round := range 2 {
		err := errors.Join(goNBDRound(socket, round),
			wait("nbd1 free", func() bool { return freeNBD(1) })) // once its file is closed
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

func goNBDRound(socket string, round int) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	dev, err := os.Open("/dev/nbd1")
	if err != nil {
		return err
	}
	defer dev.Close()
	done := make(chan error, 1)
	go func() { done <- gonbd.Connect(conn, dev, &gonbd.Options{ExportName: export, BlockSize: 4096}) }()
	// A failure to connect leaves the size at 0.
	err = errors.Join(otherRound(1, round), gonbd.Disconnect(dev))
	select {
	case ended := <-done:
		return errors.Join(err, ended)
	case <-time.After(patience):
		return errors.Join(err, errors.New("the client does not end"))
	}
}

// otherRound makes a file system on a device that another program connected,
// writes and, in the second round, compares.
func otherRound(index, round int) error {
	name := fmt.Sprintf("nbd%d", index)
	err := wait("size of "+name, func() bool {
		b, _ := os.ReadFile("/sys/block/" + name + "/size")
		return strings.TrimSpace(string(b)) == fmt.Sprint(diskSize/512)
	})
	if err == nil && round == 0 {
		err = mkfs("/dev/" + name)
	}
	if err == nil {
		err = os.MkdirAll("/run/m", 0o755)
	}
	if err == nil {
		err = unix.Mount("/dev/"+name, "/run/m", "ext4", 0, "")
	}
	if err != nil {
		return err
	}
	if round == 0 {
		err = writeFile("/run/m")
	} else {
		err = checkFile("/run/m")
	}
	return errors.Join(err, unix.Unmount("/run/m", 0))
}
