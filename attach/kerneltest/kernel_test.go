package kerneltest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// patience bounds the whole life of a virtual machine. It takes less than a
// minute on a quiet host, and under heavy load two.
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

// needsVM skips a test where no virtual machine can be made.
func needsVM(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getenv("SNAPVIEW_VM") != "1" {
		t.Skip("not asked for: SNAPVIEW_VM=1 (make test-vm)")
	}
	needs(t, runtime.GOARCH == "amd64", "an amd64 machine")
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where Debian has some of them
	for _, tool := range append(tools, "qemu-system-x86_64", "apt-get", "ldd") {
		_, err := exec.LookPath(tool)
		needs(t, err == nil, tool)
	}
}

// TestKernelNBD runs the checks of attaching in a virtual machine, each as a
// subtest.
func TestKernelNBD(t *testing.T) {
	programs := []string{"nbd-client", "mke2fs", "e2fsck", "fio"}
	needsVM(t, programs...)
	fs, kernel := guest(t)
	for _, program := range programs {
		if err := fs.program(program); err != nil {
			t.Fatal(err)
		}
	}
	// mke2fs looks for defaults and is content with none.
	fs.file("etc/mke2fs.conf", 0o644, []byte("[defaults]\n\tbase_features = sparse_super,filetype,large_file\n[fs_types]\n\text4 = {\n\t\tfeatures = extent,huge_file,flex_bg,64bit,dir_nlink,extra_isize\n\t\tinode_size = 256\n\t}\n"))
	report(t, boot(t, kernel, fs, "768"))
}

// TestSnapviewByNBD opens a backup in a virtual machine, with the host's own
// PostgreSQL.
func TestSnapviewByNBD(t *testing.T) {
	const pg = "/usr/lib/postgresql/15"
	needsVM(t, "zstd", pg+"/bin/postgres", pg+"/bin/psql")
	unpacked := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	fs, kernel := guest(t)
	snapview := filepath.Join(t.TempDir(), "snapview")
	build(t, snapview, "./cmd/snapview")
	err := errors.Join(
		fs.copy("usr/bin/snapview", snapview),
		fs.tree("backup", unpacked),
		fs.program("sh", "/bin/sh"), fs.program("mv", "/usr/bin/mv"), fs.program("cat", "/usr/bin/cat"),
		fs.program(pg+"/bin/postgres"), fs.program(pg+"/bin/psql"),
		fs.program(pg+"/lib/plpgsql.so"), fs.program(pg+"/lib/dict_snowball.so"),
		fs.tree("usr/share/postgresql/15", "/usr/share/postgresql/15"),
		fs.tree("usr/share/zoneinfo", "/usr/share/zoneinfo"),
	)
	if err != nil {
		t.Fatal(err)
	}
	fs.file("etc/passwd", 0o644, []byte("root:x:0:0::/root:/bin/sh\n"))
	fs.file("etc/group", 0o644, []byte("root:x:0:\n"))
	report(t, boot(t, kernel, fs, "1024"))
}

// guest gets a kernel and begins a file system with the guest's program.
func guest(t *testing.T) (fs *initramfs, kernel string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	kernel = filepath.Join(cache, "snapview", "vm-kernel")
	script := filepath.Join(snapshottest.ModuleRoot(t), "scripts/vm/kernel.sh")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, script, kernel).CombinedOutput(); err != nil {
		needs(t, false, "a kernel package to download: "+string(out))
	}
	fs = newInitramfs("proc", "sys", "dev", "tmp", "run", "etc")
	program := filepath.Join(t.TempDir(), "guest")
	build(t, program, "./scripts/vm/guest")
	if err := errors.Join(fs.copy("init", program), fs.copy("nbd.ko", filepath.Join(kernel, "nbd.ko"))); err != nil {
		t.Fatal(err)
	}
	return fs, filepath.Join(kernel, "vmlinuz")
}

// build makes a static program of this repository.
func build(t *testing.T, program, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, pkg)
	cmd.Dir = snapshottest.ModuleRoot(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
}

// boot runs the machine until it powers off and returns its console. Memory is
// in MiB.
func boot(t *testing.T, kernel string, fs *initramfs, memory string) string {
	t.Helper()
	initrd := filepath.Join(t.TempDir(), "initrd")
	f, err := os.Create(initrd)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fs.write(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		// microvm boots faster and hangs now and then.
		"-M", "pc", "-accel", "tcg,thread=multi", "-smp", "2", "-m", memory,
		// Without rdrand, and the kernel trusting it, getrandom waits long.
		"-cpu", "qemu64,+rdrand",
		"-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio", "-monitor", "none",
		"-kernel", kernel, "-initrd", initrd,
		// no_timer_check: a starved machine's timer is late, and the kernel
		// would panic ("IO-APIC + timer doesn't work").
		"-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=1 no_timer_check "+os.Getenv("SNAPVIEW_VM_APPEND"))
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	begin := time.Now()
	err = cmd.Run()
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
		} else if verdict == "HANG" {
			t.Log(strings.Join(message, "\n"))
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
		} else if verdict == "FAIL" || verdict == "HANG" {
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
