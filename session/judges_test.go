package session

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/ext4"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/sources"
)

// disk is a backup laid out under an empty overlay.
func disk(t *testing.T, ref string) *cow.Overlay {
	t.Helper()
	overlay, _, _ := layered(t, ref)
	return overlay
}

// layered is disk with what more layers can be made of.
func layered(t *testing.T, ref string) (*cow.Overlay, *cow.Store, cow.Base) {
	t.Helper()
	snap, err := sources.Open(t.Context(), ref, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { snap.Close() })
	if err := snap.Err(); err != nil {
		t.Fatal(err)
	}
	image, err := ext4.New(snap.Tree, ext4.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { image.Close() })
	id := cow.BaseID(image.Identity())
	store, err := cow.CreateStore(filepath.Join(t.TempDir(), "store"), cow.StoreOptions{BaseID: id, VirtualSize: image.Size()})
	if err != nil {
		t.Fatal(err)
	}
	base := cow.Base{Reader: image, ID: id}
	overlay, err := store.NewTop(cow.LayerID{}, base, cow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { overlay.Close() })
	return overlay, store, base
}

// fsck runs e2fsck on what the disk holds now.
func fsck(t *testing.T, overlay *cow.Overlay) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := cow.ExportRaw(file, overlay); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(snapshottest.Tool(t, "e2fsck"), "-fn", file.Name()).CombinedOutput()
	if err != nil {
		t.Errorf("e2fsck -fn: %v\n%s", err, out)
	}
}

// kernelLog follows what the kernel says. Device names are handed from one user
// to the next, whom it may tell of errors too, so it follows from when a device
// is its user's until the mount is given back, before the device is.
type kernelLog struct {
	fd    int
	lines []string
	over  bool
}

func newKernelLog(t *testing.T) *kernelLog {
	t.Helper()
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	snapshottest.Need(t, err == nil, "the kernel's log (/dev/kmsg)")
	t.Cleanup(func() { unix.Close(fd) })
	l := &kernelLog{fd: fd}
	if err := l.begin(); err != nil {
		t.Fatal(err)
	}
	return l
}

// begin forgets what was said until now.
func (l *kernelLog) begin() error {
	l.lines, l.over = nil, false
	_, err := unix.Seek(l.fd, 0, unix.SEEK_END)
	return err
}

// record is attach.Config.Record.
func (l *kernelLog) record(r attach.Resource) error {
	switch {
	case r.Kind == attach.KindLoop && r.State == attach.Held:
		return l.begin()
	case r.Kind == attach.KindMount && r.State == attach.Released:
		l.read()
		l.over = true
	}
	return nil
}

// read takes in what was said since the last time.
func (l *kernelLog) read() {
	line := make([]byte, 8<<10)
	for !l.over {
		// One read is one line; EPIPE says that the oldest were dropped.
		n, err := unix.Read(l.fd, line)
		if errors.Is(err, unix.EPIPE) {
			continue
		}
		if err != nil {
			return
		}
		l.lines = append(l.lines, string(line[:n]))
	}
}

// complaints returns what ext4 has said about a device, but for the lines of
// mounting and unmounting.
func (l *kernelLog) complaints(device string) string {
	l.read()
	var found []string
	for _, line := range l.lines {
		about := strings.Contains(line, "("+device+")") || strings.Contains(line, "(device "+device+")")
		routine := strings.Contains(line, "unmounting filesystem") || strings.Contains(line, "mounted filesystem")
		if strings.Contains(line, "EXT4-fs") && about && !routine {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func TestMountIsTheBackup(t *testing.T) {
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	const verify = "/usr/lib/postgresql/15/bin/pg_verifybackup"
	_, err := os.Stat(verify)
	snapshottest.Need(t, err == nil, "PostgreSQL 15")

	plain := filepath.Join(snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst"), "fp")
	tars := filepath.Join(snapshottest.Unpack(t, "pg15/pg15-tar-gz.tar.zst"), "tar-gz")
	if out, err := exec.Command("sh", "-c", `gunzip "$1"/*.gz`, "sh", tars).CombinedOutput(); err != nil {
		t.Fatalf("gunzip: %v %s", err, out)
	}
	// What the tars would be after a restore.
	restored := t.TempDir()
	script := `mkdir "$2/data" "$2/ts"; tar -C "$2/data" -xf "$1/base.tar"; tar -C "$2/ts" -xf "$1/16384.tar"
		tar -C "$2/data/pg_wal" -xf "$1/pg_wal.tar"; cp -p "$1/backup_manifest" "$2/data"`
	if out, err := exec.Command("sh", "-euc", script, "sh", tars, restored).CombinedOutput(); err != nil {
		t.Fatalf("restoring: %v %s", err, out)
	}

	oneTar := filepath.Join(t.TempDir(), "base.tar")
	script = `tar -C "$1" -cf "$2" --exclude=./pg_tblspc/16384 .
		tar -C "$1_ts1" --transform 's,^\./,./pg_tblspc/16384/,' -rf "$2" .`
	if out, err := exec.Command("sh", "-euc", script, "sh", plain, oneTar).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v %s", err, out)
	}
	chain := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	tablespace17, err := filepath.Glob(filepath.Join(chain, "fp-full-ts*"))
	if err != nil || len(tablespace17) != 1 {
		t.Fatalf("the tablespace of fp-full is among %v, %v", tablespace17, err)
	}
	full := filepath.Join(chain, "fp-full")

	for _, backup := range []struct {
		name, ref, data, tablespace string
		verify                      bool // by pg_verifybackup of PostgreSQL 15
	}{
		{"data directory", plain, plain, plain + "_ts1", true},
		{"tar folder", tars, restored + "/data", restored + "/ts", true},
		{"one tar", oneTar, plain, plain + "_ts1", true},
		{"data directory of PostgreSQL 17", full, full, tablespace17[0], false},
	} {
		t.Run(backup.name, func(t *testing.T) {
			snapshottest.Untouched(t, filepath.Dir(backup.ref))
			log := newKernelLog(t)
			overlay := disk(t, backup.ref)
			fsck(t, overlay)

			at := attached(t, overlay, log.record)

			// The links to tablespaces are the image's own.
			data := filepath.Join(at.MountPoint(), "data")
			same(t, backup.data, data, "--exclude=pg_tblspc")
			spaces, err := os.ReadDir(filepath.Join(at.MountPoint(), "tablespaces"))
			if err != nil || len(spaces) != 1 {
				t.Fatalf("tablespaces %v, %v", spaces, err)
			}
			oid := spaces[0].Name()
			same(t, backup.tablespace, filepath.Join(at.MountPoint(), "tablespaces", oid))
			if target, err := os.Readlink(filepath.Join(data, "pg_tblspc", oid)); err != nil || target != "../../tablespaces/"+oid {
				t.Errorf("the tablespace's link is %q, %v", target, err)
			}
			if backup.verify {
				if out, err := exec.Command(verify, data).CombinedOutput(); err != nil {
					t.Errorf("pg_verifybackup: %v\n%s", err, out)
				}
			}
			if err := at.Detach(t.Context()); err != nil {
				t.Fatal(err)
			}
			if found := log.complaints(at.DeviceName()); found != "" {
				t.Errorf("the kernel complained:\n%s", found)
			}
			fsck(t, overlay)
		})
	}
}

// same fails the test unless two directories hold the same files.
func same(t *testing.T, want, have string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("diff", append(args, "-r", "--no-dereference", want, have)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("diff -r: %v\n%.2000s", err, out.String())
	}
}
