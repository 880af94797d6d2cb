package kerneltest

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience bounds the whole life of the virtual machine. It takes some twenty
// seconds on a quiet machine.
const patience = 8 * time.Minute

// needs skips a test that the host cannot run; in CI that is a failure.
func needs(t *testing.T, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("SNAPVIEW_NO_SKIP") == "1" {
		t.Fatalf("NEEDS: %s", what)
	}
	t.Skipf("NEEDS: %s", what)
}

// TestKernelNBD boots the guest and makes a subtest of each of its checks.
func TestKernelNBD(t *testing.T) {
	if os.Getenv("SNAPVIEW_VM") != "1" {
		t.Skip("not asked for: make test-vm boots a virtual machine for it")
	}
	needs(t, runtime.GOARCH == "amd64", "an amd64 machine")
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where Debian has some of them
	for _, tool := range []string{"qemu-system-x86_64", "apt-get", "ldd", "nbd-client", "mke2fs"} {
		_, err := exec.LookPath(tool)
		needs(t, err == nil, tool)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	vmlinuz, initrd := prepare(ctx, t)
	console := boot(ctx, t, vmlinuz, initrd)
	report(t, console)
}

// prepare gets a kernel and builds the guest.
func prepare(ctx context.Context, t *testing.T) (vmlinuz, initrd string) {
	t.Helper()
	root := moduleRoot(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	kernel := filepath.Join(cache, "snapview", "vm-kernel")
	if out, err := exec.CommandContext(ctx, filepath.Join(root, "scripts/vm/kernel.sh"), kernel).CombinedOutput(); err != nil {
		needs(t, false, "a kernel package to download: "+string(out))
	}
	dir := t.TempDir()
	guest := filepath.Join(dir, "guest")
	build := exec.CommandContext(ctx, "go", "build", "-o", guest, "./scripts/vm/guest")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./scripts/vm/guest: %v\n%s", err, out)
	}

	fs := newInitramfs("proc", "sys", "dev", "tmp", "run", "etc")
	for path, from := range map[string]string{"init": guest, "nbd.ko": filepath.Join(kernel, "nbd.ko")} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		fs.file(path, 0o755, data)
	}
	for _, program := range []string{"nbd-client", "mke2fs"} {
		if err := fs.program(program); err != nil {
			t.Fatal(err)
		}
	}
	// mke2fs looks for defaults and is content with none.
	fs.file("etc/mke2fs.conf", 0o644, []byte("[defaults]\n\tbase_features = sparse_super,filetype,large_file\n[fs_types]\n\text4 = {\n\t\tfeatures = extent,huge_file,flex_bg,64bit,dir_nlink,extra_isize\n\t\tinode_size = 256\n\t}\n"))
	var b bytes.Buffer
	if err := fs.write(&b); err != nil {
		t.Fatal(err)
	}
	initrd = filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(kernel, "vmlinuz"), initrd
}

// boot runs the machine until it powers off and returns its console.
func boot(ctx context.Context, t *testing.T, vmlinuz, initrd string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		// microvm boots faster and hangs now and then.
		"-M", "pc", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "512",
		// Without rdrand, and the kernel trusting it, getrandom waits long.
		"-cpu", "qemu64,+rdrand",
		"-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio", "-monitor", "none",
		"-kernel", vmlinuz, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=1")
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	begin := time.Now()
	err := cmd.Run()
	t.Logf("the virtual machine ran %.1f s", time.Since(begin).Seconds())
	if err != nil {
		t.Fatalf("qemu: %v\nconsole:\n%s", err, console.String())
	}
	return console.String()
}

// report turns the guest's lines into subtests.
func report(t *testing.T, console string) {
	t.Helper()
	var name, verdict string
	var message []string
	ended, passed := false, 0
	flush := func() {
		if verdict == "FAIL" {
			t.Run(name, func(t *testing.T) { t.Error(strings.Join(message, "\n")) })
		} else if verdict == "PASS" {
			passed++
			t.Run(name, func(t *testing.T) { t.Log(message) })
		}
		verdict, message = "", nil
	}
	sc := bufio.NewScanner(strings.NewReader(console))
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		// The firmware leaves control characters before the first line.
		if i := strings.Index(line, "GUEST "); i >= 0 {
			flush()
			line = line[i+len("GUEST "):]
			if line == "END" {
				ended = true
				continue
			}
			var rest string
			verdict, rest, _ = strings.Cut(line, " ")
			name, _, _ = strings.Cut(rest, ":")
			name, _, _ = strings.Cut(name, " (")
			message = []string{rest}
		} else if verdict == "FAIL" {
			message = append(message, line)
		}
		// What the kernel must never say, whatever the checks do.
		for _, bad := range []string{"BUG:", "WARNING:", "Oops", "hung task", "blocked for more than"} {
			if strings.Contains(line, bad) {
				t.Errorf("the guest's kernel says: %s", line)
			}
		}
	}
	flush()
	if !ended || passed == 0 {
		t.Errorf("the guest did not come to its end; console:\n%s", console)
	}
}

// moduleRoot finds the directory of go.mod above this package.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the tests")
		}
	}
}
