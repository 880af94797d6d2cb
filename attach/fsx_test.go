package attach

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/testneeds"
)

// fsxDir makes this test binary work on the files below a directory, in the way
// of the fsx of file system testers. It must be another process than the disk's
// server: a page fault that waits for one's own process is a deadlock.
const fsxDir = "SNAPVIEW_TEST_FSX_DIR"

const (
	fsxWorkers = 3
	fsxFiles   = 5
	fsxOps     = 400 // of each worker
	fsxMax     = 600 << 10
)

// Random operations on files by several at once: every one as in memory, and so
// is what the device holds in the end.
func TestAttach_FilesAreAsInMemory(t *testing.T) {
	needsKernel(t)
	testneeds.Tool(t, "e2fsck")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	disk := newDisk(t, 64<<20)
	a := mounted(t, disk, nil)
	cmd := exec.CommandContext(soon(t), self)
	cmd.Env = append(os.Environ(), fsxDir+"="+a.MountPoint())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := a.Detach(soon(t)); err != nil {
		t.Fatal(err)
	}
	checkImage(t, disk)
	// The files as a new mount reads them have the sums that the child told.
	a = mounted(t, disk, nil)
	var now strings.Builder
	for w := range fsxWorkers {
		sums, err := fsxSums(fsxFolder(a.MountPoint(), w))
		if err != nil {
			t.Fatal(err)
		}
		now.WriteString(sums)
	}
	if now.String() != string(out) {
		t.Errorf("after attaching again:\n%swant\n%s", now.String(), out)
	}
}

func fsxFolder(dir string, worker int) string { return filepath.Join(dir, fmt.Sprint("w", worker)) }

// fsxSums says what the files of a folder hold.
func fsxSums(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s %s\n", e.Name(), fsxSum(b))
	}
	return out.String(), nil
}

// fsxSum is FNV-1a and the length: a content in a few characters.
func fsxSum(b []byte) string {
	h := uint64(0xcbf29ce484222325)
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return fmt.Sprintf("%016x %d", h, len(b))
}

// fsx is the child's life. It prints the sums in the end.
func fsx(dir string) error {
	workers := make([]fsxWorker, fsxWorkers)
	errs := make([]error, fsxWorkers)
	var wg sync.WaitGroup
	for i := range workers {
		w := &workers[i]
		*w = fsxWorker{rand.New(rand.NewPCG(7, uint64(i))), fsxFolder(dir, i), make(map[string][]byte)}
		wg.Go(func() { errs[i] = w.run() })
	}
	wg.Wait()
	for i := range workers {
		sums, err := fsxSums(workers[i].dir)
		errs = append(errs, err)
		fmt.Print(sums)
	}
	return errors.Join(errs...)
}

// A fsxWorker has a folder of its own, and knows what must be in it.
type fsxWorker struct {
	rnd   *rand.Rand
	dir   string
	model map[string][]byte
}

func (w *fsxWorker) run() error {
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return err
	}
	for n := range fsxOps {
		name := fmt.Sprint("f", w.rnd.IntN(fsxFiles))
		what, err := w.step(name)
		if err != nil {
			return fmt.Errorf("%s: operation %d, %s %s: %w", w.dir, n, what, name, err)
		}
	}
	for name := range w.model {
		if err := w.compare(name, true); err != nil {
			return fmt.Errorf("%s: in the end, %s: %w", w.dir, name, err)
		}
	}
	return nil
}

// step does one operation, on the file and on what is known of it.
func (w *fsxWorker) step(name string) (what string, err error) {
	path := filepath.Join(w.dir, name)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "open", err
	}
	defer unix.Close(fd)
	m := w.model[name]
	off := w.rnd.IntN(fsxMax)
	n := 1 + w.rnd.IntN(min(fsxMax-off, 1<<(3+w.rnd.IntN(15)))) // from bytes to 128 KiB
	switch op := w.rnd.IntN(20); {
	case op < 6:
		what = fmt.Sprintf("write %d at %d", n, off)
		p := w.noise(n)
		m = grow(m, off+n)
		copy(m[off:], p)
		_, err = unix.Pwrite(fd, p, int64(off))
	case op < 8:
		what = fmt.Sprintf("truncate to %d", off)
		m = grow(m, off)[:off]
		err = unix.Ftruncate(fd, int64(off))
	case op < 11 && len(m) > 0:
		off %= len(m)
		n = min(n, len(m)-off)
		what = fmt.Sprintf("map and change %d at %d", n, off)
		p := w.noise(n)
		copy(m[off:], p)
		err = withMap(fd, len(m), func(b []byte) error { copy(b[off:], p); return nil }, w.rnd.IntN(2) == 0)
	case op < 13:
		what = fmt.Sprintf("punch %d at %d", n, off)
		clear(m[min(off, len(m)):min(off+n, len(m))])
		err = unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
	case op < 14:
		what = fmt.Sprintf("zero %d at %d", n, off)
		m = grow(m, off+n)
		clear(m[off : off+n])
		err = unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, int64(off), int64(n))
	case op < 15:
		what = fmt.Sprintf("allocate %d at %d", n, off)
		m = grow(m, off+n)
		err = unix.Fallocate(fd, 0, int64(off), int64(n))
	case op < 16:
		to := fmt.Sprint("f", w.rnd.IntN(fsxFiles))
		what = "rename to " + to
		w.model[to] = m
		if to != name {
			delete(w.model, name)
		}
		return what, os.Rename(path, filepath.Join(w.dir, to))
	case op < 17:
		delete(w.model, name)
		return "remove", os.Remove(path)
	case op < 18:
		what = "sync"
		err = unix.Fsync(fd)
	default:
		w.model[name] = m
		return "compare", w.compare(name, op == 19)
	}
	w.model[name] = m
	return what, err
}

// compare reads a file, mapped, and from the device if anew.
func (w *fsxWorker) compare(name string, anew bool) error {
	want := w.model[name]
	fd, err := unix.Open(filepath.Join(w.dir, name), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if anew {
		if err := errors.Join(unix.Fsync(fd), unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Size != int64(len(want)) {
		return fmt.Errorf("%d bytes, want %d", st.Size, len(want))
	}
	return withMap(fd, len(want), func(b []byte) error {
		if !bytes.Equal(b, want) {
			at := 0
			for b[at] == want[at] {
				at++
			}
			return fmt.Errorf("of %d bytes the one at %d is %#x, want %#x", len(b), at, b[at], want[at])
		}
		return nil
	}, false)
}

// withMap calls do with a file's n bytes, mapped and shared.
func withMap(fd, n int, do func([]byte) error, sync bool) error {
	if n == 0 {
		return nil
	}
	b, err := unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	err = do(b)
	if sync {
		err = errors.Join(err, unix.Msync(b, unix.MS_SYNC))
	}
	return errors.Join(err, unix.Munmap(b))
}

func (w *fsxWorker) noise(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(w.rnd.Uint32())
	}
	return p
}

func grow(b []byte, n int) []byte {
	if n <= len(b) {
		return b
	}
	return append(b, make([]byte, n-len(b))...)
}
