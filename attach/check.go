package attach

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Check is one thing that attaching needs from the host.
type Check struct {
	Name   string // short, stable: "rights", "ext4", "fuse", "loop", "nbd", "e2fsprogs"
	OK     bool
	Needed bool   // without it nothing can be attached; false: one way or a comfort is lost
	Detail string // what was found
	Remedy string // what to do about it, empty when OK
}

// CheckHost looks at everything that attaching needs from this host. It changes
// nothing and takes a few milliseconds.
func CheckHost() []Check {
	checks := []Check{
		checkOf("rights", true, rights, "run as root (sudo snapview ...); in a container, with --privileged"),
		checkOf("ext4", true, func() (string, error) { return fileSystem("ext4") }, "modprobe ext4, or boot a kernel that has it"),
		checkOf("fuse", false, fuseReady, "modprobe fuse; in a container, pass --device /dev/fuse"),
		checkOf("loop", false, loopReady, "modprobe loop; in a container, run with --privileged or pass /dev/loop-control and the loop devices"),
		checkOf("nbd", false, nbdReady, "modprobe nbd; where the kernel has none, the fuse method serves"),
		checkOf("e2fsprogs", false, e2fsck, "apt-get install e2fsprogs (used to check file systems, not to open them)"),
	}
	return checks
}

func checkOf(name string, needed bool, look func() (string, error), remedy string) Check {
	detail, err := look()
	if err != nil {
		return Check{Name: name, Needed: needed, Detail: err.Error(), Remedy: remedy}
	}
	return Check{Name: name, OK: true, Needed: needed, Detail: detail}
}

// Support says whether a method can be used here, and why not.
type Support struct {
	Method Method
	OK     bool
	Reason string // one line: what it uses, or what is missing
}

// Supported says what this host offers, best first: NBD, then FUSE.
func Supported() []Support {
	found := make(map[string]Check)
	for _, c := range CheckHost() {
		found[c.Name] = c
	}
	support := func(m Method, needs ...string) Support {
		var have []string
		for _, n := range needs {
			if c := found[n]; !c.OK {
				return Support{m, false, c.Detail + ": " + c.Remedy}
			}
			have = append(have, n)
		}
		return Support{m, true, "has " + strings.Join(have, ", ")}
	}
	return []Support{
		support(NBD, "rights", "ext4", "nbd"),
		support(FUSE, "rights", "ext4", "fuse", "loop"),
	}
}

// rights looks for CAP_SYS_ADMIN, which mounting takes, in the capabilities of
// this process.
func rights() (string, error) {
	const capSysAdmin = 21 // linux/capability.h
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return "", err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if hex, ok := strings.CutPrefix(sc.Text(), "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			if err != nil {
				return "", err
			}
			if caps&(1<<capSysAdmin) == 0 {
				return "", fmt.Errorf("user %d may not mount file systems (no CAP_SYS_ADMIN)", os.Geteuid())
			}
			return "may mount file systems", nil
		}
	}
	return "", errors.New("the capabilities of this process are not known")
}

// fileSystem looks for a file system type in the kernel or its modules.
func fileSystem(name string) (string, error) {
	b, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == name {
			return "the kernel has " + name, nil
		}
	}
	if moduleAvailable(name) {
		return "the kernel loads " + name + " when it is needed", nil
	}
	return "", fmt.Errorf("this kernel has no %s", name)
}

func fuseReady() (string, error) {
	detail, err := fileSystem("fuse")
	if err != nil {
		return "", err
	}
	return detail, opens("/dev/fuse")
}

func loopReady() (string, error) {
	if err := opens(loopControl); err != nil {
		return "", err
	}
	return loopControl + " opens", nil
}

func nbdReady() (string, error) {
	err := haveNBD(false)
	if err == nil {
		return "the kernel's NBD client is loaded", nil
	}
	if moduleAvailable("nbd") {
		return "the nbd module can be loaded", nil
	}
	return "", errors.New("this kernel has no NBD client")
}

func e2fsck() (string, error) {
	path, err := exec.LookPath("e2fsck")
	if err != nil {
		return "", errors.New("no e2fsck in PATH")
	}
	return path, nil
}

func opens(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	return unix.Close(fd)
}

// moduleAvailable says whether the running kernel's modules on disk include
// one, by depmod's index.
func moduleAvailable(name string) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	release := unix.ByteSliceToString(u.Release[:])
	for _, index := range []string{"modules.dep", "modules.builtin"} {
		b, err := os.ReadFile(filepath.Join("/lib/modules", release, index))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			path, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			file := filepath.Base(path)
			if stem, _, ok := strings.Cut(file, ".ko"); ok && stem == name {
				return true
			}
		}
	}
	return false
}
