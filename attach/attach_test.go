package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/block/blocktest"
	"github.com/snapview/snapview/testneeds"
)

func TestAttach_FilesSurviveDetaching(t *testing.T) {
	needsKernel(t)
	disk := newDisk(t, 64<<20)
	dir := filepath.Join(t.TempDir(), "a")
	data := make([]byte, 9<<20+123)
	rand.New(rand.NewSource(1)).Read(data)

	a, err := Attach(soon(t), Config{Dir: dir, Device: disk, Method: FUSE})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Detach(context.Background())
	if a.Method() != FUSE || a.MountPoint() != filepath.Join(dir, "mnt") || !strings.HasPrefix(a.DeviceName(), "loop") {
		t.Errorf("got method %s, mount point %s, device %s", a.Method(), a.MountPoint(), a.DeviceName())
	}
	if err := os.WriteFile(filepath.Join(a.MountPoint(), "f"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Detach(soon(t)); err != nil {
		t.Fatal(err)
	}
	checkNothingLeft(t, dir)
	if err := a.Detach(soon(t)); err != nil {
		t.Errorf("detaching again: %v", err)
	}

	b := mounted(t, disk, func(c *Config) { c.ReadOnly = true })
	got, err := os.ReadFile(filepath.Join(b.MountPoint(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Error("the file differs after detaching and attaching again")
	}
	if err := os.WriteFile(filepath.Join(b.MountPoint(), "g"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing to a read-only attachment: %v, want EROFS", err)
	}
}

func TestAttach_MountOptionsAndQueue(t *testing.T) {
	needsKernel(t)
	a := mounted(t, newDisk(t, 64<<20), func(c *Config) { c.ReadAheadBytes = 16 << 10 })
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var options []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == a.MountPoint() {
			options = strings.Split(f[3], ",")
		}
	}
	for _, want := range []string{"noatime", "nodev", "nosuid", "noexec", "discard"} {
		if !slices.Contains(options, want) {
			t.Errorf("mounted without %s: %v", want, options)
		}
	}
	queue := func(name string) string {
		b, err := os.ReadFile("/sys/block/" + a.DeviceName() + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	for name, want := range map[string]string{
		"loop/dio": "1", "loop/autoclear": "1", "queue/logical_block_size": "4096",
		"queue/read_ahead_kb": "16", "queue/discard_granularity": "4096",
	} {
		if got := queue(name); got != want {
			t.Errorf("%s of %s is %s, want %s", name, a.DeviceName(), got, want)
		}
	}
	if err := a.SetReadAhead(1 << 20); err != nil {
		t.Fatal(err)
	}
	if got := queue("queue/read_ahead_kb"); got != "1024" {
		t.Errorf("read_ahead_kb is %s after setting 1 MiB", got)
	}
}

// A write that comes back with an error from the device must not be lost
// silently, and discards must reach the device as zeros.
func TestAttach_DiscardGivesSpaceBack(t *testing.T) {
	needsKernel(t)
	disk := &countingZero{Device: newDisk(t, 64<<20)}
	a := mounted(t, disk, nil)
	name := filepath.Join(a.MountPoint(), "f")
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := a.Detach(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := disk.zeroed.Load(); got < 8<<20 {
		t.Errorf("%d bytes were discarded after a file of 8 MiB was removed", got)
	}
}

func TestAttach_ErrorsOfTheDeviceArrive(t *testing.T) {
	needsKernel(t)
	faults := blocktest.NewFaults(-1, 0)
	a := mounted(t, blocktest.FaultDevice(newDisk(t, 64<<20), faults), nil)
	name := filepath.Join(a.MountPoint(), "f")
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	faults.Arm(0, 1<<30, blocktest.OpRead)
	_, err = f.ReadAt(make([]byte, 4096), 0)
	if !errors.Is(err, unix.EIO) {
		t.Errorf("reading while the device fails: %v, want EIO", err)
	}
	faults.Disarm()
	if _, err = f.ReadAt(make([]byte, 4096), 0); err != nil {
		t.Errorf("reading when the device works again: %v", err)
	}
}

// Whatever step fails, everything before it is undone. Record is called around
// each step, so failing its n-th call fails each in turn, before and after.
func TestAttach_FailureAtEachStepLeavesNothing(t *testing.T) {
	needsKernel(t)
	disk := newDisk(t, 64<<20)
	for n := 1; ; n++ {
		if n > 100 {
			t.Fatal("attaching takes more than 100 records")
		}
		dir := filepath.Join(t.TempDir(), "a")
		broken := fmt.Errorf("record %d fails", n)
		rec := &recorder{fail: func(i int, r Resource) error {
			if i == n && r.State != Released {
				return broken
			}
			return nil
		}}
		a, err := Attach(soon(t), Config{Dir: dir, Device: disk, Method: FUSE, Record: rec.record})
		if err == nil {
			if err := a.Detach(soon(t)); err != nil {
				t.Fatal(err)
			}
			if n < 12 {
				t.Errorf("only %d records were made of 6 resources", n-1)
			}
			break
		}
		if !errors.Is(err, broken) {
			t.Errorf("failing record %d: the error is %v", n, err)
		}
		checkNothingLeft(t, dir)
		if left := Latest(rec.all()); len(left) > 0 && !(len(left) == 1 && left[0].State == Wanted) {
			t.Errorf("failing record %d: not recorded as released: %+v", n, left)
		}
	}
}

func TestAttach_NoFileSystemOnTheDevice(t *testing.T) {
	needsKernel(t)
	dir := filepath.Join(t.TempDir(), "a")
	rec := &recorder{}
	_, err := Attach(soon(t), Config{Dir: dir, Device: block.NewMemory(16 << 20), Method: FUSE, Record: rec.record})
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "no ext4") {
		t.Errorf("attaching zeros: %v", err)
	}
	checkNothingLeft(t, dir)
	if left := Latest(rec.all()); len(left) > 0 {
		t.Errorf("still recorded as held: %+v", left)
	}
}

func TestAttach_RefusesUselessConfigs(t *testing.T) {
	disk := block.NewMemory(1 << 20)
	for name, cfg := range map[string]Config{
		"no dir":     {Device: disk},
		"no device":  {Dir: "x"},
		"odd size":   {Dir: "x", Device: block.NewMemory(1<<20 + 512)},
		"empty":      {Dir: "x", Device: block.NewMemory(0)},
		"method":     {Dir: "x", Device: disk, Method: "usb"},
		"nbd, where": {Dir: "x", Device: disk, Method: NBD},
	} {
		if a, err := Attach(context.Background(), cfg); err == nil {
			t.Errorf("%s: attached", name)
			a.Detach(context.Background())
		}
	}
	if _, err := os.Lstat("x"); err == nil {
		t.Error("a refused attachment made its directory")
	}
}

func TestAttach_EndedContextUndoes(t *testing.T) {
	needsKernel(t)
	dir := filepath.Join(t.TempDir(), "a")
	ctx, cancel := context.WithCancel(context.Background())
	rec := &recorder{fail: func(_ int, r Resource) error {
		if r.Kind == KindLoop && r.State == Held {
			cancel()
		}
		return nil
	}}
	_, err := Attach(ctx, Config{Dir: dir, Device: newDisk(t, 64<<20), Method: FUSE, Record: rec.record})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("attaching with a context that ends: %v", err)
	}
	checkNothingLeft(t, dir)
}

func TestDetach_BusyMountNamesItsHolder(t *testing.T) {
	needsKernel(t)
	a := mounted(t, newDisk(t, 64<<20), nil)
	cmd := exec.Command("sleep", "1000")
	cmd.Dir = a.MountPoint()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	defer stop()

	ctx, cancel := context.WithCancel(context.Background())
	cancel() // one attempt only
	err := a.Detach(ctx)
	var busy *BusyError
	if !errors.As(err, &busy) {
		t.Fatalf("detaching a busy mount: %v, want a BusyError", err)
	}
	i := slices.IndexFunc(busy.Holders, func(h Holder) bool { return h.PID == cmd.Process.Pid })
	if i < 0 {
		t.Fatalf("the holder, %d, is not named: %v", cmd.Process.Pid, err)
	}
	if h := busy.Holders[i]; h.Command != "sleep" || h.How != "working directory" {
		t.Errorf("the holder is described as %+v", h)
	}
	if _, err := os.ReadDir(a.MountPoint()); err != nil {
		t.Errorf("a mount that could not be detached does not work: %v", err)
	}
	stop()
	if err := a.Detach(soon(t)); err != nil {
		t.Errorf("detaching when the holder is gone: %v", err)
	}
}

func TestDetach_FrozenFileSystem(t *testing.T) {
	needsKernel(t)
	dir := filepath.Join(t.TempDir(), "a")
	a := mounted(t, newDisk(t, 64<<20), func(c *Config) { c.Dir = dir })
	if err := a.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := a.Detach(soon(t)); err != nil {
		t.Fatal(err)
	}
	checkNothingLeft(t, dir)
}

func TestFreeze_ImageIsCompleteAndWritersWait(t *testing.T) {
	needsKernel(t)
	testneeds.Tool(t, "e2fsck")
	disk := newDisk(t, 64<<20)
	a := mounted(t, disk, nil)
	name := filepath.Join(a.MountPoint(), "f")
	if err := os.WriteFile(name, bytes.Repeat([]byte("frozen"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer a.Thaw()
	if err := a.Freeze(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("freezing twice: %v, want EBUSY", err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(name+"2", []byte("x"), 0o600) }()

	// What the device holds now is the whole file system.
	copied := make([]byte, disk.Size())
	if _, err := disk.ReadAt(copied, 0); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "frozen")
	if err := os.WriteFile(path, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("e2fsck", "-fn", path).CombinedOutput(); err != nil {
		t.Errorf("e2fsck of the frozen image: %v\n%s", err, out)
	}
	b := mounted(t, block.NewMemoryFrom(copied), nil)
	if got, err := os.ReadFile(filepath.Join(b.MountPoint(), "f")); err != nil || len(got) != 600_000 {
		t.Errorf("the frozen image's file has %d bytes (%v), want 600000", len(got), err)
	}

	select {
	case err := <-written:
		t.Errorf("a write returned while frozen: %v", err)
	default:
	}
	for range 2 { // the second thaw has nothing to do
		if err := a.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-written; err != nil {
		t.Errorf("the write that waited: %v", err)
	}
}

func TestDetach_UnderLoad(t *testing.T) {
	needsKernel(t)
	testneeds.Tool(t, "fio")
	dir := filepath.Join(t.TempDir(), "a")
	disk := newDisk(t, 256<<20)
	a := mounted(t, disk, func(c *Config) { c.Dir = dir })
	cmd := exec.Command("fio", "--name=load", "--directory="+a.MountPoint(), "--rw=randrw", "--bs=8k",
		"--size=32m", "--numjobs=2", "--time_based", "--runtime=600", "--ioengine=psync", "--fallocate=none")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	// Before its two jobs run, fio opens and closes their files.
	var st unix.Stat_t
	if err := unix.Stat(a.MountPoint(), &st); err != nil {
		t.Fatal(err)
	}
	err := poll(soon(t), func() (bool, error) { return len(holders(uint64(st.Dev))) >= 2, nil })
	if err != nil {
		t.Fatal("fio does not start")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var busy *BusyError
	if err := a.Detach(ctx); !errors.As(err, &busy) || len(busy.Holders) == 0 {
		t.Errorf("detaching under load: %v", err)
	}
	// fio's jobs are processes of their own that end with their parent.
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	if err := a.Detach(soon(t)); err != nil {
		t.Fatal(err)
	}
	checkNothingLeft(t, dir)
	checkImage(t, disk)
}

// checkImage runs e2fsck over what a device holds.
func checkImage(t *testing.T, disk block.Device) {
	t.Helper()
	testneeds.Tool(t, "e2fsck")
	b := make([]byte, disk.Size())
	if _, err := disk.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("e2fsck", "-fn", path).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
}

func TestAttach_FioVerify(t *testing.T) {
	needsKernel(t)
	testneeds.Tool(t, "fio")
	disk := newDisk(t, 128<<20)
	a := mounted(t, disk, nil)
	cmd := exec.Command("fio", "--name=global", "--directory="+a.MountPoint(), "--rw=randwrite", "--size=24m", "--numjobs=2",
		"--fallocate=none", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0", "--randseed=7",
		"--name=cached", "--ioengine=psync", "--bsrange=512-64k", "--bs_unaligned",
		"--name=direct", "--stonewall", "--ioengine=libaio", "--iodepth=16", "--direct=1", "--bsrange=4k-256k", "--blockalign=4k", "--bs_unaligned=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("fio: %v\n%s", err, out)
	}
	if err := a.Detach(soon(t)); err != nil {
		t.Fatal(err)
	}
	checkImage(t, disk)
}

// A PostgreSQL that inherited the FUSE descriptor would keep the disk of a dead
// session from failing.
func TestAttach_ChildrenInheritNothing(t *testing.T) {
	needsKernel(t)
	a := mounted(t, newDisk(t, 32<<20), nil)
	out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/dev/fuse", "/dev/loop", filepath.Dir(a.MountPoint())} {
		if strings.Contains(string(out), name) {
			t.Errorf("a child process has %s open:\n%s", name, out)
		}
	}
}
