package snapshottest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A program that shows its backups as a file system.
type mounter struct {
	env     []string
	backup  [][]string // commands run in the folder of the backup
	mount   []string   // runs until it is unmounted; the place is appended
	pgdata  string     // below the place
	isReady string     // below the place
}

// Mounters are the programs whose packages of Debian the tests install.
var Mounters = []string{"restic", "borg"}

// Mounted backs up a fixture that Unpack has unpacked, folders fp and fp_ts1, by
// one of the Mounters, mounts that backup for the time of the test, and returns
// where fp is in it. The mount must not be in use when the test ends.
func Mounted(t testing.TB, program, dir string) string {
	t.Helper()
	m, ok := mounters[program]
	if !ok {
		t.Fatalf("no mounter %q", program)
	}
	return m.start(t, dir)
}

// Repositories and caches lie in a folder of the test's, {}.
var mounters = map[string]mounter{
	"restic": {
		env:     []string{"RESTIC_PASSWORD=x", "RESTIC_REPOSITORY={}/repo", "RESTIC_CACHE_DIR={}/cache"},
		backup:  [][]string{{"restic", "init", "-q"}, {"restic", "backup", "-q", "fp", "fp_ts1"}},
		mount:   []string{"restic", "mount", "-q"},
		isReady: "snapshots/latest", pgdata: "snapshots/latest/fp",
	},
	"borg": {
		env:     []string{"BORG_BASE_DIR={}", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes"},
		backup:  [][]string{{"borg", "init", "-e", "none", "{}/repo"}, {"borg", "create", "{}/repo::monday", "fp", "fp_ts1"}},
		mount:   []string{"borg", "mount", "--foreground", "{}/repo::monday"},
		isReady: "fp", pgdata: "fp",
	},
}

// start backs dir up, mounts the backup, and returns its data directory.
func (m mounter) start(t testing.TB, dir string) string {
	t.Helper()
	Need(t, os.Geteuid() == 0, "root")
	Tool(t, m.mount[0])
	work := t.TempDir()
	place := filepath.Join(work, "mnt")
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	command := func(args []string) *exec.Cmd {
		var filled []string
		for _, a := range append(slices.Clone(args), m.env...) {
			filled = append(filled, strings.ReplaceAll(a, "{}", work))
		}
		cmd := exec.Command(filled[0], filled[1:len(args)]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), filled[len(args):]...)
		return cmd
	}
	for _, args := range m.backup {
		if out, err := command(args).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	var said bytes.Buffer
	cmd := command(append(slices.Clone(m.mount), place))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Nothing of ours may hold it.
		if err := syscall.Unmount(place, 0); err != nil {
			t.Errorf("unmounting: %v, %v", err, syscall.Unmount(place, syscall.MNT_DETACH))
		}
		stop := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		defer stop.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", m.mount, err, said.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(place, m.isReady)); err == nil {
			return filepath.Join(place, m.pgdata)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v shows nothing", m.mount)
		}
	}
}
