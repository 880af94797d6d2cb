package session

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/ext4/filemap"
	"github.com/snapview/snapview/growth"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// attached mounts a disk; record, if any, is attach.Config.Record.
func attached(t *testing.T, overlay *cow.Overlay, record func(attach.Resource) error) *attach.Attachment {
	t.Helper()
	dir, err := os.MkdirTemp("", "svj")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	at, err := attach.Attach(t.Context(), attach.Config{Dir: filepath.Join(dir, "disk"), Device: overlay, Method: attach.FUSE, Record: record})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { at.Detach(context.Background()) })
	return at
}

// disturb writes into a mount what gives files of every shape: short and long,
// deleted, and in so many pieces that they need an extent tree.
func disturb(t *testing.T, mount string) {
	t.Helper()
	dir := filepath.Join(mount, "data", "new")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%s", i, strings.Repeat("n", i%200))), bytes.Repeat([]byte{byte(i)}, i*100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "pieces"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range int64(500) {
		if _, err := f.WriteAt([]byte("x"), i*12288); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		files, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%d-*", 3*i)))
		if err != nil || len(files) != 1 || os.Remove(files[0]) != nil {
			t.Fatalf("removing %v: %v", files, err)
		}
	}
	if err := os.Link(filepath.Join(dir, "pieces"), filepath.Join(dir, "second name")); err != nil {
		t.Fatal(err)
	}
}

// TestFilesOfACheckpointAreThoseOfTheMount compares what is read from a sealed
// disk with what the kernel says of the mount at the same moment.
func TestFilesOfACheckpointAreThoseOfTheMount(t *testing.T) {
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	overlay := disk(t, filepath.Join(snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst"), "fp"))
	at := attached(t, overlay, nil)
	disturb(t, at.MountPoint())
	if err := at.Sync(); err != nil {
		t.Fatal(err)
	}
	want, err := mountedFiles(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if err := at.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer at.Thaw() //nolint:errcheck // Detach does as well
	have := map[string]growth.File{}
	trees := 0
	err = filemap.Walk(t.Context(), overlay, overlay.Size(), func(f filemap.File) bool {
		have[f.Path] = growth.File{Path: f.Path, Dir: f.Dir, Size: f.Size, Extents: growthExtents(f.Extents)}
		trees += len(f.Tree)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if trees == 0 {
		t.Error("no file has an extent tree: the test does not test it")
	}
	compared := 0
	for _, w := range want {
		h, ok := have[w.Path]
		if !ok && strings.HasSuffix(w.Path, "/second name") || strings.HasSuffix(w.Path, "/pieces") {
			continue // each reports the file by one of its names
		}
		if !ok || h.Dir != w.Dir || !w.Dir && (h.Size != w.Size || !slices.Equal(blocksOf(h), blocksOf(w))) {
			t.Errorf("%s: the disk says %+v, the kernel %+v", w.Path, h, w)
		}
		compared++
	}
	if compared < 300 || len(have) < compared {
		t.Errorf("%d files compared, of %d", compared, len(have))
	}
	pieces := have["data/new/pieces"]
	if pieces.Path == "" {
		pieces = have["data/new/second name"]
	}
	if n := len(blocksOf(pieces)); n != 500 {
		t.Errorf("the file in pieces has %d blocks", n)
	}
}

// blocksOf lists a file's blocks, however they are put into extents.
func blocksOf(f growth.File) (blocks []int64) {
	for _, e := range f.Extents {
		for at := e.Offset; at < e.Offset+e.Length; at += 4096 {
			blocks = append(blocks, at)
		}
	}
	slices.Sort(blocks)
	return blocks
}

// TestSealedFileSystemIsClean exports a checkpoint that was made under a mount
// in use: e2fsck takes it for clean, and the kernel mounts it for writing
// without a word.
func TestSealedFileSystemIsClean(t *testing.T) {
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	overlay, store, base := layered(t, filepath.Join(snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst"), "fp"))
	at := attached(t, overlay, nil)
	disturb(t, at.MountPoint())
	dir := t.TempDir()
	var sealed cow.LayerID
	export := func(name string, seal func(string) (cow.LayerID, error)) string {
		t.Helper()
		if err := at.Freeze(); err != nil {
			t.Fatal(err)
		}
		_, err := seal(name)
		// Nobody writes: what the overlay shows now is the checkpoint.
		path := filepath.Join(dir, name)
		file, ferr := os.Create(path)
		if ferr != nil {
			t.Fatal(ferr)
		}
		defer file.Close()
		if xerr := cow.ExportRaw(file, overlay); xerr != nil {
			t.Fatal(xerr)
		}
		if terr := at.Thaw(); err != nil || terr != nil {
			t.Fatalf("sealing: %v, thawing: %v", err, terr)
		}
		return path
	}
	// What it would be without: the oracles see the difference.
	unclean := export("unclean", func(name string) (cow.LayerID, error) { return overlay.Checkpoint(name) })
	clean := export("clean", func(name string) (cow.LayerID, error) {
		id, err := sealClean(overlay, name)
		sealed = id
		return id, err
	})
	for _, c := range []struct {
		image string
		clean bool
	}{{unclean, false}, {clean, true}} {
		if out, err := exec.Command(snapshottest.Tool(t, "e2fsck"), "-fn", c.image).CombinedOutput(); err != nil {
			t.Errorf("e2fsck -fn %s: %v\n%s", c.image, err, out)
		}
		out, _ := exec.Command(snapshottest.Tool(t, "dumpe2fs"), "-h", c.image).CombinedOutput()
		if state := strings.Contains(string(out), "state:         clean\n"); state != c.clean {
			t.Errorf("%s: dumpe2fs says\n%s", c.image, out)
		}
		if said := mountLog(t, c.image); strings.Contains(said, "unchecked") == c.clean || c.clean && said != "" {
			t.Errorf("mounting %s the kernel says %q", c.image, said)
		}
	}
	// So does a fork, while its parent is mounted.
	log := newKernelLog(t)
	top, err := store.NewTop(sealed, base, cow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { top.Close() })
	fork := attached(t, top, log.record)
	if said := log.complaints(fork.DeviceName()); said != "" {
		t.Errorf("mounting a fork the kernel says %q", said)
	}
	if err := fork.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	fsck(t, top)
	if err := os.WriteFile(filepath.Join(at.MountPoint(), "data", "goes on"), []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
	if err := at.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	fsck(t, overlay)
}

// mountLog mounts an image for writing and returns what the kernel complains.
func mountLog(t *testing.T, image string) string {
	t.Helper()
	log := newKernelLog(t)
	out, err := exec.Command(snapshottest.Tool(t, "losetup"), "--find", "--show", image).Output()
	if err != nil {
		t.Fatalf("losetup: %v", err)
	}
	device := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "--detach", device).Run() //nolint:errcheck // it is a test's
	if err := log.begin(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unix.Mount(device, dir, "ext4", 0, ""); err != nil {
		t.Fatalf("mounting %s: %v", image, err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	return log.complaints(filepath.Base(device))
}
