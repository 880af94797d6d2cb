package ext4fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// tree fills a directory with what a file system may hold: empty, small,
// sparse, large and many files, links.
func tree(t *testing.T) (dir string, want map[string]string) {
	t.Helper()
	dir = t.TempDir()
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
		os.Symlink("short", filepath.Join(dir, "short link")),
		os.Symlink(strings.Repeat("long/", 30), filepath.Join(dir, "long link"))); err != nil {
		t.Fatal(err)
	}
	return dir, content(t, os.DirFS(dir).(readLinkFS))
}

func open(t testing.TB, image string) (*FS, error) {
	t.Helper()
	file, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return Open(file, info.Size())
}

// walk returns the contents of all files, and the targets of links, by path.
func walk(f *FS) (map[string]string, error) {
	got := map[string]string{}
	seen := map[uint32]bool{}
	var dir func(in *Inode, at string, depth int) error
	dir = func(in *Inode, at string, depth int) error {
		if depth > 20 || seen[in.Number] {
			return errors.New("too deep, or in a circle")
		}
		seen[in.Number] = true
		return f.ReadDir(in, func(d Dirent) error {
			in, err := f.Inode(d.Inode)
			if err != nil {
				return err
			}
			name := at + d.Name
			switch {
			case in.Mode.IsDir():
				return dir(in, name+"/", depth+1)
			case in.Mode&os.ModeSymlink != 0:
				got[name], err = f.Readlink(in)
				got[name] = "-> " + got[name]
				return err
			case in.Mode.IsRegular() && in.Size < 64<<20:
				b, err := io.ReadAll(io.NewSectionReader(f.Open(in), 0, in.Size))
				got[name] = string(b)
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

func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	delete(got, "lost+found/")
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: %d bytes, want %d", name, len(got[name]), len(text))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

func TestRead_EveryKindOfExt(t *testing.T) {
	snapshottest.Tool(t, "mke2fs")
	dir, want := tree(t)
	for _, args := range []string{
		"-t ext4", "-t ext4 -b 1024", "-t ext4 -O ^metadata_csum,^64bit", "-t ext4 -O meta_bg,^resize_inode",
		"-t ext3", "-t ext2 -b 1024", "-t ext4 -O bigalloc,^resize_inode",
	} {
		t.Run(args, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			snapshottest.Run(t, "/", "mke2fs", append(strings.Fields(args), "-q", "-F", "-d", dir, image, "32M")...)
			f, err := open(t, image)
			if err != nil {
				t.Fatal(err)
			}
			got, err := walk(f)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, want)
		})
	}
}

// The image of a mounted file system: what was synced is in the journal only.
func TestReplay_WhatTheKernelWouldReplay(t *testing.T) {
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	snapshottest.Tool(t, "mke2fs")
	for _, features := range []string{"metadata_csum,64bit", "^metadata_csum,^64bit"} {
		t.Run(features, func(t *testing.T) {
			dir := t.TempDir()
			image, mount, taken := filepath.Join(dir, "image"), filepath.Join(dir, "mnt"), filepath.Join(dir, "taken")
			snapshottest.Run(t, "/", "mke2fs", "-q", "-F", "-t", "ext4", "-O", features, image, "64M")
			if err := os.Mkdir(mount, 0o700); err != nil {
				t.Fatal(err)
			}
			mounted(t, mount, image, "commit=300,nodelalloc", func() {
				// Made, removed and made again: blocks are revoked and used anew.
				// Syncing a file commits to the journal, and writes nothing to its place.
				snapshottest.Run(t, mount, "sh", "-ec", `
					mkdir -p a/b; for i in $(seq 300); do echo $i > a/b/$i; done; sync a/b/1
					rm -r a; touch x; sync x
					mkdir -p c/d e; for i in $(seq 400); do echo "again $i" > c/d/$i; done
					head -c 3000000 /dev/urandom > e/data; ln -s c/d link; sync e/data`)
				snapshottest.Run(t, "/", "cp", "--sparse=always", image, taken)
			})
			f, err := open(t, taken)
			if err != nil {
				t.Fatal(err)
			}
			got, err := walk(f)
			if err != nil {
				t.Fatal(err)
			}
			if f.Replayed() == 0 {
				t.Error("nothing was in the journal: the test tests nothing")
			}
			// Without the journal it would be another file system.
			f.journal = nil
			if old, err := walk(f); err == nil && len(old) == len(got) {
				t.Error("the journal makes no difference: the test tests nothing")
			}
			// The kernel is the judge: it replays the journal of a copy.
			copied := filepath.Join(dir, "copied")
			snapshottest.Run(t, "/", "cp", "--sparse=always", taken, copied)
			mounted(t, mount, copied, "noatime", func() {
				want := content(t, os.DirFS(mount).(readLinkFS))
				if len(want) < 402 {
					t.Errorf("the kernel sees only %d files", len(want))
				}
				compare(t, got, want)
			})
		})
	}
}

// mounted runs what needs an image mounted by the kernel.
func mounted(t *testing.T, at, image, options string, run func()) {
	t.Helper()
	snapshottest.Run(t, "/", "mount", "-o", "loop,"+options, image, at)
	defer func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	}()
	run()
}

func TestOpen_RefusesWhatItDoesNotRead(t *testing.T) {
	snapshottest.Tool(t, "mke2fs")
	image := filepath.Join(t.TempDir(), "image")
	snapshottest.Run(t, "/", "mke2fs", "-q", "-F", "-t", "ext4", "-O", "inline_data", image, "8M")
	if _, err := open(t, image); !errors.Is(err, snapshot.ErrUnsupported) || !strings.Contains(err.Error(), "inline_data") {
		t.Errorf("inline data: %v", err)
	}
	snapshottest.Run(t, "/", "mke2fs", "-q", "-F", "-t", "ext4", image, "8M")
	if err := os.Truncate(image, 4<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, image); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("cut short: %v", err)
	}
}

// Whatever bytes a file system has, reading it ends, with an error or not.
func FuzzRead(f *testing.F) {
	mke2fs, err := exec.LookPath("mke2fs")
	if err != nil {
		f.Skip("NEEDS: mke2fs")
	}
	dir, image := f.TempDir(), filepath.Join(f.TempDir(), "image")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600), os.Mkdir(filepath.Join(dir, "dir"), 0o700)); err != nil {
		f.Fatal(err)
	}
	if out, err := exec.Command(mke2fs, "-q", "-F", "-t", "ext4", "-b", "1024", "-N", "16", "-O", "^resize_inode", "-d", dir, image, "1M").CombinedOutput(); err != nil {
		f.Fatalf("%v %s", err, out)
	}
	good, err := os.ReadFile(image)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(1024+96), []byte{0xff}, uint32(0), []byte{})
	f.Add(uint32(2048+8), []byte{1, 2}, uint32(9000), []byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, at1 uint32, change1 []byte, at2 uint32, change2 []byte) {
		b := bytes.Clone(good)
		copy(b[int(at1)%len(b):], change1)
		copy(b[int(at2)%len(b):], change2)
		fs, err := Open(bytes.NewReader(b), int64(len(b)))
		if err == nil {
			walk(fs) //nolint:errcheck // that it ends is what is tested
		}
	})
}
