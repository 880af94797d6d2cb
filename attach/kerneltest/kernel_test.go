package kerneltest

import (
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

// needsVM skips a test where no virtual machine can be made.
func needsVM(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getenv("SNAPVIEW_VM") != "1" {
		t.Skip("not asked for: SNAPVIEW_VM=1 (make test-vm)")
	}
	snapshottest.Need(t, runtime.GOARCH == "amd64", "an amd64 machine")
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where Debian has some of them
	for _, tool := range append(tools, "qemu-system-x86_64", "apt-get", "ldd") {
		_, err := exec.LookPath(tool)
		snapshottest.Need(t, err == nil, tool)
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
	run(t, machine{kernel, fs, "512"})
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
	run(t, machine{kernel, fs, "1024"})
}

// guest gets a kernel and begins a file system with the guest's program.
func guest(t *testing.T) (fs *initramfs, kernel string) {
	t.Helper()
	script := filepath.Join(snapshottest.ModuleRoot(t), "scripts/vm/kernel.sh")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var complaints strings.Builder
	cmd := exec.CommandContext(ctx, script)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	snapshottest.Need(t, err == nil, "a kernel package to download: "+complaints.String())
	kernel = strings.TrimSpace(string(out))
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
