package ext4_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/ext4"
	"github.com/snapview/snapview/testneeds"
)

// TestMount_KernelAgrees mounts an image with Linux's own ext4, compares it
// with the tree it was made of, writes into it, and has e2fsck look at what
// came of it. The kernel log must stay free of complaints.
func TestMount_KernelAgrees(t *testing.T) {
	testneeds.Need(t, os.Geteuid() == 0, "root, to mount")
	losetup := testneeds.Tool(t, "losetup")
	testneeds.Tool(t, "e2fsck")
	tree := t.TempDir()
	makeTree(t, tree)
	m := newImage(t, os.DirFS(tree), ext4.Options{FreeBytes: 256 << 20, Label: "pgview"})
	image := export(t, m)
	checkClean(t, image)

	loop := attachLoop(t, losetup, image)
	dir := t.TempDir()
	t.Run("ReadOnly", func(t *testing.T) {
		log := newKernelLog(t, loop)
		unmount := mount(t, loop, dir, unix.MS_RDONLY)
		compareDirs(t, tree, dir)
		unmount()
		log.check(t)
	})
	t.Run("Written", func(t *testing.T) {
		log := newKernelLog(t, loop)
		unmount := mount(t, loop, dir, unix.MS_NOATIME)
		compareDirs(t, tree, dir)
		// The same changes there and in the original.
		for _, d := range []string{dir, tree} {
			change(t, d)
		}
		compareDirs(t, tree, dir)
		unmount()
		checkClean(t, image)

		unmount = mount(t, loop, dir, unix.MS_NOATIME)
		compareDirs(t, tree, dir)
		unmount()
		log.check(t)
	})
}

// TestMount_OfATerabyte shows that size alone troubles neither the kernel nor
// what it writes.
func TestMount_OfATerabyte(t *testing.T) {
	testneeds.Need(t, os.Geteuid() == 0, "root, to mount")
	losetup := testneeds.Tool(t, "losetup")
	m := newImage(t, newSynth(terabyte()), ext4.Options{})
	image := exportMetadata(t, m)
	loop := attachLoop(t, losetup, image)
	dir := t.TempDir()
	log := newKernelLog(t, loop)
	unmount := mount(t, loop, dir, unix.MS_NOATIME)
	entries, err := os.ReadDir(filepath.Join(dir, "base/16384"))
	if err != nil || len(entries) != 1000 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i := range 100 {
		p := filepath.Join(dir, "base", fmt.Sprint(i%20), fmt.Sprint("new", i))
		if err := os.WriteFile(p, bytes.Repeat([]byte("n"), 100_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "base/16384/24576.500"), 12345); err != nil {
		t.Fatal(err)
	}
	unmount()
	checkClean(t, image)
	log.check(t)
}

// makeTree fills dir with what a data directory has, and some it has not.
func makeTree(t *testing.T, dir string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	write := func(name string, size int, mode os.FileMode) {
		t.Helper()
		p := filepath.Join(dir, name)
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(rnd.Int64N(1<<33), rnd.Int64N(1e9))
		if err := os.Chtimes(p, when, when); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		write(fmt.Sprintf("base/5/%d", 1000+i), rnd.IntN(40_000), 0o600)
	}
	for i := range 3000 {
		write(fmt.Sprintf("many/%d%s", i, strings.Repeat("m", i%240)), 0, 0o640)
	}
	write("base/5/large", 20<<20, 0o600)
	write("PG_VERSION", 3, 0o644)
	write(strings.Repeat("ü", 127), 100, 0o400)
	for n, target := range map[string]string{"short": "../x", "59": strings.Repeat("a", 59), "60": strings.Repeat("b", 60), "long": strings.Repeat("c/", 500)} {
		if err := os.Symlink(target, filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "nothing"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// change does to dir what a database might, and worse.
func change(t *testing.T, dir string) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, "base/5/large"), os.O_RDWR, 0)
	ok(err)
	_, err = f.WriteAt(bytes.Repeat([]byte("new page"), 1024), 7<<20+512)
	ok(err)
	_, err = f.WriteAt([]byte("beyond the end"), 30<<20)
	ok(err)
	ok(f.Sync())
	ok(f.Close())
	for i := range 400 {
		ok(os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("new%d", i)), bytes.Repeat([]byte{byte(i)}, i*37), 0o600))
	}
	for i := range 100 {
		ok(os.Remove(filepath.Join(dir, "base/5", fmt.Sprint(1000+i))))
		ok(os.Truncate(filepath.Join(dir, "base/5", fmt.Sprint(1100+i)), int64(i*100)))
		ok(os.Rename(filepath.Join(dir, "base/5", fmt.Sprint(1200+i)), filepath.Join(dir, "nothing", fmt.Sprint(i))))
	}
	ok(os.MkdirAll(filepath.Join(dir, "pg_tblspc/16400/PG_15"), 0o700))
	ok(os.Link(filepath.Join(dir, "PG_VERSION"), filepath.Join(dir, "pg_tblspc/16400/linked")))
	ok(os.Remove(filepath.Join(dir, "long")))
	ok(os.Symlink(strings.Repeat("s/", 300), filepath.Join(dir, "longer")))
	ok(os.WriteFile(filepath.Join(dir, "grown"), bytes.Repeat([]byte("grow"), 8<<20), 0o600))
}

func attachLoop(t *testing.T, losetup, image string) string {
	t.Helper()
	out, err := exec.Command(losetup, "--find", "--show", image).CombinedOutput()
	testneeds.Need(t, err == nil, fmt.Sprintf("a loop device: %s", out))
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command(losetup, "--detach", loop).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v: %s", loop, err, out)
		}
	})
	return loop
}

// mount mounts and returns the unmount, which also runs at the test's end.
func mount(t *testing.T, device, dir string, flags uintptr) (unmount func()) {
	t.Helper()
	if err := unix.Mount(device, dir, "ext4", flags, "noinit_itable"); err != nil {
		t.Fatalf("mount %s: %v", device, err)
	}
	mounted := true
	unmount = func() {
		if !mounted {
			return
		}
		mounted = false
		// Someone may look into the mount for a moment (an indexer, say).
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			err := unix.Unmount(dir, 0)
			if err == nil {
				return
			}
			if err != unix.EBUSY || time.Now().After(end) {
				t.Fatalf("unmount %s: %v", dir, err)
			}
		}
	}
	t.Cleanup(unmount)
	return unmount
}

// compareDirs compares names, types, modes, times, links and contents.
func compareDirs(t *testing.T, want, got string) {
	t.Helper()
	w, g := summarize(t, want), summarize(t, got)
	for p, s := range w {
		if g[p] != s {
			t.Fatalf("%q is\n%s, want\n%s", p, g[p], s)
		}
		delete(g, p)
	}
	for p := range g {
		t.Errorf("%q should not be there", p)
	}
}

func summarize(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.Walk(root, func(p string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		s := fi.Mode().String()
		switch {
		case fi.Mode().IsRegular():
			f, err := os.Open(p)
			if err != nil {
				return err
			}
			defer f.Close()
			h := sha256.New()
			if _, err := io.Copy(h, f); err != nil {
				return err
			}
			s = fmt.Sprintf("%s %d bytes %x", s, fi.Size(), h.Sum(nil))
			if !strings.HasPrefix(rel, "many/new") && rel != "grown" && !strings.Contains(rel, "5/") {
				s += fmt.Sprint(" changed ", fi.ModTime().UnixNano())
			}
		case fi.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			s += " to " + target
		}
		out[rel] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kernelLog watches /dev/kmsg for lines about one device.
type kernelLog struct {
	fd     int
	device string
}

func newKernelLog(t *testing.T, device string) *kernelLog {
	t.Helper()
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	testneeds.Need(t, err == nil, fmt.Sprintf("/dev/kmsg: %v", err))
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.Seek(fd, 0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	return &kernelLog{fd, filepath.Base(device)}
}

// check fails the test if ext4 said more of the device than that it was
// mounted and unmounted.
func (l *kernelLog) check(t *testing.T) {
	t.Helper()
	buf := make([]byte, 8192)
	seen := 0
	for {
		n, err := unix.Read(l.fd, buf)
		if err == unix.EPIPE { // records were overwritten: go on with the next
			continue
		}
		if err == unix.EAGAIN || n == 0 {
			break
		}
		if err != nil {
			t.Fatalf("reading /dev/kmsg: %v", err)
		}
		line := string(buf[:n])
		if !strings.Contains(line, "EXT4-fs") || !strings.Contains(line, "("+l.device+")") {
			continue
		}
		seen++
		if strings.Contains(line, "mounted filesystem") || strings.Contains(line, "unmounting filesystem") {
			continue
		}
		t.Errorf("the kernel complains: %s", line)
	}
	if seen == 0 {
		t.Error("the kernel log has no line of the mount: this check is blind")
	}
}
