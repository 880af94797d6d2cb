package xfsfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
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

// dirty makes an image whose file system was in use: what was synced is in the
// log, and not in its place.
func dirty(t testing.TB, args ...string) (image, mount string) {
	t.Helper()
	made, mount := made(t, "330M", args...)
	image = filepath.Join(filepath.Dir(made), "taken")
	imagefstest.Mounted(t, mount, made, "noatime", func() {
		// Made, removed and made again: buffers are cancelled, places used anew.
		snapshottest.Run(t, mount, "sh", "-ec", `
			mkdir -p a/b; for i in $(seq 300); do echo $i > a/b/$i; done; sync a/b/1
			rm -r a; touch x; sync x
			mkdir -p c/d e; for i in $(seq 400); do echo "again $i" > c/d/$i; done
			head -c 3000000 /dev/urandom > e/data; ln -s c/d link; sync e/data
			for i in 1 3 5 7; do xfs_io -c "fpunch ${i}00000 5000" e/data; done
			xfs_io -x -c 'shutdown -f' .`)
		snapshottest.Run(t, "/", "cp", "--sparse=always", made, image)
	})
	return image, mount
}

func TestReplay_WhatTheKernelWouldReplay(t *testing.T) {
	needs(t)
	t.Parallel()
	image, mount := dirty(t)
	f, got := walked(t, image)
	if n := f.Replayed().Pieces; n == 0 || len(f.overlay.fresh) == 0 {
		t.Error("nothing was in the log: the test tests nothing")
	}
	if len(got) < 405 {
		t.Errorf("only %d names", len(got))
	}
	judge(t, image, mount, got)
	// Without the log it would be another file system.
	f.overlay = overlay{}
	if old, err := imagefstest.Walk(f); err == nil && len(old) == len(got) {
		t.Error("the log makes no difference: the test tests nothing")
	}
}

// What was a directory in the log, and a part of a file when the image was
// taken, is not made a directory again.
func TestReplay_CancelledBuffers(t *testing.T) {
	needs(t)
	t.Parallel()
	image, mount := made(t, "32M", "--unsupported")
	taken := filepath.Join(filepath.Dir(image), "taken")
	imagefstest.Mounted(t, mount, image, "noatime", func() {
		// The file takes all space that there is, so that of the directories too.
		snapshottest.Run(t, mount, "sh", "-ec", `
			for i in $(seq 60); do mkdir d$i; (cd d$i; seq -f 'a_rather_long_name_%g' 30 | xargs touch); done; sync
			rm -r d*; sync
			! tr '\0' x </dev/zero | dd of=all bs=64k status=none 2>/dev/null
			sync; xfs_io -x -c 'shutdown -f' .`)
		snapshottest.Run(t, "/", "cp", "--sparse=always", image, taken)
	})
	f, got := walked(t, taken)
	if f.Replayed().Pieces == 0 {
		t.Error("nothing was in the log: the test tests nothing")
	}
	judge(t, taken, mount, got)
}

// The log is a ring: what is to be replayed may go around its end.
func TestReplay_AroundTheEnd(t *testing.T) {
	needs(t)
	t.Parallel()
	// Every write of this log takes 256 KiB.
	image, mount := made(t, "330M", "--unsupported", "-l", "su=256k,size=20m")
	taken := filepath.Join(filepath.Dir(image), "taken")
	imagefstest.Mounted(t, mount, image, "noatime,logbsize=256k", func() {
		for n := range 100 {
			file, err := os.Create(filepath.Join(mount, fmt.Sprint("file ", n)))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(file.Sync(), file.Close()); err != nil {
				t.Fatal(err)
			}
			if n%7 == 0 {
				os.Remove(filepath.Join(mount, fmt.Sprint("file ", n/2)))
			}
		}
		snapshottest.Run(t, mount, "xfs_io", "-x", "-c", "shutdown -f", ".")
		snapshottest.Run(t, "/", "cp", "--sparse=always", image, taken)
	})
	f, got := walked(t, taken)
	if tail, head, _, err := (&journal{f: f, n: f.logSectors}).ends(); err != nil || head >= tail {
		t.Errorf("the log goes from %d to %d (%v): the test tests nothing", tail, head, err)
	}
	judge(t, taken, mount, got)
}

// logAt opens an image's log, and finds its records' places in the image.
func logAt(t testing.TB, image string) (j *journal, records []int64) {
	t.Helper()
	r, size := imagefstest.Image(t, image)
	f := &FS{r: r, size: size}
	if err := f.superblock(); err != nil {
		t.Fatal(err)
	}
	j = &journal{f: f, n: f.logSectors}
	tail, head, clean, err := j.ends()
	if err != nil || clean {
		t.Fatalf("an empty log, or a broken one: %v", err)
	}
	var at int64
	err = j.walk(tail, head, &at, func(r *recordHeader, _ []byte) error {
		records = append(records, f.logStart+r.at*sector)
		return nil
	})
	if err != nil || len(records) < 3 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	return j, records
}

// flip changes one byte of a file.
func flip(t testing.TB, name string, at int64) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	_, err = file.ReadAt(b, at)
	b[0] ^= 0x10
	_, err2 := file.WriteAt(b, at)
	if err := errors.Join(err, err2, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// A record at the end of the log that is not whole was being written: what it
// holds never happened, to the kernel either.
func TestReplay_TornWrites(t *testing.T) {
	needs(t)
	t.Parallel()
	image, mount := dirty(t)
	_, whole := walked(t, image)
	_, records := logAt(t, image)
	flip(t, image, records[len(records)-1]+sector+40)
	f, got := walked(t, image)
	if f.Replayed().Torn == "" {
		t.Error("nobody is told")
	}
	if len(got) == len(whole) && got["e/data"] == whole["e/data"] {
		t.Error("a torn record makes no difference: the test tests nothing")
	}
	judge(t, image, mount, got)
}

// Damage that no power failure makes is no end of the log.
func TestReplay_DamagedRecords(t *testing.T) {
	needs(t)
	t.Parallel()
	image, _ := dirty(t)
	_, records := logAt(t, image)
	for name, at := range map[string]int64{"the tail's data": records[0] + sector + 40, "the tail's header": records[0] + 41} {
		copied := filepath.Join(t.TempDir(), "copied")
		snapshottest.Run(t, "/", "cp", "--sparse=always", image, copied)
		flip(t, copied, at)
		_, err := open(t, copied)
		if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "log") || !strings.Contains(err.Error(), "mount a copy") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The log of another file system.
	copied := filepath.Join(t.TempDir(), "copied")
	snapshottest.Run(t, "/", "cp", "--sparse=always", image, copied)
	flip(t, copied, records[0]+310)
	if _, err := open(t, copied); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "another file system") {
		t.Errorf("another file system's: %v", err)
	}
}

// Steps of an intent are made on what the inode has.
func TestRemap(t *testing.T) {
	f := &FS{block: 4096, blocks: 1000, agBlocks: 1000, agCount: 1, agBits: 10}
	list := func(x ...uint64) (out []byte) {
		for _, n := range x {
			out = be.AppendUint64(out, n)
		}
		return out
	}
	in := imagefs.Extents{{Logical: 0, Physical: 100, Count: 10}, {Logical: 20, Physical: 200, Count: 10}}
	for name, c := range map[string]struct {
		s    step
		want []byte // nil if it is refused
	}{
		"map into a hole":        {step{offset: 12, start: 300, count: 5}, list(0, 100, 10, 12, 300, 5, 20, 200, 10)},
		"map, joined":            {step{offset: 10, start: 110, count: 5}, list(0, 100, 10, 10, 110, 5, 20, 200, 10)},
		"map behind":             {step{offset: 40, start: 300, count: 5}, list(0, 100, 10, 20, 200, 10, 40, 300, 5)},
		"map, unwritten":         {step{offset: 12, start: 300, count: 5, unwritten: true}, list(0, 100, 10, 20, 200, 10)},
		"map over an extent":     {step{offset: 9, start: 300, count: 5}, nil},
		"map beyond":             {step{offset: 40, start: 998, count: 5}, nil},
		"unmap all":              {step{unmap: true, offset: 0, start: 100, count: 10}, list(20, 200, 10)},
		"unmap the middle":       {step{unmap: true, offset: 22, start: 202, count: 3}, list(0, 100, 10, 20, 200, 2, 25, 205, 5)},
		"unmap an end":           {step{unmap: true, offset: 25, start: 205, count: 5}, list(0, 100, 10, 20, 200, 5)},
		"unmap what is unmapped": {step{unmap: true, offset: 12, start: 300, count: 5}, list(0, 100, 10, 20, 200, 10)},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := f.remap(in, c.s)
			var got []byte
			for _, e := range out {
				got = append(got, list(e.Logical, e.Physical, e.Count)...)
			}
			if c.want == nil && !errors.Is(err, snapshot.ErrDamaged) || c.want != nil && (err != nil || !bytes.Equal(got, c.want)) {
				t.Errorf("%v, %v", out, err)
			}
		})
	}
}
