package pgrunner

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/testneeds"
)

// childEnv makes the test binary a child that starts a server, prints what it
// recorded, and waits to be killed.
const childEnv = "SNAPVIEW_TEST_CHILD"

func TestMain(m *testing.M) {
	if j := os.Getenv(childEnv); j != "" {
		if err := child(j); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

type childOrder struct {
	Plan   Plan
	Config struct {
		Major                int
		Root, RunDir, Docker string
	}
}

func child(j string) error {
	var o childOrder
	if err := json.Unmarshal([]byte(j), &o); err != nil {
		return err
	}
	c := Config{
		Major: o.Config.Major, Root: o.Config.Root, RunDir: o.Config.RunDir, DockerHost: o.Config.Docker, SessionID: "child",
		Record: func(r Resource) error { return json.NewEncoder(os.Stdout).Encode(r) },
	}
	if _, err := Start(context.Background(), &o.Plan, c); err != nil {
		return err
	}
	fmt.Println("ready")
	select {}
}

// orphan starts a server in a child, kills the child, and returns what it
// had recorded.
func orphan(t *testing.T, p *Plan, c Config) []Resource {
	t.Helper()
	o := childOrder{Plan: *p}
	o.Config.Major, o.Config.Root, o.Config.RunDir, o.Config.Docker = c.Major, c.Root, c.RunDir, c.DockerHost
	j, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+string(j))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var rs []Resource
	ready := false
	for s := bufio.NewScanner(out); !ready && s.Scan(); {
		var r Resource
		if ready = s.Text() == "ready"; ready {
			break
		}
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Errorf("%s: %v", s.Bytes(), err)
		}
		rs = append(rs, r)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !ready {
		t.Fatal("the child did not start a server")
	}
	return rs
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// onLoop moves a Root to a file system on a loop device. Unmounting it says
// nothing of other mount namespaces, which hold copies of the mount; the loop
// device, which detaches itself with the file system's last mount, does.
func onLoop(t *testing.T, root string, p *Plan) (mounted string, unmount func(), held func() bool) {
	t.Helper()
	for _, tool := range []string{"mkfs.ext4", "losetup", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			testneeds.Missing(t, "%s", tool)
		}
	}
	dir := tempDir(t)
	img := filepath.Join(dir, "img")
	mounted = filepath.Join(dir, "mnt")
	mkdir(t, mounted)
	write(t, img, "")
	if err := os.Truncate(img, 64<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", img)
	if out, err := exec.Command("mount", "-o", "loop,noatime", img, mounted).CombinedOutput(); err != nil {
		testneeds.Missing(t, "loop devices: %v: %s", err, out)
	}
	done := false
	unmount = func() {
		t.Helper()
		if !done {
			done = true
			if err := unix.Unmount(mounted, 0); err != nil {
				_ = unix.Unmount(mounted, unix.MNT_DETACH)
				t.Errorf("unmount: %v", err)
			}
		}
	}
	held = func() bool { return run(t, "losetup", "-j", img) != "" }
	t.Cleanup(func() {
		unmount()
		waitFor(t, "the end of the loop device", func() bool { return !held() })
	})
	run(t, "cp", "-a", root+"/.", mounted)
	own(t, mounted, p)
	return mounted, unmount, held
}

func TestStopLetsGoOfTheMount(t *testing.T) {
	p := needsLocal(t, 15)
	root, unmount, held := onLoop(t, plain15(t, p), p)
	s := start(t, p, config(t, root, 15))
	stopLetsGo(t, s, unmount, held)
}

func stopLetsGo(t *testing.T, s *Server, unmount func(), held func() bool) {
	t.Helper()
	unmount()
	if !held() {
		t.Fatal("the running server does not hold the file system: this test proves nothing")
	}
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "letting go of the file system", func() bool { return !held() })
	if err := s.Err(); err != nil {
		t.Errorf("an end that was asked for: %v", err)
	}
}

func TestStopWithoutPatience(t *testing.T) {
	p := needsLocal(t, 15)
	s := start(t, p, config(t, plain15(t, p), 15))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
}

func TestServerEndsByItself(t *testing.T) {
	p := needsLocal(t, 15)
	c := config(t, plain15(t, p), 15)
	events := make(chan Event, 100)
	c.Events = func(e Event) { events <- e }
	s := start(t, p, c)
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Err: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	close(events)
	var last Event
	for e := range events {
		last = e
	}
	if last.Phase != "exited" {
		t.Errorf("last event %+v", last)
	}
}

func TestStartInterrupted(t *testing.T) {
	p := needsLocal(t, 15)
	fixture := plain15(t, p)
	for _, phase := range []string{"recover", "serve"} {
		root, unmount, held := onLoop(t, fixture, p)
		c := config(t, root, 15)
		ctx, cancel := context.WithCancel(t.Context())
		c.Events = func(e Event) {
			if e.Phase == phase {
				cancel()
			}
		}
		if _, err := Start(ctx, p, c); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted in %s: %v", phase, err)
		}
		unmount()
		waitFor(t, "letting go of the file system", func() bool { return !held() })
	}
}

func TestRecordRefuses(t *testing.T) {
	p := needsLocal(t, 15)
	root, unmount, held := onLoop(t, plain15(t, p), p)
	c := config(t, root, 15)
	full := errors.New("the state directory is full")
	c.Record = func(Resource) error { return full }
	if _, err := Start(t.Context(), p, c); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	unmount()
	waitFor(t, "letting go of the file system", func() bool { return !held() })
}

func TestLocalDiesWithItsParent(t *testing.T) {
	p := needsLocal(t, 15)
	root, unmount, held := onLoop(t, plain15(t, p), p)
	rs := orphan(t, p, config(t, root, 15))
	if len(rs) != 1 || rs[0].Kind != "process" {
		t.Fatalf("recorded %+v", rs)
	}
	waitFor(t, "the end of the orphan", func() bool { _, err := startTime(rs[0].PID); return err != nil })
	if err := Reclaim(t.Context(), rs); err != nil {
		t.Error(err)
	}
	unmount()
	waitFor(t, "letting go of the file system", func() bool { return !held() })
}

// Reclaim kills what was recorded, and nothing else.
func TestReclaimProcess(t *testing.T) {
	victim := func() (*exec.Cmd, Resource) {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		r, err := processResource(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return cmd, r
	}
	_, other := victim()
	later := other
	later.StartTime++
	otherBoot := other
	otherBoot.BootID = "another"
	if err := Reclaim(t.Context(), []Resource{later, otherBoot, {Kind: "process", PID: 1, BootID: other.BootID}}); err != nil {
		t.Error(err)
	}
	if _, err := startTime(other.PID); err != nil {
		t.Error("killed a process that is not what was recorded")
	}
	cmd, r := victim()
	if err := Reclaim(t.Context(), []Resource{r, r}); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("victim: %v", err)
	}
	if err := Reclaim(t.Context(), []Resource{{Kind: "mount"}}); err == nil {
		t.Error("an unknown kind is passed over in silence")
	}
}
