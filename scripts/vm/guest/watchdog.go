package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// tooLong is when a check is taken to hang. None needs a tenth of it on a quiet
// machine.
var tooLong = 100 * time.Second

var watching sync.Mutex // of whoWaits

// watch says what everybody waits for when a check hangs, and ends the machine
// when it goes on: one that is killed from outside tells nothing. stop ends the
// watch and reports whether it had to speak.
func watch(name string) (stop func() (hung bool)) {
	done, over := make(chan struct{}), make(chan bool, 1)
	go func() {
		select {
		case <-done:
			over <- false
		case <-time.After(tooLong):
			say("HANG %s: after %v; who waits for what is on the console", name, tooLong)
			whoWaits()
			select {
			case <-done:
				over <- true
			case <-time.After(tooLong / 2): // it may never end
				say("FAIL %s: hung", name)
				powerOff()
			}
		}
	}()
	return func() bool { close(done); return <-over }
}

// whoWaits prints where the threads of every process wait in the kernel, and
// where the goroutines of this one do and of its children.
func whoWaits() {
	watching.Lock()
	defer watching.Unlock()
	_ = unix.Mount("debugfs", "/sys/kernel/debug", "debugfs", 0, "")
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		if line, err := os.ReadFile(process + "/cmdline"); err != nil || len(line) == 0 {
			// The kernel's own, or on its way out: of interest in few places.
			stack, _ := os.ReadFile(process + "/stack")
			if strings.Contains(string(stack), "nbd") || strings.Contains(string(stack), "do_exit") {
				name, _ := os.ReadFile(process + "/comm")
				fmt.Printf("%s %s%s", process, name, stack)
			}
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(process))
		tasks, _ := filepath.Glob(process + "/task/[0-9]*")
		awake := 0
		for _, task := range tasks {
			status, err := os.ReadFile(task + "/status")
			if err != nil {
				continue
			}
			_, state, _ := strings.Cut(string(status), "State:\t")
			state, _, _ = strings.Cut(state, "\n")
			stack, _ := os.ReadFile(task + "/stack")
			fmt.Printf("%s %s\n%s", task, state, stack)
			if !strings.HasPrefix(state, "D") {
				awake, _ = strconv.Atoi(filepath.Base(task))
			}
		}
		if pid != 1 && awake != 0 {
			_ = unix.Tgkill(pid, awake, unix.SIGQUIT) // Go prints its goroutines
			time.Sleep(time.Second)
		}
	}
	files, _ := filepath.Glob("/sys/kernel/debug/block/nbd*/hctx*/busy")
	for _, file := range files {
		if b, _ := os.ReadFile(file); len(b) > 0 {
			fmt.Printf("%s: %s\n", file, b)
		}
	}
	b := make([]byte, 1<<20)
	fmt.Printf("%s\n", b[:runtime.Stack(b, true)])
}
