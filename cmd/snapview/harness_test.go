package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// asProgram makes the test binary behave as snapview itself, so that tests run
// the whole program as a process of its own: with signals, and with kill -9.
const asProgram = "SNAPVIEW_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	code := m.Run()
	for _, shared := range []*sharedDir{&plainFixture, &gunzippedFixture, &oneTarFixture, &chainFixture} {
		os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// patience is how long a test waits for what must happen in the end.
const patience = 90 * time.Second

// needsPostgres is for tests that mount and start the local binaries of a major.
func needsPostgres(t *testing.T, major string) {
	t.Helper()
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	_, err := os.Stat("/usr/lib/postgresql/" + major + "/bin/postgres")
	snapshottest.Need(t, err == nil, "PostgreSQL "+major)
}

// stateDir is a state directory of the test's own, which must be empty in the
// end: no session, and nothing mounted below it.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "svt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left := leftBehind(t, dir); left != "" {
			t.Errorf("left behind: %s", left)
			out, err := command(dir, "gc").CombinedOutput()
			t.Logf("gc: %s %v", out, err)
		}
		os.RemoveAll(dir)
	})
	return dir
}

// leftBehind says what a state directory still holds: folders of sessions
// and overlays, mounts, loop devices, processes.
func leftBehind(t *testing.T, dir string) string {
	t.Helper()
	var left []string
	for _, folder := range []string{"sessions", "stores", "servers"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			left = append(left, folder+"/"+e.Name())
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir+"/") {
			left = append(left, "mount "+line)
		}
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range loops {
		if backing, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(backing), dir+"/") {
			left = append(left, "loop device "+file)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range processes {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(dir+"/")) {
			left = append(left, fmt.Sprintf("process %s: %q", file, line))
		}
	}
	return strings.Join(left, "; ")
}

// command is the whole of snapview, as a process.
func command(state string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, append([]string{"--state-dir", state}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "SNAPVIEW_CACHE_DIR="+filepath.Join(state, "cache"))
	return cmd
}

// snapview runs a command to its end and returns what it printed and its code.
func snapview(t *testing.T, state string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(state, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*patience, func() { cmd.Process.Signal(syscall.SIGQUIT) })
	err := cmd.Wait()
	timer.Stop()
	code = cmd.ProcessState.ExitCode()
	if code < 0 {
		t.Fatalf("snapview %v: %v\n%s\n%s", args, err, out.String(), errs.String())
	}
	return out.String(), errs.String(), code
}

// must is snapview for commands that have to succeed; it returns their output.
func must(t *testing.T, state string, args ...string) string {
	t.Helper()
	out, errs, code := snapview(t, state, args...)
	if code != 0 {
		t.Fatalf("snapview %v: exit code %d\n%s\n%s", args, code, out, errs)
	}
	return out
}

// A running snapview open, whose events are read as they come.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer

	mu     sync.Mutex
	events []map[string]any
	more   chan struct{}
	ended  bool
	waited chan struct{}
}

// start starts a command that runs until it is told to end, with --json.
func start(t *testing.T, state string, args ...string) *running {
	t.Helper()
	r := &running{t: t, cmd: command(state, append([]string{"--json"}, args...)...), more: make(chan struct{}), waited: make(chan struct{})}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stderr = &r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go r.read(out)
	t.Cleanup(func() {
		if !r.exited() {
			r.cmd.Process.Signal(syscall.SIGTERM)
			r.exit()
		}
	})
	return r
}

func (r *running) exited() bool {
	select {
	case <-r.waited:
		return true
	default:
		return false
	}
}

func (r *running) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e map[string]any
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			r.t.Errorf("no JSON: %s", lines.Text())
			continue
		}
		r.mu.Lock()
		r.events = append(r.events, e)
		close(r.more)
		r.more = make(chan struct{})
		r.mu.Unlock()
	}
	r.cmd.Wait() //nolint:errcheck // the exit code tells
	r.mu.Lock()
	r.ended = true
	close(r.more)
	r.more = make(chan struct{})
	r.mu.Unlock()
	close(r.waited)
}

// until waits for an event that is what the test waits for.
func (r *running) until(what string, is func(map[string]any) bool) map[string]any {
	r.t.Helper()
	deadline := time.After(patience)
	for next := 0; ; {
		r.mu.Lock()
		events, more, ended := r.events[next:], r.more, r.ended
		r.mu.Unlock()
		for _, e := range events {
			if is(e) {
				return e
			}
			next++
		}
		if ended {
			r.t.Fatalf("it ended without %s: %v\n%s", what, r.events, r.stderr.String())
		}
		select {
		case <-more:
		case <-deadline:
			r.t.Fatalf("no %s after %v: %v\n%s", what, patience, r.events, r.stderr.String())
		}
	}
}

// untilReady waits for the event that carries the URLs, and returns it.
func (r *running) untilReady() map[string]any {
	r.t.Helper()
	return r.until("ready", func(e map[string]any) bool { return e["event"] == "ready" })
}

// exit waits for the end and returns the exit code.
func (r *running) exit() int {
	r.t.Helper()
	select {
	case <-r.waited:
	case <-time.After(patience):
		r.cmd.Process.Signal(syscall.SIGQUIT)
		<-r.waited
		r.t.Fatalf("it did not end:\n%s", r.stderr.String())
	}
	return r.cmd.ProcessState.ExitCode()
}

// kill kills the program without warning and returns when it runs no more. It
// may stay a zombie until gc: a thread may wait for the program's own disk.
func (r *running) kill() {
	r.t.Helper()
	r.signal(syscall.SIGKILL)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return
		}
		// Signal 9 is pending: it waits in the kernel and will run no more.
		for line := range strings.Lines(string(status)) {
			mask, ok := strings.CutPrefix(line, "SigPnd:")
			if n := len(strings.TrimSpace(mask)); ok && n >= 3 && strings.TrimSpace(mask)[n-3] == '1' {
				return
			}
		}
	}
	r.t.Fatal("it does not die")
}

func (r *running) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}
