package main

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// reporting is the serial line that the test outside reads; before openReport
// the console.
var reporting = struct {
	sync.Mutex
	to *os.File
}{to: os.Stdout}

func openReport() error {
	f, err := os.OpenFile("/dev/ttyS1", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	reporting.to = f
	return nil
}

// say tells the test outside something, which may have further lines.
func say(format string, args ...any) {
	reporting.Lock()
	defer reporting.Unlock()
	text := fmt.Sprintf("GUEST "+format, args...)
	fmt.Fprintln(reporting.to, strings.TrimRight(text, "\n"))
}

// powerOff ends the machine once all that was said is out.
func powerOff() {
	for _, f := range []*os.File{reporting.to, os.Stdout} {
		_ = unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1) // tcdrain
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
