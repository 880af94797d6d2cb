package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/objects"
)

func TestWrongCommandLinesAreToldApart(t *testing.T) {
	state := stateDir(t)
	for _, args := range [][]string{
		{"open"}, {"inspect", "a", "b"}, {"nonsense"}, {"open", "x", "--no-such-flag"}, {"open", "x", "--max-overlay", "much"},
		{"query", "x", "select 1", "--format", "pdf"}, {"growth", "--by", "colour"}, {"open", "x", "--tablespace", "1"},
	} {
		_, errs, code := snapview(t, state, args...)
		if code != exitUsage && args[0] != "growth" && args[0] != "nonsense" {
			t.Errorf("%v: exit code %d, want %d: %s", args, code, exitUsage, errs)
		}
		if code == 0 || errs == "" {
			t.Errorf("%v: exit code %d, %q", args, code, errs)
		}
	}
}

func TestWhatIsNoBackupIsRefused(t *testing.T) {
	state, dir := stateDir(t), t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("no backup"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{dir, file, filepath.Join(dir, "absent"), "/dev/null"} {
		_, errs, code := snapview(t, state, "inspect", ref)
		if code != exitBadRef || !strings.Contains(errs, ref) {
			t.Errorf("%s: exit code %d, want %d and its name in: %s", ref, code, exitBadRef, errs)
		}
	}
}

// copyOf is a copy of the plain backup that a test may damage.
func copyOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := shell(`cp -a "$1/../fp" "$1/../fp_ts1" "$2"`, plainBackup(t), dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "fp")
}

// copyWithoutManifest is a copy whose damage no manifest tells.
func copyWithoutManifest(t *testing.T) string {
	t.Helper()
	ref := copyOf(t)
	if err := os.Remove(filepath.Join(ref, "backup_manifest")); err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestBackupWithoutLabelIsRefusedAsUnsafe(t *testing.T) {
	needsPostgres(t, "15")
	ref := copyWithoutManifest(t)
	if err := os.Remove(filepath.Join(ref, "backup_label")); err != nil {
		t.Fatal(err)
	}
	state := stateDir(t)
	for _, args := range [][]string{{"inspect", ref}, {"open", ref, "--runner", "local"}} {
		_, errs, code := snapview(t, state, args...)
		if code != exitUnsafe || !strings.Contains(errs, "backup_label") {
			t.Errorf("%v: exit code %d, want %d, and backup_label in: %s", args, code, exitUnsafe, errs)
		}
	}
}

func TestBackupWithoutItsWALIsRefused(t *testing.T) {
	ref := copyOf(t)
	segments, err := filepath.Glob(filepath.Join(ref, "pg_wal/0*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	for _, s := range segments {
		if err := os.Remove(s); err != nil {
			t.Fatal(err)
		}
	}
	_, errs, code := snapview(t, stateDir(t), "inspect", ref)
	if code == 0 || !strings.Contains(errs, filepath.Base(segments[0])) {
		t.Errorf("exit code %d; the missing segment %s must be named in: %s", code, filepath.Base(segments[0]), errs)
	}
}

func TestDamagedServerFilesGivePostgresOwnWords(t *testing.T) {
	needsPostgres(t, "15")
	ref := copyWithoutManifest(t)
	// The transaction status: PostgreSQL cannot start without it.
	if err := os.RemoveAll(filepath.Join(ref, "pg_xact")); err != nil {
		t.Fatal(err)
	}
	state := stateDir(t)
	_, errs, code := snapview(t, state, "open", ref, "--runner", "local")
	if code != exitPostgres || !strings.Contains(errs, "pg_xact") {
		t.Errorf("exit code %d, want %d, and pg_xact in: %s", code, exitPostgres, errs)
	}
	if left := leftBehind(t, state); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestMissingRunnersAreTheHostsFault(t *testing.T) {
	needsPostgres(t, "15")
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
	state := stateDir(t)
	_, errs, code := snapview(t, state, "open", plainBackup(t), "--runner", "docker")
	if code != exitHost || !strings.Contains(errs, "docker") && !strings.Contains(errs, "Docker") {
		t.Errorf("exit code %d, want %d: %s", code, exitHost, errs)
	}
	if left := leftBehind(t, state); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestPortsThatAreTakenFailTheStartAndLeaveNothing(t *testing.T) {
	needsPostgres(t, "15")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"--listen", "--psql-listen", "--nbd-listen"} {
		state := stateDir(t)
		_, errs, code := snapview(t, state, "open", plainBackup(t), "--runner", "local", flag, taken.Addr().String())
		if code == 0 || !strings.Contains(errs, taken.Addr().String()) {
			t.Errorf("%s: exit code %d, the address must be in: %s", flag, code, errs)
		}
		if left := leftBehind(t, state); left != "" {
			t.Errorf("%s: left behind: %s", flag, left)
		}
	}
}

func TestOtherMachinesAreNotListenedTo(t *testing.T) {
	state := stateDir(t)
	_, errs, code := snapview(t, state, "nbd", plainBackup(t), "--nbd-listen", "0.0.0.0:0")
	if code == 0 || !strings.Contains(errs, "loopback") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestExitCode_OfAStoreThatIsDown(t *testing.T) {
	err := fmt.Errorf("s3://bucket/base.tar: %w", objects.Passing(errors.New("connection refused")))
	if code := exitCode(t.Context(), err); code != exitStore {
		t.Errorf("exit code %d, want %d", code, exitStore)
	}
}
