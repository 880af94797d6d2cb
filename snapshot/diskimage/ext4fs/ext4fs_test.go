package ext4fs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs/imagefstest"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

func open(t testing.TB, image string) (*FS, error) {
	t.Helper()
	return Open(imagefstest.Image(t, image))
}

func TestRead_EveryKindOfExt(t *testing.T) {
	snapshottest.Tool(t, "mke2fs")
	dir := t.TempDir()
	imagefstest.Tree(t, dir)
	want := imagefstest.Host(t, dir)
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
			got, err := imagefstest.Walk(f)
			if err != nil {
				t.Fatal(err)
			}
			imagefstest.Compare(t, got, want)
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
			imagefstest.Mounted(t, mount, image, "commit=300,nodelalloc", func() {
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
			got, err := imagefstest.Walk(f)
			if err != nil {
				t.Fatal(err)
			}
			if f.Replayed().Pieces == 0 {
				t.Error("nothing was in the journal: the test tests nothing")
			}
			// Without the journal it would be another file system.
			f.journal = nil
			if old, err := imagefstest.Walk(f); err == nil && len(old) == len(got) {
				t.Error("the journal makes no difference: the test tests nothing")
			}
			// The kernel is the judge: it replays the journal of a copy.
			copied := filepath.Join(dir, "copied")
			snapshottest.Run(t, "/", "cp", "--sparse=always", taken, copied)
			imagefstest.Mounted(t, mount, copied, "noatime", func() {
				want := imagefstest.Host(t, mount)
				if len(want) < 402 {
					t.Errorf("the kernel sees only %d files", len(want))
				}
				imagefstest.Compare(t, got, want)
			})
		})
	}
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
			imagefstest.Walk(fs) //nolint:errcheck // that it ends is what is tested
		}
	})
}
