//go:build linux

// Package sandbox runs a shell script as the first process of a small world of
// its own: new mount, PID, network, IPC and UTS namespaces, a root file system
// in memory that shows of the host only its programs (read-only) and the
// directories it was told to bind, an unprivileged user without capabilities.
//
// The work of entering that world has to be done between clone and exec, so
// the process runs this same program again: Command prepares it, and this
// package's init function recognises the new process by its argv[0] and its
// environment, builds the world, and replaces itself by /bin/sh. The package
// imports little, so that little runs before that.
//
// The first process of a PID namespace takes all others with it when it ends,
// and it carries a parent-death signal: when the program that made it dies in
// any way, the kernel ends everything inside.
package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

const (
	arg0   = "snapview-sandbox"
	envVar = "SNAPVIEW_SANDBOX"
)

// A Bind shows a directory of the host inside.
type Bind struct {
	// Source is the path on the host, Target the absolute path inside.
	Source, Target string
	// Writable lets the inside write. Nothing bound is ever executable,
	// set-user-ID or a device unless Program is set.
	Writable bool
	// Program permits executing what is bound; it excludes Writable.
	Program bool
}

// Config describes one world.
type Config struct {
	// Scratch is an empty directory of the host that the new root file
	// system is mounted on, visible inside only.
	Scratch string
	// Binds are added to the host's programs.
	Binds []Bind
	// UID and GID are those of the script, which finds itself in
	// /etc/passwd as User.
	UID, GID int
	User     string
	// Script is run by /bin/sh -c, with Env as its whole environment.
	Script string
	Env    []string
	// ShmBytes sizes /dev/shm, TmpBytes /tmp.
	ShmBytes, TmpBytes int64
	// DataBytes limits each process's private memory (RLIMIT_DATA), Procs
	// the number of the user's processes and threads (RLIMIT_NPROC); 0 is
	// no limit.
	DataBytes, Procs int64
}

// Start starts cmd, made by Command, and returns its exit as a channel that
// receives Wait's error once. The thread that starts a process must live as
// long as the process, or its parent-death signal fires: a goroutine keeps it.
func Start(cmd *exec.Cmd) (<-chan error, error) {
	started := make(chan error, 1)
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return ended, nil
}

// Command returns the command that runs c. The caller connects standard input
// and error and passes it to Start. What goes wrong inside before the script
// runs is written to standard error in one line, with exit code 125.
func Command(c Config) (*exec.Cmd, error) {
	j, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("describe the sandbox: %w", err)
	}
	return &exec.Cmd{
		Path: "/proc/self/exe",
		Args: []string{arg0},
		Env:  []string{envVar + "=" + string(j)},
		Dir:  "/",
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
				syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
			Pdeathsig: syscall.SIGKILL,
			Setsid:    true,
		},
	}, nil
}

func init() {
	if len(os.Args) != 1 || os.Args[0] != arg0 || os.Getpid() != 1 {
		return
	}
	j := os.Getenv(envVar)
	if j == "" {
		return
	}
	// Namespaces, limits and capabilities are the thread's: stay on it.
	runtime.LockOSThread()
	var c Config
	err := json.Unmarshal([]byte(j), &c)
	if err == nil {
		err = enter(c)
	}
	fmt.Fprintf(os.Stderr, "sandbox: %v\n", err)
	os.Exit(125)
}
