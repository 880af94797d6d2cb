package xfsfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	dir := t.TempDir()
	image, mount = filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	snapshottest.Run(t, "/", "truncate", "-s", size, image)
	snapshottest.Run(t, "/", "mkfs.xfs", append(append([]string{"-q"}, args...), image)...)
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	return image, mount
}

func TestRead_EveryKindOfXFS(t *testing.T) {
	needs(t)
	for _, args := range []string{
		"-m crc=1",
		"-b size=1024",
		"-m crc=0",
		"-m crc=0 -b size=1024 -n ftype=1 -i size=256",
		"-m bigtime=1,rmapbt=1,reflink=1,inobtcount=1 -i nrext64=1 -i sparse=1",
		"-m reflink=0,rmapbt=0,finobt=0,bigtime=0 -i size=2048",
		"-s size=4096 -n size=8192",
		"-n size=65536 -l su=32768",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			image, mount := made(t, "330M", strings.Fields(args)...)
			var want map[string]string
			imagefstest.Mounted(t, mount, image, "noatime", func() {
				imagefstest.Tree(t, mount)
				fill(t, mount)
				want = imagefstest.Host(t, mount)
			})
			f, err := open(t, image)
			if err != nil {
				t.Fatal(err)
			}
			got, err := imagefstest.Walk(f)
			if err != nil {
				t.Fatal(err)
			}
			imagefstest.Compare(t, got, want)
			if n, _ := f.Replayed(); n != 0 {
				t.Errorf("%d sectors were replayed from an empty log", n)
			}
		})
	}
}

// fill adds directories of every form, and a file with a tree of extents.
func fill(t testing.TB, dir string) {
	t.Helper()
	snapshottest.Run(t, dir, "sh", "-ec", `
		mkdir few block leaf node
		for i in 1 2 3; do echo $i > few/$i; done
		(cd block; seq -f 'n%g' 40 | xargs touch)
		(cd leaf; seq -f 'a name in a directory that has a leaf, number %g' 600 | tr ' ' _ | xargs touch)
		(cd node; seq -f 'a rather long name in a directory whose index has nodes above its leaves, number %08g' 6000 | tr ' ' _ | xargs touch)
		(cd node; ls | sed -n '1~3p' | xargs rm)
		head -c 8000000 /dev/urandom > holes
		xfs_io -c 'falloc 8000000 1000000' holes
		for i in $(seq 0 2 1900); do echo "fpunch $((i*4096)) 4096"; done | xfs_io holes >/dev/null
	`)
}
