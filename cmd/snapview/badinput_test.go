package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// What is wrong with a backup is told by the exit code, and which object it is
// by the message. (Which class of error each damage is of is tested where
// backups are opened, snapshot/sources.)
func TestBadBackupsHaveTheirExitCodes(t *testing.T) {
	klosets := func(name string) string { return snapshottest.Fixture(t, "kloset/"+name) }
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("not the passphrase\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cut := func(t *testing.T, file string) string {
		b, err := os.ReadFile(file)
		if err == nil {
			file = filepath.Join(t.TempDir(), filepath.Base(file))
			err = os.WriteFile(file, b[:len(b)/2], 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	chain := func(t *testing.T) string { return snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst") }
	for name, c := range map[string]struct {
		args func(t *testing.T) []string
		code int
		says string
	}{
		"a tar cut short": {func(t *testing.T) []string { return []string{cut(t, filepath.Join(tarFolder(t), "base.tar"))} }, exitBadRef, "base.tar"},
		"a compressed tar cut short": {func(t *testing.T) []string {
			return []string{cut(t, filepath.Join(gzippedFolder(t), "base.tar.gz"))}
		}, exitBadRef, "base.tar.gz"},
		"a ptar cut short": {func(t *testing.T) []string { return []string{cut(t, klosets("kloset-plain.ptar"))} }, exitBadRef, "kloset-plain.ptar"},
		"the wrong passphrase": {func(t *testing.T) []string {
			dir := t.TempDir()
			snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "-xf", klosets("kloset-encrypted.tar"))
			found, err := filepath.Glob(dir + "/*/CONFIG")
			if err != nil || len(found) != 1 {
				t.Fatalf("%v, %v", found, err)
			}
			return []string{filepath.Dir(found[0]), "--passphrase-file", wrong}
		}, exitPassphrase, "passphrase"},
		"a parent that is missing": {func(t *testing.T) []string {
			dir := chain(t)
			if err := os.RemoveAll(filepath.Join(dir, "fp-incr1")); err != nil {
				t.Fatal(err)
			}
			return []string{filepath.Join(dir, "fp-incr2")}
		}, exitBadRef, "predecessor"},
		"a parent of another timeline": {func(t *testing.T) []string {
			dir := chain(t)
			label := filepath.Join(dir, "fp-full/backup_label")
			b, err := os.ReadFile(label)
			if err == nil {
				err = os.WriteFile(label, []byte(strings.Replace(string(b), "START TIMELINE: 1", "START TIMELINE: 2", 1)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			return []string{filepath.Join(dir, "fp-incr2")}
		}, exitBadRef, "timeline 2"},
		"a link out of the backup": {func(t *testing.T) []string {
			ref := copyOf(t)
			if err := os.Symlink("/etc/shadow", filepath.Join(ref, "base/5/99999")); err != nil {
				t.Fatal(err)
			}
			return []string{ref}
		}, exitUnsafe, "base/5/99999"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs, code := snapview(t, stateDir(t), append([]string{"inspect"}, c.args(t)...)...)
			if code != c.code || !strings.Contains(errs, c.says) || strings.Contains(errs, "panic") {
				t.Errorf("exit code %d, want %d and %q in: %s", code, c.code, c.says, errs)
			}
		})
	}
}
