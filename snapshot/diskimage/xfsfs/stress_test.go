package xfsfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs/imagefstest"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"golang.org/x/sys/unix"
)

// work changes a directory at random, until that fails since the file system is
// shut down.
func work(dir string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	name := func() string {
		return filepath.Join(dir, fmt.Sprintf("d%d", r.IntN(4)), fmt.Sprintf("%s%d", strings.Repeat("name ", r.IntN(20)), r.IntN(400)))
	}
	var lastErr error
	for end := time.Now().Add(time.Minute); !errors.Is(lastErr, unix.EIO) && time.Now().Before(end); {
		a, b := name(), name()
		switch r.IntN(14) {
		case 0, 1, 2:
			lastErr = os.WriteFile(a, make([]byte, r.IntN(3)), 0o600)
		case 3, 4:
			data := make([]byte, r.IntN(200_000))
			for i := range data {
				data[i] = byte(r.Uint32())
			}
			lastErr = os.WriteFile(a, data, 0o640)
		case 5:
			lastErr = os.Remove(a)
		case 6:
			lastErr = os.Rename(a, b)
		case 7:
			lastErr = os.Link(a, b)
		case 8:
			lastErr = os.Symlink(strings.Repeat("target", r.IntN(170)+1), a)
		case 9:
			lastErr = os.Truncate(a, int64(r.IntN(300_000)))
		case 10, 11:
			lastErr = change(a, b, r)
		case 12:
			lastErr = os.MkdirAll(filepath.Join(filepath.Dir(a), "sub", fmt.Sprint(r.IntN(10)), "deep"), 0o755)
		case 13:
			lastErr = os.RemoveAll(filepath.Join(filepath.Dir(a), "sub", fmt.Sprint(r.IntN(10))))
		}
		if errors.Is(lastErr, fs.ErrNotExist) {
			os.Mkdir(filepath.Dir(a), 0o700)
		}
	}
}

// change changes what extents a file has, or shares them.
func change(name, other string, r *rand.Rand) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fd, at := int(f.Fd()), int64(r.IntN(60))*4096
	switch r.IntN(6) {
	case 0:
		return unix.Fallocate(fd, 0, at, 4096*5)
	case 1:
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, 4096)
	case 2:
		_, err := f.WriteAt([]byte(strings.Repeat("written", 300)), at)
		return err
	case 3:
		return f.Sync()
	case 4:
		to, err := os.Create(other)
		if err != nil {
			return err
		}
		defer to.Close()
		return unix.IoctlFileClone(int(to.Fd()), fd)
	default:
		return unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, at, 4096)
	}
}

// What was in the log when a busy file system stopped at once is what the kernel
// makes of it, again and again, around the end of the log.
func TestReplay_BusyFileSystems(t *testing.T) {
	needs(t)
	t.Parallel()
	const rounds = 2
	for name, c := range map[string]struct {
		mkfs, mount string
		features    uint32
	}{
		"blocks of 4096": {"--unsupported -b size=4096 -m rmapbt=0,reflink=1 -l size=8m", "noatime", 0},
		"blocks of 1024": {"--unsupported -b size=1024 -n size=8192 -m rmapbt=1 -i nrext64=1 -l size=8m", "noatime", 0},
		// What newer mkfs has as its default, and this one does not know.
		"parent pointers": {"--unsupported -l size=8m", "noatime", 0x40 | 0x80},
		"large records":   {"--unsupported -s size=4096 -l su=256k,size=20m", "noatime,logbsize=256k", 0},
	} {
		t.Run(name, func(t *testing.T) {
			image, mount := made(t, "330M", strings.Fields(c.mkfs)...)
			if c.features != 0 {
				enable(t, image, c.features)
			}
			around := 0
			for round := range rounds {
				taken := filepath.Join(t.TempDir(), "taken")
				imagefstest.Mounted(t, mount, image, c.mount, func() {
					var workers sync.WaitGroup
					for n := range 4 {
						workers.Go(func() { work(mount, uint64(round*10+n)) })
					}
					time.Sleep(time.Duration(200+rand.IntN(400)) * time.Millisecond)
					how := []string{"shutdown", "shutdown -f"}[rand.IntN(2)]
					snapshottest.Run(t, mount, "xfs_io", "-x", "-c", how, ".")
					workers.Wait()
				})
				snapshottest.Run(t, "/", "cp", "--sparse=always", image, taken)
				f, err := open(t, taken)
				if err != nil {
					t.Fatal(err)
				}
				got, err := imagefstest.Walk(f)
				if err != nil {
					t.Fatal(err)
				}
				n := f.Replayed().Pieces
				if tail, head, _, err := (&journal{f: f, n: f.logSectors}).ends(); err == nil && head < tail {
					around++
				}
				t.Log(len(got), "names,", n, "sectors,", len(f.overlay.fresh), "fresh blocks,", len(f.overlay.steps), "files with steps to make")
				judge(t, taken, mount, got)
				os.Remove(taken)
			}
			t.Log(around, "logs went around the end")
		})
	}
}

// enable sets features of a file system that is empty.
func enable(t testing.TB, image string, features uint32) {
	t.Helper()
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, sector)
	_, err = file.ReadAt(b, 0)
	be.PutUint32(b[216:], be.Uint32(b[216:])|features)
	le.PutUint32(b[superblockCRC:], sumOf(b, superblockCRC)) // over a sector of 512 bytes
	_, err2 := file.WriteAt(b, 0)
	if err := errors.Join(err, err2, file.Close()); err != nil {
		t.Fatal(err)
	}
}
