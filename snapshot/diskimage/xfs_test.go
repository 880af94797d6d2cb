package diskimage_test

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs/imagefstest"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// newXFS makes an image of XFS, and a folder to mount it at.
func newXFS(t testing.TB) (image, mount string) {
	t.Helper()
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	mkfs := snapshottest.Tool(t, "mkfs.xfs")
	known, _ := os.ReadFile("/proc/filesystems")
	snapshottest.Need(t, strings.Contains(string(known), "xfs"), "XFS in the kernel")
	image, mount = filepath.Join(t.TempDir(), "image"), t.TempDir()
	snapshottest.Run(t, "/", "truncate", "-s", "330M", image)
	snapshottest.Run(t, "/", mkfs, "-q", image)
	return image, mount
}

func TestOpenXFS_Conforms(t *testing.T) {
	root, want := host(t, "var/lib/postgresql/15/main")
	image, mount := newXFS(t)
	imagefstest.Mounted(t, mount, image, "noatime", func() {
		snapshottest.Run(t, root, "cp", "-a", ".", mount)
	})
	snapshottest.Untouched(t, filepath.Dir(image))
	snapshottest.Suite{
		Open:    func(t testing.TB) *snapshot.Snapshot { return open(t, image, snapshot.Options{}) },
		Want:    want,
		MaxOpen: 4 << 20,
	}.Run(t)
	s := open(t, image, snapshot.Options{})
	defer s.Close()
	if r := snapshottest.Report(s); !strings.Contains(r, "(XFS)") {
		t.Errorf("the file system's kind is not in\n%s", r)
	}
}

// A server's disk that stopped at once, in the middle of its work: what is read
// of it is what the kernel makes of it.
func TestOpenXFS_OfAServerAtWork(t *testing.T) {
	image, mount := newXFS(t)
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	snapshottest.Need(t, len(bins) > 0, "PostgreSQL (package postgresql)")
	_, err := user.Lookup("postgres")
	snapshottest.Need(t, err == nil, "a user postgres")
	slices.Sort(bins)
	sockets, err := os.MkdirTemp("", "snapview-pg-") // short: a socket's path is limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	taken := filepath.Join(filepath.Dir(image), "taken")
	// The test's own folder is closed to the server's user.
	imagefstest.Mounted(t, sockets, image, "noatime", func() {
		snapshottest.Run(t, "/", "chown", "postgres:", sockets)
		pid := snapshottest.Run(t, sockets, "runuser", "-u", "postgres", "--", "env", "PATH="+bins[len(bins)-1]+":"+os.Getenv("PATH"), "sh", "-ec", `
			initdb -D data -A trust -U postgres --no-locale -E UTF8 --wal-segsize=1 -k >/dev/null
			pg_ctl -D data -w -t 60 -l log -o "-c listen_addresses= -c unix_socket_directories=$PWD -c shared_buffers=16MB" start >/dev/null
			export PGHOST=$PWD PGUSER=postgres
			psql -qXc 'CREATE TABLE t AS SELECT n, repeat(chr(65 + n % 26), 200) AS text FROM generate_series(1, 20000) n'
			psql -qXc 'CHECKPOINT'
			psql -qXc 'CREATE INDEX ON t (n)' -c 'UPDATE t SET n = -n WHERE n % 3 = 0'
			head -n 1 data/postmaster.pid`)
		snapshottest.Run(t, "/", "xfs_io", "-x", "-c", "shutdown -f", sockets)
		snapshottest.Run(t, "/", "cp", "--sparse=always", image, taken)
		endServer(t, strings.TrimSpace(pid))
	})
	s := open(t, taken, snapshot.Options{})
	defer s.Close()
	if err := s.Err(); err != nil || !s.CrashConsistent {
		t.Errorf("refused: %v", err)
	}
	if r := snapshottest.Report(s); !strings.Contains(r, "sectors are read from its journal") {
		t.Errorf("nothing of a journal in\n%s", r)
	}
	got := snapshottest.Hashes(t, s.Tree)
	copied := filepath.Join(filepath.Dir(image), "copied")
	snapshottest.Run(t, "/", "cp", "--sparse=always", taken, copied)
	imagefstest.Mounted(t, mount, copied, "noatime", func() {
		snapshottest.Compare(t, got, snapshottest.TreeOf(t, filepath.Join(mount, "data"), nil))
	})
}

// endServer kills a server that has lost its disk, and waits until it holds none
// of its files.
func endServer(t testing.TB, pid string) {
	t.Helper()
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range append([]string{pid}, strings.Fields(string(children))...) {
		n, err := strconv.Atoi(one)
		if err != nil {
			t.Fatal(err)
		}
		syscall.Kill(n, syscall.SIGKILL) //nolint:errcheck // it may be gone
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if _, err := os.Readlink(filepath.Join("/proc", one, "cwd")); err != nil {
				break
			}
		}
	}
}

func TestOpenXFS_BadImages(t *testing.T) {
	image, _ := newXFS(t)
	if err := os.Truncate(image, 100<<20); err != nil {
		t.Fatal(err)
	}
	_, err := diskimage.Open(t.Context(), image, snapshot.Options{})
	if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("cut short: %v", err)
	}
}
