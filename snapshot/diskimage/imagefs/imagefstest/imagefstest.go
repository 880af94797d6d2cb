// Package imagefstest compares what a reader of a file system in an image sees
// with what a host sees, and mounts images by the kernel to be the judge.
package imagefstest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// Bounds on what Walk reads: nothing that a test makes is larger.
const (
	maxSize  = 256 << 20
	maxDepth = 20
)

// Tree fills a directory with what a file system may hold: empty, small,
// sparse, large and many files, links.
func Tree(t testing.TB, dir string) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	write := func(name string, n int) {
		b := make([]byte, n)
		random.Read(b)
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("empty", 0)
	write("small", 100)
	write("a/b/c/deep", 5000)
	write("large", 3<<20+17)
	for i := range 250 { // more names than one block has
		write(fmt.Sprintf("many/a name that is rather long, number %d", i), i)
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 { // more extents than an inode has
		if _, err := sparse.WriteAt([]byte("data"), int64(i)*300_000+int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(sparse.Truncate(5<<20), sparse.Close(),
		os.Chmod(filepath.Join(dir, "small"), 0o640), os.Chmod(filepath.Join(dir, "a/b"), 0o711),
		os.Symlink("short", filepath.Join(dir, "short link")),
		os.Symlink(strings.Repeat("long/", 30), filepath.Join(dir, "long link")),
		os.Symlink(strings.Repeat("longer/", 140), filepath.Join(dir, "longer link"))); err != nil {
		t.Fatal(err)
	}
}

// Walk describes all that is below the root of a file system, by path.
func Walk(f imagefs.FS) (map[string]string, error) {
	got := map[string]string{}
	seen := map[uint64]bool{}
	var dir func(in imagefs.Node, at string, depth int) error
	dir = func(in imagefs.Node, at string, depth int) error {
		if depth > maxDepth || seen[in.Attr().Number] {
			return errors.New("too deep, or in a circle")
		}
		seen[in.Attr().Number] = true
		return in.ReadDir(func(d imagefs.Dirent) error {
			in, err := f.Node(d.Number)
			if err != nil {
				return err
			}
			name, a := at+d.Name, in.Attr()
			switch {
			case a.Mode.IsDir():
				got[name] = describe(a.Mode, a, "")
				return dir(in, name+"/", depth+1)
			case a.Mode&fs.ModeSymlink != 0:
				target, err := in.Readlink()
				got[name] = "-> " + target
				return err
			case a.Mode.IsRegular() && a.Size <= maxSize:
				h := sha256.New()
				n, err := io.Copy(h, io.NewSectionReader(in.Content(), 0, a.Size))
				got[name] = describe(a.Mode, a, fmt.Sprintf("%d of %d bytes, %x", n, a.Size, h.Sum(nil)))
				return err
			}
			return nil
		})
	}
	root, err := f.Root()
	if err == nil {
		err = dir(root, "", 0)
	}
	return got, err
}

func describe(mode fs.FileMode, a imagefs.Attr, content string) string {
	if mode.IsDir() {
		return mode.String() + " directory"
	}
	return fmt.Sprintf("%s %s %s", mode, a.ModTime.UTC().Format("2006-01-02 15:04:05"), content)
}

// Host describes a directory of this host as Walk would.
func Host(t testing.TB, dir string) map[string]string {
	t.Helper()
	want := map[string]string{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	files := root.FS()
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		a := imagefs.Attr{ModTime: info.ModTime(), Size: info.Size()}
		mode := info.Mode().Type() | info.Mode().Perm()
		switch {
		case mode.IsDir():
			want[name] = describe(mode, a, "")
			return nil
		case mode&fs.ModeSymlink != 0:
			target, err := os.Readlink(filepath.Join(dir, name))
			want[name] = "-> " + target
			return err
		case !mode.IsRegular():
			return nil
		}
		file, err := files.Open(name)
		if err != nil {
			return err
		}
		h := sha256.New()
		n, err := io.Copy(h, file)
		want[name] = describe(mode, a, fmt.Sprintf("%d of %d bytes, %x", n, a.Size, h.Sum(nil)))
		return errors.Join(err, file.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// Compare fails the test for everything that is not as it should be.
func Compare(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name, text := range want {
		if name != "lost+found" && got[name] != text {
			t.Errorf("%s: %q, want %q", name, got[name], text)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && name != "lost+found" {
			t.Errorf("%s should not be there", name)
		}
	}
}

// Mounted runs what needs an image mounted by the kernel. When it returns the
// file system is unmounted everywhere: a mount namespace that another process
// made meanwhile has a mount of its own, until it ends.
func Mounted(t testing.TB, at, image, options string, run func()) {
	t.Helper()
	snapshottest.Run(t, "/", "mount", "-o", "loop,"+options, image, at)
	defer func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
			return
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			out, err := exec.Command("losetup", "-j", image).CombinedOutput()
			if err == nil && len(out) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("the image is still in use: %v %s", err, out)
				return
			}
		}
	}()
	run()
}

// Image opens an image, which is closed at the end of the test.
func Image(t testing.TB, name string) (r io.ReaderAt, size int64) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return file, info.Size()
}
