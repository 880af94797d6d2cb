package xfsfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs/imagefstest"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// needs skips where the kernel does not mount XFS.
func needs(t testing.TB) {
	t.Helper()
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	snapshottest.Tool(t, "mkfs.xfs")
	known, _ := os.ReadFile("/proc/filesystems")
	snapshottest.Need(t, strings.Contains(string(known), "xfs"), "XFS in the kernel")
}

func open(t testing.TB, image string) (*FS, error) {
	t.Helper()
	return Open(imagefstest.Image(t, image))
}

// made makes an image, and a folder to mount it at.
func made(t testing.TB, size string, args ...string) (image, mount string) {
	t.Helper()
	mkfs := snapshottest.Tool(t, "mkfs.xfs")
	dir := t.TempDir()
	image, mount = filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	snapshottest.Run(t, "/", "truncate", "-s", size, image)
	snapshottest.Run(t, "/", mkfs, append(append([]string{"-q"}, args...), image)...)
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	return image, mount
}

// walked opens an image and describes what is in it.
func walked(t testing.TB, image string) (*FS, map[string]string) {
	t.Helper()
	f, err := open(t, image)
	if err != nil {
		t.Fatal(err)
	}
	got, err := imagefstest.Walk(f)
	if err != nil {
		t.Fatal(err)
	}
	return f, got
}

func TestRead_EveryKindOfXFS(t *testing.T) {
	needs(t)
	t.Parallel()
	seen := map[string]bool{}
	for _, args := range []string{
		"-m crc=1",
		"-b size=1024 -m bigtime=1,rmapbt=1,reflink=1,inobtcount=1 -i nrext64=1 -i sparse=1",
		"-m reflink=0,rmapbt=0,finobt=0,bigtime=0 -i size=2048 -s size=4096 -n size=8192",
		"-b size=1024 -n size=65536 -l su=32768",
	} {
		t.Run(args, func(t *testing.T) {
			image, mount := made(t, "330M", strings.Fields(args)...)
			var want map[string]string
			imagefstest.Mounted(t, mount, image, "noatime", func() {
				imagefstest.Tree(t, mount)
				fill(t, mount)
				want = imagefstest.Host(t, mount)
			})
			f, got := walked(t, image)
			imagefstest.Compare(t, got, want)
			if n := f.Replayed().Pieces; n != 0 {
				t.Errorf("%d sectors were replayed from an empty log", n)
			}
			forms(t, f, seen)
		})
	}
	for _, form := range []string{
		"directory 1", "directory 2, block", "directory 2, data", "directory 3, data",
		"file 2", "file 3", "link 1", "link 2",
	} {
		if !seen[form] {
			t.Errorf("there was no %s: the test tests less than it should", form)
		}
	}
}

// fill adds directories of every form, and files in many pieces.
func fill(t testing.TB, dir string) {
	t.Helper()
	for n := range 3000 {
		// Two that grow by turns lie in many pieces.
		for _, d := range []string{"node", "tree"} {
			name := fmt.Sprintf("%s/a rather long name in a directory whose index has nodes above its leaves, number %08d", d, n)
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, d), 0o750), os.Symlink("x", filepath.Join(dir, name))); err != nil {
				t.Fatal(err)
			}
		}
	}
	snapshottest.Run(t, dir, "sh", "-ec", `
		mkdir few block leaf
		for i in 1 2 3; do echo $i > few/$i; done
		(cd block; seq -f 'n%g' 20 | xargs touch)
		(cd leaf; seq -f 'a_name_in_a_directory_that_has_a_leaf_number_%g' 300 | xargs touch)
		(cd node; ls -d -1 "$PWD"/* | sed -n '1~3p' | tr '\n' '\0' | xargs -0 rm)
		head -c 4000000 /dev/urandom > holes
		# Space that a file had before is no longer zeros.
		for i in $(seq 8); do head -c 4000000 /dev/urandom > old$i; done; sync; rm old*; sync
		xfs_io -f -c 'falloc 0 30000000' unwritten
		xfs_io -c 'falloc 4000000 1000000' holes
		for i in $(seq 0 2 900); do echo "fpunch $((i*4096)) 4096"; done | xfs_io holes >/dev/null`)
}

// forms notes in which forms what is in a file system lies.
func forms(t testing.TB, f *FS, seen map[string]bool) {
	t.Helper()
	var below func(n imagefs.Node) error
	below = func(n imagefs.Node) error {
		i := n.(*Inode)
		switch mode := i.attr.Mode; {
		case mode.IsRegular():
			seen[fmt.Sprintf("file %d", i.format)] = true
		case mode&fs.ModeSymlink != 0:
			seen[fmt.Sprintf("link %d", i.format)] = true
		case mode.IsDir():
			form := fmt.Sprintf("directory %d", i.format)
			if i.format != formatLocal {
				list, err := i.extents()
				if err != nil {
					return err
				}
				b, err := i.directoryBlock(list, 0)
				if err != nil {
					return err
				}
				form += ", data"
				if m := be.Uint32(b); m == magicDirBlock4 || m == magicDirBlock5 {
					form = strings.Replace(form, "data", "block", 1)
				}
			}
			seen[form] = true
			return n.ReadDir(func(d imagefs.Dirent) error {
				n, err := f.Node(d.Number)
				if err != nil {
					return err
				}
				return below(n)
			})
		}
		return nil
	}
	root, err := f.Root()
	if err == nil {
		err = below(root)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Version 4 is no longer in every kernel: mkfs fills these images itself.
func TestRead_Version4(t *testing.T) {
	snapshottest.Tool(t, "mkfs.xfs")
	dir := t.TempDir()
	snapshottest.Run(t, dir, "sh", "-ec", `
		mkdir few many block
		for i in 1 2 3; do echo $i > few/$i; done
		(cd block; seq -f 'n%g' 20 | xargs touch)
		(cd many; seq -f 'a_rather_long_name_in_a_directory_whose_index_has_nodes_above_its_leaves_number_%g' 1500 | xargs touch)
		head -c 1500000 /dev/urandom > large
		chmod 640 large; chmod 711 few
		ln -s short link
		ln -s $(printf '%0700d' 5) longer`)
	want := imagefstest.Host(t, dir)
	for _, args := range []string{"-b size=4096", "-b size=1024 -i size=256 -n ftype=1", "-i size=1024 -n size=8192,ftype=0"} {
		t.Run(args, func(t *testing.T) {
			proto := filepath.Join(t.TempDir(), "proto")
			if err := os.WriteFile(proto, []byte("/dev/null\n0 0\n"+prototype(t, dir, "")), 0o600); err != nil {
				t.Fatal(err)
			}
			image, _ := made(t, "330M", append(strings.Fields(args), "-m", "crc=0", "-p", proto)...)
			f, got := walked(t, image)
			if f.v5 {
				t.Error("it is of version 5: the test tests nothing")
			}
			imagefstest.Compare(t, timeless(got), timeless(want))
		})
	}
}

// prototype describes a directory as mkfs.xfs takes it.
func prototype(t testing.TB, dir, name string) string {
	t.Helper()
	info, err := os.Lstat(dir)
	if err != nil {
		t.Fatal(err)
	}
	mode := fmt.Sprintf("--%03o 0 0", info.Mode().Perm())
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(dir)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s l%s %s\n", name, mode, target)
	case info.Mode().IsRegular():
		return fmt.Sprintf("%s -%s %s\n", name, mode, dir)
	}
	text := fmt.Sprintf("%s d%s\n", name, mode)
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		text += prototype(t, filepath.Join(dir, d.Name()), d.Name())
	}
	return text + "$\n"
}

var times = regexp.MustCompile(` \d{4}-\d\d-\d\d \d\d:\d\d:\d\d `)

// timeless leaves out times, which mkfs does not keep.
func timeless(tree map[string]string) map[string]string {
	out := map[string]string{}
	for name, text := range tree {
		out[name] = times.ReplaceAllString(text, " ")
	}
	return out
}
