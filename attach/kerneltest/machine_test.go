package kerneltest

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// bootPatience is how long a machine may take to its first word: 3 s on a
	// quiet host. Nothing of this repository has run by then, so one that does
	// not get there is booted again, bootAttempts times in all.
	bootPatience = 45 * time.Second
	bootAttempts = 3
	// patience bounds the rest of its life: half a minute on a quiet host. The
	// guest itself ends sooner where one check hangs, and tells who waits for
	// what.
	patience = 4 * time.Minute
)

// A machine is what to boot. Memory is in MiB.
type machine struct {
	kernel string
	fs     *initramfs
	memory string
}

// life is what was seen of a machine.
type life struct {
	report  string // its second serial line: what the guest says
	console string // the first: what its kernel says
	err     error  // of qemu, or why it was ended
	began   bool   // it has said something
}

// run boots the machine and turns what its guest says into subtests.
func run(t *testing.T, m machine) {
	t.Helper()
	initrd := filepath.Join(t.TempDir(), "initrd")
	f, err := os.Create(initrd)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(m.fs.write(w), w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	for attempt := 1; ; attempt++ {
		begin := time.Now()
		l := m.boot(initrd, filepath.Join(t.TempDir(), "console"))
		t.Logf("the virtual machine ran %.1f s", time.Since(begin).Seconds())
		if l.began {
			l.judge(t)
			return
		}
		if attempt == bootAttempts {
			t.Fatalf("no virtual machine of %d came up: %v\nconsole of the last:\n%s", attempt, l.err, l.console)
		}
		t.Logf("it did not come up (%v); booting again; console:\n%s", l.err, l.console)
	}
}

// boot runs the machine until it powers off, or is out of time. It never
// outlives this process.
func (m machine) boot(initrd, console string) (l life) {
	// The kernel ties Pdeathsig to the thread that started qemu.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("qemu-system-x86_64",
		// microvm boots faster and hangs now and then.
		"-M", "pc", "-accel", "tcg,thread=multi", "-smp", "2", "-m", m.memory,
		// Without rdrand, and the kernel trusting it, getrandom waits long.
		"-cpu", "qemu64,+rdrand",
		"-display", "none", "-nodefaults", "-no-reboot", "-monitor", "none",
		"-serial", "file:"+console, "-serial", "stdio",
		"-kernel", m.kernel, "-initrd", initrd,
		// no_timer_check: a starved machine's timer is late, and the kernel
		// would panic ("IO-APIC + timer doesn't work"). nosoftlockup: that it
		// got no processor for a while is no fault of its kernel. mitigations:
		// what is emulated needs none.
		"-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=1 no_timer_check nosoftlockup mitigations=off "+
			os.Getenv("SNAPVIEW_VM_APPEND"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return life{err: err}
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		return life{err: err}
	}
	var once sync.Once
	late := func(why string) func() {
		return func() {
			once.Do(func() { l.err = errors.New(why) })
			_ = cmd.Process.Kill()
		}
	}
	timer := time.AfterFunc(bootPatience, late("it did not say a word in "+bootPatience.String()))
	var report strings.Builder
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		report.WriteString(line)
		if !l.began && strings.Contains(line, "GUEST ") {
			l.began = timer.Stop()
			timer = time.AfterFunc(patience, late("it did not end in "+patience.String()))
		}
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	timer.Stop()
	once.Do(func() {
		if err != nil {
			l.err = errors.New("qemu: " + err.Error() + " " + complaints.String())
		}
	})
	if !l.began && l.err == nil {
		l.err = errors.New("it ended without a word")
	}
	l.report = report.String()
	if f, err := os.Open(console); err == nil {
		b, _ := io.ReadAll(io.LimitReader(f, 4<<20))
		l.console = string(b)
		f.Close()
	}
	return l
}

// judge turns the guest's lines into subtests, and fails the test for what its
// kernel must never say.
func (l life) judge(t *testing.T) {
	t.Helper()
	ended, passed := false, 0
	for _, said := range strings.Split(l.report, "GUEST ")[1:] {
		verdict, rest, _ := strings.Cut(strings.TrimSpace(said), " ")
		name, _, _ := strings.Cut(rest, ":")
		name, _, _ = strings.Cut(name, " (")
		switch verdict {
		case "PASS":
			passed++
			t.Run(name, func(t *testing.T) { t.Log(rest) })
		case "FAIL":
			t.Run(name, func(t *testing.T) { t.Error(rest) })
		case "HANG":
			t.Log(rest)
		case "END":
			ended = true
		}
	}
	for line := range strings.Lines(l.console) {
		for _, bad := range []string{"BUG:", "WARNING:", "Oops", "hung task", "blocked for more than"} {
			if strings.Contains(line, bad) {
				t.Errorf("the guest's kernel says: %s", line)
			}
		}
	}
	if !ended || passed == 0 || l.err != nil {
		t.Errorf("the guest did not come to its end: %v; it said:\n%s", l.err, l.report)
	}
	if t.Failed() {
		t.Logf("console:\n%s", l.console)
	}
}
