package attach

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What FIEMAP says must be what the device holds at that place.
func TestFileExtents_PointAtTheBytes(t *testing.T) {
	needsKernel(t)
	disk := newDisk(t, 128<<20)
	a := mounted(t, disk, nil)
	// Interleaved writes, synced, make files of many extents.
	files := make([]*os.File, 3)
	for i := range files {
		f, err := os.Create(filepath.Join(a.MountPoint(), fmt.Sprint("f", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	const blocks = 600 // with every second block written, more extents than fiemapBatch
	for k := range int64(blocks) {
		f := files[k%2]
		if _, err := f.WriteAt(bytes.Repeat([]byte{byte(k), byte(k >> 8)}, 2048), k*4096); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		name := fmt.Sprint("f", i)
		extents, err := a.FileExtents(name)
		if err != nil {
			t.Fatal(err)
		}
		covered := 0
		for _, e := range extents {
			for at := int64(0); at < e.Length; at += 4096 {
				got := make([]byte, 4096)
				if _, err := disk.ReadAt(got, e.Physical+at); err != nil {
					t.Fatal(err)
				}
				k := (e.Logical + at) / 4096
				if want := bytes.Repeat([]byte{byte(k), byte(k >> 8)}, 2048); !bytes.Equal(got, want) {
					t.Fatalf("%s: block %d is not at %d", name, k, e.Physical+at)
				}
				covered++
			}
		}
		if want := []int{blocks / 2, blocks / 2, 0}[i]; covered != want {
			t.Errorf("%s: extents cover %d blocks, want %d", name, covered, want)
		}
	}
}

func TestFileExtents_StayInTheMount(t *testing.T) {
	needsKernel(t)
	a := mounted(t, newDisk(t, 32<<20), nil)
	if err := os.Symlink("/etc/passwd", filepath.Join(a.MountPoint(), "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"link", "../x", "/etc/passwd", "absent"} {
		if e, err := a.FileExtents(path); err == nil {
			t.Errorf("%s: got %v, want an error", path, e)
		}
	}
	if _, err := a.FileExtents("."); err != nil {
		t.Errorf("the root directory: %v", err)
	}
}

func TestFiles_TellsEverything(t *testing.T) {
	needsKernel(t)
	a := mounted(t, newDisk(t, 32<<20), nil)
	root := a.MountPoint()
	for _, dir := range []string{"base", "base/1"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "base/1/259"), make([]byte, 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(root, "base/1/259"), filepath.Join(root, "again")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("base", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]File{}
	var order []string
	err := a.Files(context.Background(), func(f File) bool {
		seen[f.Path] = f
		order = append(order, f.Path)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{".", "again", "base", "base/1", "base/1/259", "link", "lost+found"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	f, g := seen["base/1/259"], seen["again"]
	if f.Size != 20_000 || f.Inode == 0 || f.Inode != g.Inode || f.Links != 2 {
		t.Errorf("a file with two names: %+v and %+v", f, g)
	}
	for _, path := range []string{"base/1/259", ".", "base"} {
		var n int64
		for _, e := range seen[path].Extents {
			n += e.Length
		}
		if n == 0 || n%4096 != 0 {
			t.Errorf("%s has extents of %d bytes: %+v", path, n, seen[path].Extents)
		}
	}
	if l := seen["link"]; l.Mode&os.ModeSymlink == 0 || len(l.Extents) != 0 {
		t.Errorf("the link: %+v", l)
	}

	n := 0
	if err := a.Files(context.Background(), func(File) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("stopping: %d calls, %v", n, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Files(ctx, func(File) bool { return true }); err != context.Canceled {
		t.Errorf("with an ended context: %v", err)
	}
}
