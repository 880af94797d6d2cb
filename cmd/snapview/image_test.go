package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// The disk of a host whose PostgreSQL runs: nobody stopped it, nobody froze the
// file system, there is no backup_label. It opens as after a power failure.
func TestQueryTheDiskOfARunningHost(t *testing.T) {
	needsPostgres(t, "15")
	for _, tool := range []string{"mke2fs", "qemu-img", "mount"} {
		snapshottest.Tool(t, tool)
	}
	state, dir := stateDir(t), t.TempDir()
	disk, mount, taken := filepath.Join(dir, "disk"), filepath.Join(dir, "mnt"), filepath.Join(dir, "taken.qcow2")
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	snapshottest.Run(t, "/", "mke2fs", "-q", "-F", "-t", "ext4", disk, "256M")
	snapshottest.Run(t, "/", "mount", "-o", "loop,commit=300", disk, mount)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mount).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	// The server's user has to reach its folder.
	for _, d := range []string{dir, filepath.Dir(dir), mount} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	was := os.Getenv("TMPDIR")
	t.Setenv("TMPDIR", mount)
	server := snapshottest.StartServer(t)
	t.Setenv("TMPDIR", was)

	server.Run("psql", "-Xqc", "create table paid as select n, n * 3 as amount from generate_series(1, 5000) n")
	server.Run("psql", "-Xqc", "delete from paid where n > 4000")
	snapshottest.Run(t, "/", "sync", "-f", mount)
	snapshottest.Run(t, "/", "qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, taken)
	server.Run("psql", "-Xqc", "delete from paid")

	out := must(t, state, "inspect", taken)
	if !strings.Contains(out, "opened as after a power failure") {
		t.Errorf("inspect says:\n%s", out)
	}
	out = must(t, state, "query", taken, "--runner", "local", "--db", "postgres", "--format", "csv", "select count(*), sum(amount) from paid")
	if got := lastLine(out); got != "4000,24006000" {
		t.Errorf("the image answers %q", got)
	}
}
