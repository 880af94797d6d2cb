package attach

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/testneeds"
)

// needsKernel is for tests that attach by FUSE.
func needsKernel(t testing.TB) {
	t.Helper()
	for _, s := range Supported() {
		if s.Method == FUSE {
			testneeds.Need(t, s.OK, "root with FUSE, loop devices and ext4 ("+s.Reason+")")
		}
	}
	testneeds.Tool(t, "mkfs.ext4")
}

// soon is a deadline that only a hang misses.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// image returns the bytes of an empty ext4 as large as size.
func image(t testing.TB, size int64) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal", path).CombinedOutput()
	if err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newDisk returns a device in memory with an empty ext4.
func newDisk(t testing.TB, size int64) block.Device {
	t.Helper()
	return block.NewMemoryFrom(image(t, size))
}

// recorder is a Config.Record that keeps everything.
type recorder struct {
	mu   sync.Mutex
	log  []Resource
	fail func(n int, r Resource) error // n counts from 1
}

func (l *recorder) record(r Resource) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = append(l.log, r)
	if l.fail != nil {
		return l.fail(len(l.log), r)
	}
	return nil
}

func (l *recorder) all() []Resource {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Resource(nil), l.log...)
}

// mounted attaches disk and detaches it when the test ends.
func mounted(t testing.TB, disk block.Device, change func(*Config)) *Attachment {
	t.Helper()
	cfg := Config{Dir: filepath.Join(t.TempDir(), "a"), Device: disk, Method: FUSE}
	if change != nil {
		change(&cfg)
	}
	a, err := Attach(soon(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Detach(soon(t)); err != nil {
			t.Errorf("detach at the end: %v", err)
		}
	})
	return a
}

// leftovers lists what an attachment in dir has in the kernel and on disk.
func leftovers(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	mounts, err := readMounts("self")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.point, dir) {
			out = append(out, fmt.Sprintf("mount %s (%s, %s)", m.point, m.fstype, m.source))
		}
	}
	names, err := filepath.Glob("/sys/block/loop*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if b := loopBacking(filepath.Base(name)); strings.HasPrefix(b, dir) {
			out = append(out, "loop device "+filepath.Base(name)+" on "+b)
		}
	}
	if _, err := os.Lstat(dir); err == nil {
		out = append(out, "directory "+dir)
	}
	return out
}

func checkNothingLeft(t testing.TB, dir string) {
	t.Helper()
	if l := leftovers(t, dir); len(l) > 0 {
		t.Errorf("left behind: %s", strings.Join(l, "; "))
	}
}
