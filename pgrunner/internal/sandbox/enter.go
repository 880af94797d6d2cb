//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// hostPrograms are shown inside as they are: read-only where they are
// directories, as the same link where they are links (merged /usr).
var hostPrograms = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// hostFiles are single files of /etc that programs need to run.
var hostFiles = []string{"/etc/ld.so.cache", "/etc/localtime", "/etc/timezone"}

// hostData are directories that links in the programs' directories lead to:
// Debian's alternatives (libraries of extensions such as PostGIS) and the
// dictionaries of text search that its packages generate.
var hostData = []string{"/etc/alternatives", "/var/cache/postgresql"}

// devices are the character devices of /dev inside.
var devices = []string{"null", "zero", "full", "random", "urandom"}

// enter builds the world of c around the calling process, which must be the
// first of its namespaces, and executes the script. It returns only on error.
func enter(c Config) error {
	// The out-of-memory killer shall take this before anything else of the
	// host; without the right to say so, it is not said.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)

	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := tmpfs(c.Scratch, "mode=0755,size=4m", 0); err != nil {
		return err
	}
	if err := fill(c); err != nil {
		return err
	}
	if err := pivot(c.Scratch); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("snapview")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := limit(c); err != nil {
		return err
	}
	if err := dropPrivileges(c); err != nil {
		return err
	}
	err := unix.Exec("/bin/sh", []string{"sh", "-c", c.Script}, c.Env)
	return fmt.Errorf("execute /bin/sh: %w", err)
}

// fill populates the new root at c.Scratch.
func fill(c Config) error {
	in := func(p string) string { return filepath.Join(c.Scratch, p) }
	for _, p := range hostPrograms {
		if err := bindAsIs(p, in(p)); err != nil {
			return err
		}
	}
	for _, d := range []string{"/etc", "/proc", "/dev", "/tmp"} {
		if err := os.Mkdir(in(d), 0o755); err != nil {
			return err
		}
	}
	for _, p := range hostFiles {
		if err := bindFile(p, in(p), unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC); err != nil {
			return err
		}
	}
	for _, p := range hostData {
		if _, err := os.Stat(p); err != nil {
			continue
		}
		if err := os.MkdirAll(in(p), 0o755); err != nil {
			return err
		}
		if err := bind(p, in(p), unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC); err != nil {
			return err
		}
	}
	passwd := fmt.Sprintf("%s:x:%d:%d::/:/bin/false\n", c.User, c.UID, c.GID)
	group := fmt.Sprintf("%s:x:%d:\n", c.User, c.GID)
	if err := errors.Join(
		os.WriteFile(in("/etc/passwd"), []byte(passwd), 0o644),
		os.WriteFile(in("/etc/group"), []byte(group), 0o644),
		unix.Mount("proc", in("/proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, ""),
		tmpfs(in("/tmp"), fmt.Sprintf("mode=1777,size=%d", c.TmpBytes), unix.MS_NOEXEC),
	); err != nil {
		return fmt.Errorf("fill the root: %w", err)
	}
	for _, d := range devices {
		if err := bindFile("/dev/"+d, in("/dev/"+d), unix.MS_NOSUID|unix.MS_NOEXEC); err != nil {
			return err
		}
	}
	if err := os.Mkdir(in("/dev/shm"), 0o755); err != nil {
		return err
	}
	if err := tmpfs(in("/dev/shm"), fmt.Sprintf("mode=1777,size=%d", c.ShmBytes), unix.MS_NOEXEC); err != nil {
		return err
	}
	for _, b := range c.Binds {
		flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
		if !b.Program {
			flags |= unix.MS_NOEXEC
		}
		if !b.Writable || b.Program {
			flags |= unix.MS_RDONLY
		}
		if err := os.MkdirAll(in(b.Target), 0o755); err != nil {
			return err
		}
		if err := bind(b.Source, in(b.Target), flags); err != nil {
			return err
		}
	}
	return nil
}

// bindAsIs shows a directory of the host at target, or makes the same link.
func bindAsIs(p, target string) error {
	st, err := os.Lstat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(p)
		if err != nil {
			return err
		}
		return os.Symlink(to, target)
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	return bind(p, target, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV)
}

// bindFile shows a file of the host at target if there is one.
func bindFile(p, target string, flags uintptr) error {
	if _, err := os.Stat(p); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.WriteFile(target, nil, 0o644); err != nil {
		return err
	}
	return bind(p, target, flags)
}

// bind mounts source on target. A bind mount takes its flags only when it is
// mounted a second time.
func bind(source, target string, flags uintptr) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOATIME|flags, ""); err != nil {
		return fmt.Errorf("bind %s with flags %#x: %w", source, flags, err)
	}
	return nil
}

func tmpfs(target, options string, flags uintptr) error {
	if err := unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|flags, options); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", target, err)
	}
	return nil
}

// pivot makes root the root and lets go of the old one, with every mount of
// the host: nothing in here may keep alive what its owner unmounts.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	// With both arguments ".", the old root is stacked on the new one.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the old root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
}

func limit(c Config) error {
	set := func(what string, resource int, soft, hard uint64) error {
		var old unix.Rlimit
		if err := unix.Getrlimit(resource, &old); err != nil {
			return fmt.Errorf("read limit %s: %w", what, err)
		}
		// Without CAP_SYS_RESOURCE the hard limit can only be lowered.
		hard = min(hard, old.Max)
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: min(soft, hard), Max: hard}); err != nil {
			return fmt.Errorf("set limit %s: %w", what, err)
		}
		return nil
	}
	errs := []error{
		set("core", unix.RLIMIT_CORE, 0, 0),
		set("nofile", unix.RLIMIT_NOFILE, 65536, 65536),
	}
	if c.DataBytes > 0 {
		errs = append(errs, set("data", unix.RLIMIT_DATA, uint64(c.DataBytes), uint64(c.DataBytes)))
	}
	if c.Procs > 0 {
		errs = append(errs, set("nproc", unix.RLIMIT_NPROC, uint64(c.Procs), uint64(c.Procs)))
	}
	return errors.Join(errs...)
}

func dropPrivileges(c Config) error {
	if c.UID <= 0 || c.GID <= 0 {
		return errors.New("will not run as user or group " + strconv.Itoa(min(c.UID, c.GID)))
	}
	for capability := uintptr(0); capability <= 63; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // past the kernel's last one
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	if err := unix.Setgroups(nil); err != nil {
		return fmt.Errorf("drop groups: %w", err)
	}
	if err := unix.Setresgid(c.GID, c.GID, c.GID); err != nil {
		return fmt.Errorf("become group %d: %w", c.GID, err)
	}
	if err := unix.Setresuid(c.UID, c.UID, c.UID); err != nil {
		return fmt.Errorf("become user %d: %w", c.UID, err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("renounce new privileges: %w", err)
	}
	// Changing the user cleared it.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("set parent-death signal: %w", err)
	}
	return nil
}
