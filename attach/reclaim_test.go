package attach

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/testneeds"
)

// The victim is this test binary run again: it attaches, tells its records on
// standard output, and waits to be killed.
const (
	victimDir   = "SNAPVIEW_TEST_VICTIM_DIR"
	victimImage = "SNAPVIEW_TEST_VICTIM_IMAGE"
	victimStop  = "SNAPVIEW_TEST_VICTIM_STOP" // stop in this record, 0: attach fully
	victimThen  = "SNAPVIEW_TEST_VICTIM_THEN" // "freeze", "write"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		if err := victim(dir); err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(fsxDir); dir != "" {
		if err := fsx(dir); err != nil {
			fmt.Fprintln(os.Stderr, "fsx:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func victim(dir string) error {
	data, err := os.ReadFile(os.Getenv(victimImage))
	if err != nil {
		return err
	}
	stop, err := strconv.Atoi(os.Getenv(victimStop))
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	n := 0
	wait := func() { select {} }
	a, err := Attach(context.Background(), Config{
		Dir: dir, Device: block.NewMemoryFrom(data), Method: FUSE,
		Record: func(r Resource) error {
			n++
			if err := out.Encode(r); err != nil {
				return err
			}
			if n == stop {
				fmt.Println("waiting")
				wait()
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	switch os.Getenv(victimThen) {
	case "freeze":
		if err := a.Freeze(); err != nil {
			return err
		}
	case "write":
		go func() {
			for i := 0; ; i++ {
				_ = os.WriteFile(filepath.Join(a.MountPoint(), strconv.Itoa(i%7)), make([]byte, 1<<20), 0o600)
			}
		}()
	}
	fmt.Println("waiting")
	wait()
	return nil
}

// kill runs a victim until it waits, kills it, and returns what it recorded.
// more is false when it attached without coming to the record to stop in.
func kill(t *testing.T, dir, image string, stop int, then string) (log []Resource) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), victimDir+"="+dir, victimImage+"="+image,
		victimStop+"="+strconv.Itoa(stop), victimThen+"="+then)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // kill -9
		gone := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(gone)
		}()
		t.Cleanup(func() { <-gone })
		untilDead(t, cmd.Process.Pid)
	}()
	sc := bufio.NewScanner(pipe)
	for sc.Scan() {
		if sc.Text() == "waiting" {
			return log
		}
		var r Resource
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatalf("victim says %q", sc.Text())
		}
		log = append(log, r)
	}
	t.Fatal("the victim died on its own")
	return nil
}

// untilDead waits until a killed process runs no more. It may not be gone for as
// long as one of its threads waits in the kernel for an answer that only the
// process itself would have given: it is Reclaim that ends that.
func untilDead(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return
		}
		// A signal 9 that is pending: the thread will run no more.
		for line := range strings.Lines(string(status)) {
			mask, ok := strings.CutPrefix(line, "SigPnd:")
			pending, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			if ok && err == nil && pending&(1<<8) != 0 {
				return
			}
		}
	}
	t.Fatalf("process %d does not die", pid)
}

func imageFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, image(t, 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Killed in any step of attaching, before it took something and after.
func TestReclaim_KilledAtEachStep(t *testing.T) {
	needsKernel(t)
	disk := imageFile(t)
	for stop := 1; ; stop++ {
		dir := filepath.Join(t.TempDir(), "a")
		log := kill(t, dir, disk, stop, "")
		attached := len(log) < stop
		if err := Reclaim(soon(t), log); err != nil {
			t.Errorf("killed in record %d: %v", stop, err)
		}
		checkNothingLeft(t, dir)
		if err := Reclaim(soon(t), log); err != nil {
			t.Errorf("killed in record %d, reclaiming again: %v", stop, err)
		}
		if attached {
			if stop != 13 {
				t.Errorf("attaching made %d records, want 12", stop-1)
			}
			return
		}
	}
}

func TestReclaim_KilledWhileFrozen(t *testing.T) {
	needsKernel(t)
	dir := filepath.Join(t.TempDir(), "a")
	log := kill(t, dir, imageFile(t), 0, "freeze")
	if err := Reclaim(soon(t), log); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t, dir)
}

func TestReclaim_KilledWhileWriting(t *testing.T) {
	needsKernel(t)
	dir := filepath.Join(t.TempDir(), "a")
	log := kill(t, dir, imageFile(t), 0, "write")
	if err := Reclaim(soon(t), log); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t, dir)
}

func TestReclaim_BusyMountIsAnErrorAndStays(t *testing.T) {
	needsKernel(t)
	dir := filepath.Join(t.TempDir(), "a")
	log := kill(t, dir, imageFile(t), 0, "")
	f, err := unix.Open(filepath.Join(dir, "mnt"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err = Reclaim(ctx, log)
	if err == nil || !strings.Contains(err.Error(), "(pid "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("reclaiming a mount that this process holds: %v", err)
	}
	unix.Close(f)
	if err := Reclaim(soon(t), log); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t, dir)
}

// Records that name a device or mount which is now somebody else's.
func TestReclaim_LeavesOthersAlone(t *testing.T) {
	needsKernel(t)
	testneeds.Tool(t, "losetup")
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", other).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v\n%s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", device).Run() })
	living := mounted(t, newDisk(t, 32<<20), nil)

	for name, r := range map[string]Resource{
		"loop device on another file":     {Kind: KindLoop, Path: device, Backing: "/nowhere/fuse/disk"},
		"loop device on a file of a name": {Kind: KindLoop, Path: device, Backing: other, BackingDev: 1, BackingIno: 2},
		"loop device not known":           {Kind: KindLoop, Backing: "/nowhere/fuse/disk"},
		"mount from another device":       {Kind: KindMount, Path: living.MountPoint(), Source: device},
		"mount of another type":           {Kind: KindFUSE, Path: living.MountPoint(), Source: "/dev/" + living.DeviceName()},
		"mount of another boot":           {Kind: KindMount, Path: living.MountPoint(), Source: "/dev/" + living.DeviceName(), BootID: "another"},
		"directory with something in it":  {Kind: KindDir, Path: filepath.Dir(other)},
		"NBD device":                      {Kind: KindNBD, Index: 0, Backend: "snapview-x", PID: 1},
	} {
		r.ID, r.State = string(r.Kind)+":x", Held
		if r.BootID == "" {
			r.BootID = bootID()
		}
		err := Reclaim(soon(t), []Resource{r})
		if (err != nil) != (r.Kind == KindDir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if loopBacking(filepath.Base(device)) != other {
		t.Error("another's loop device was taken down")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(living.MountPoint(), "f"), []byte("x"), 0o600); err != nil {
		t.Errorf("a living attachment was taken down: %v", err)
	}
}

func TestLatest(t *testing.T) {
	log := []Resource{
		{ID: "a", State: Wanted}, {ID: "b", State: Wanted}, {ID: "a", State: Held, Path: "1"},
		{ID: "b", State: Released}, {ID: "c", State: Wanted}, {ID: "d", State: Held}, {ID: "d", State: Released},
		{ID: "d", State: Wanted},
	}
	var got []string
	for _, r := range Latest(log) {
		got = append(got, r.ID+" "+string(r.State)+r.Path)
	}
	want := "a held1, c wanted, d wanted"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}

func TestResource_SurvivesJSON(t *testing.T) {
	for _, r := range []Resource{
		{ID: "nbd:x", Kind: KindNBD, State: Wanted, Index: -1, Backend: "snapview-1", PID: 7, BootID: "b"},
		{ID: "nbd:x", Kind: KindNBD, State: Held, Index: 0, Path: "/dev/nbd0"},
		{ID: "loop:x", Kind: KindLoop, State: Held, Backing: "/d/fuse/disk", BackingDev: 1 << 60, BackingIno: 2},
	} {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var got Resource
		if err := json.Unmarshal(b, &got); err != nil || got != r {
			t.Errorf("%+v became %+v (%v)", r, got, err)
		}
	}
}
