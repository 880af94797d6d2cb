package attach

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountEntry is one line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type mountEntry struct {
	id     int
	dev    uint64 // st_dev of the files on it
	point  string
	fstype string
	source string
}

// readMounts reads the mount table of a process, "self" for our own.
func readMounts(pid string) ([]mountEntry, error) {
	f, err := os.Open("/proc/" + pid + "/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMounts(f)
}

func parseMounts(r io.Reader) ([]mountEntry, error) {
	var out []mountEntry
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		e, err := parseMountLine(sc.Text())
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, sc.Err()
}

// parseMountLine reads, for example,
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
func parseMountLine(line string) (mountEntry, error) {
	bad := fmt.Errorf("unexpected line in mountinfo: %q", line)
	left, right, ok := strings.Cut(line, " - ")
	l, r := strings.Fields(left), strings.Fields(right)
	if !ok || len(l) < 6 || len(r) < 2 {
		return mountEntry{}, bad
	}
	id, err := strconv.Atoi(l[0])
	if err != nil {
		return mountEntry{}, bad
	}
	dev, err := parseDev(l[2])
	if err != nil {
		return mountEntry{}, bad
	}
	return mountEntry{
		id:     id,
		dev:    dev,
		point:  unescapeMount(l[4]),
		fstype: r[0],
		source: unescapeMount(r[1]),
	}, nil
}

// parseDev reads "major:minor" in decimal.
func parseDev(s string) (uint64, error) {
	maj, minr, ok := strings.Cut(s, ":")
	if !ok {
		return 0, fmt.Errorf("not a device number: %q", s)
	}
	a, err := strconv.ParseUint(maj, 10, 32)
	if err != nil {
		return 0, err
	}
	b, err := strconv.ParseUint(minr, 10, 32)
	if err != nil {
		return 0, err
	}
	return unix.Mkdev(uint32(a), uint32(b)), nil
}

// unescapeMount undoes the kernel's \ooo for space, tab, newline, backslash.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// topMount returns what is mounted at point, the topmost if several are.
func topMount(point string) (mountEntry, bool, error) {
	table, err := readMounts("self")
	if err != nil {
		return mountEntry{}, false, err
	}
	// A mount hides those before it in the table at the same point.
	for i := len(table) - 1; i >= 0; i-- {
		if table[i].point == point {
			return table[i], true, nil
		}
	}
	return mountEntry{}, false, nil
}
