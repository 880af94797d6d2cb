package attach

import (
	"bufio"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// holders finds the processes that keep a file system with st_dev dev from
// going away: by open files, working or root directories, running programs and
// mapped files, or because they live in a mount namespace that has a copy of
// the mount. dev 0 finds nobody. It reads all of /proc, tens of milliseconds
// on a busy machine, so it is for error messages only.
func holders(dev uint64) []Holder {
	if dev == 0 {
		return nil
	}
	pids, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	self, _ := os.Readlink("/proc/self/ns/mnt")
	copies := map[string]bool{self: false} // mount namespace -> has a copy
	var out []Holder
	for _, dir := range pids {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		how := howHeld(dir, dev)
		if how == "" {
			ns, err := os.Readlink(dir + "/ns/mnt")
			if err != nil {
				continue
			}
			has, known := copies[ns]
			if !known {
				has = namespaceHas(strconv.Itoa(pid), dev)
				copies[ns] = has
			}
			if !has {
				continue
			}
			how = "mount namespace with a copy of the mount"
		}
		comm, _ := os.ReadFile(dir + "/comm")
		out = append(out, Holder{PID: pid, Command: strings.TrimSpace(string(comm)), How: how})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].PID < out[j].PID })
	return out
}

// howHeld says how the process at dir, /proc/PID, uses the file system, or "".
func howHeld(dir string, dev uint64) string {
	for _, l := range []struct{ link, how string }{
		{"cwd", "working directory"}, {"root", "root directory"}, {"exe", "running program"},
	} {
		if on(dir+"/"+l.link, dev) {
			return l.how
		}
	}
	fds, _ := os.ReadDir(dir + "/fd")
	for _, fd := range fds {
		if link := dir + "/fd/" + fd.Name(); on(link, dev) {
			name, _ := os.Readlink(link)
			return "open file " + name
		}
	}
	return mapped(dir+"/maps", dev)
}

// on says whether the file behind a link of /proc lies on dev. stat follows
// the link straight to the file, whatever mount namespace its path is in. The
// file's server is not asked: one that hangs, of FUSE or NFS, would take us along.
func on(link string, dev uint64) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, 0, &st)
	return err == nil && unix.Mkdev(st.Dev_major, st.Dev_minor) == dev
}

// mapped looks for a mapped file on dev in a /proc/PID/maps, whose fourth
// column is major:minor in hexadecimal.
func mapped(path string, dev uint64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		cols := strings.Fields(sc.Text())
		if len(cols) < 6 {
			continue
		}
		maj, minr, _ := strings.Cut(cols[3], ":")
		a, err1 := strconv.ParseUint(maj, 16, 32)
		b, err2 := strconv.ParseUint(minr, 16, 32)
		if err1 == nil && err2 == nil && unix.Mkdev(uint32(a), uint32(b)) == dev {
			return "mapped file " + cols[5]
		}
	}
	return ""
}

func namespaceHas(pid string, dev uint64) bool {
	table, err := readMounts(pid)
	if err != nil {
		return false
	}
	for _, m := range table {
		if m.dev == dev {
			return true
		}
	}
	return false
}
