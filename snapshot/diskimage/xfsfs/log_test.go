package xfsfs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs/imagefstest"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// judge lets the kernel replay a copy of an image, and compares.
func judge(t testing.TB, image, mount string, got map[string]string) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copied")
	snapshottest.Run(t, "/", "cp", "--sparse=always", image, copied)
	imagefstest.Mounted(t, mount, copied, "noatime", func() {
		imagefstest.Compare(t, got, imagefstest.Host(t, mount))
	})
}

// The image of a mounted file system: what was synced is in the log only.
func TestReplay_WhatTheKernelWouldReplay(t *testing.T) {
	needs(t)
	for name, c := range map[string]struct{ mkfs, work string }{
		"defaults": {"-m crc=1", `
			mkdir -p a/b; for i in $(seq 300); do echo $i > a/b/$i; done; sync a/b/1
			rm -r a; touch x; sync x
			mkdir -p c/d e; for i in $(seq 400); do echo "again $i" > c/d/$i; done
			head -c 3000000 /dev/urandom > e/data; ln -s c/d link; sync e/data`},
	} {
		t.Run(name, func(t *testing.T) {
			image, mount := made(t, "330M", "-m", "crc=1")
			_ = c.mkfs
			taken := filepath.Join(filepath.Dir(image), "taken")
			imagefstest.Mounted(t, mount, image, "noatime", func() {
				snapshottest.Run(t, mount, "sh", "-ec", c.work)
				snapshottest.Run(t, mount, "xfs_io", "-x", "-c", "shutdown -f", ".")
				snapshottest.Run(t, "/", "cp", "--sparse=always", image, taken)
			})
			f, err := open(t, taken)
			if err != nil {
				t.Fatal(err)
			}
			got, err := imagefstest.Walk(f)
			if err != nil {
				t.Fatal(err)
			}
			n, _ := f.Replayed()
			t.Log(n, "sectors,", len(f.overlay.fresh), "fresh")
			if n == 0 {
				t.Error("nothing was in the log: the test tests nothing")
			}
			judge(t, taken, mount, got)
			_ = os.Stdout
		})
	}
}
