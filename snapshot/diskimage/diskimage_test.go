package diskimage_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// host is the root directory of a host whose PostgreSQL has a tablespace; at is
// where its data directory is.
func host(t testing.TB, at string) (root string, want map[string]string) {
	t.Helper()
	root = t.TempDir()
	from := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	data := filepath.Join(root, at)
	ts := filepath.Join(root, "srv/ts1")
	if err := errors.Join(os.MkdirAll(filepath.Dir(data), 0o755), os.MkdirAll(filepath.Dir(ts), 0o755), os.MkdirAll(filepath.Join(root, "usr/lib"), 0o755),
		os.Rename(filepath.Join(from, "fp"), data), os.Rename(filepath.Join(from, "fp_ts1"), ts),
		os.Remove(filepath.Join(data, "pg_tblspc/16384")), os.Symlink("/srv/ts1", filepath.Join(data, "pg_tblspc/16384"))); err != nil {
		t.Fatal(err)
	}
	return root, snapshottest.TreeOf(t, data, map[uint32]string{16384: ts})
}

// fileSystem makes an image of an ext4 file system of a directory.
func fileSystem(t testing.TB, dir string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "fs")
	snapshottest.Run(t, "/", snapshottest.Tool(t, "mke2fs"), "-q", "-F", "-t", "ext4", "-d", dir, image, "64M")
	return image
}

// partitioned puts file systems onto a disk with a table that sfdisk makes.
func partitioned(t testing.TB, script string, parts map[int64]string) string {
	t.Helper()
	sfdisk := snapshottest.Tool(t, "sfdisk")
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 192<<20); err != nil {
		t.Fatal(err)
	}
	snapshottest.Run(t, "/", "sh", "-ec", `printf "$1" | "$2" -q "$3"`, "sh", script, sfdisk, disk)
	for mib, image := range parts {
		snapshottest.Run(t, "/", "dd", "status=none", "if="+image, "of="+disk, "bs=1M", fmt.Sprintf("seek=%d", mib), "conv=notrunc,sparse")
	}
	return disk
}

func open(t testing.TB, ref string, opts snapshot.Options) *snapshot.Snapshot {
	t.Helper()
	s, err := diskimage.Open(t.Context(), ref, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOpen_Conforms(t *testing.T) {
	root, want := host(t, "var/lib/postgresql/15/main")
	image := fileSystem(t, root)
	snapshottest.Untouched(t, filepath.Dir(image))
	snapshottest.Suite{
		Open:    func(t testing.TB) *snapshot.Snapshot { return open(t, image, snapshot.Options{}) },
		Want:    want,
		MaxOpen: 4 << 20,
	}.Run(t)
}

func TestOpen_EveryFormat(t *testing.T) {
	root, want := host(t, "var/lib/postgresql/15/main")
	image := fileSystem(t, root)
	qemu := snapshottest.Tool(t, "qemu-img")
	dir := t.TempDir()
	named := func(name string) string { return filepath.Join(dir, name) }
	gpt := partitioned(t, `label: gpt\nstart=1MiB,size=16MiB\nstart=32MiB,size=128MiB,name="root"\n`, map[int64]string{32: image})
	for name, c := range map[string]struct{ ref, says string }{
		"raw":            {image, "the image (ext4)"},
		"GPT":            {gpt, "partition 2 (root)"},
		"MBR":            {partitioned(t, `label: dos\nstart=1MiB,size=16MiB\nstart=32MiB,size=128MiB\n`, map[int64]string{32: image}), "partition 2 "},
		"logical in MBR": {partitioned(t, `label: dos\nstart=1MiB,size=16MiB\nstart=24MiB,type=5\nstart=32MiB,size=128MiB\n`, map[int64]string{32: image}), "partition 5 "},
		"qcow2": {func() string {
			snapshottest.Run(t, "/", qemu, "convert", "-O", "qcow2", gpt, named("plain"))
			return named("plain")
		}(), "qcow2 image"},
		"qcow2 compressed": {func() string {
			snapshottest.Run(t, "/", qemu, "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", gpt, named("packed"))
			return named("packed")
		}(), "qcow2 image"},
		"qcow2 with backing files": {func() string {
			snapshottest.Run(t, "/", qemu, "convert", "-O", "qcow2", gpt, named("base"))
			snapshottest.Run(t, dir, qemu, "create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", named("middle"))
			snapshottest.Run(t, dir, qemu, "create", "-q", "-f", "qcow2", "-b", "middle", "-F", "qcow2", named("top"))
			return named("top")
		}(), "backed by " + named("middle")},
		"qcow2 over a raw image": {func() string {
			snapshottest.Run(t, dir, qemu, "create", "-q", "-f", "qcow2", "-b", gpt, "-F", "raw", named("over"))
			return named("over")
		}(), "backed by " + gpt},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, c.ref, snapshot.Options{})
			defer s.Close()
			if err := s.Err(); err != nil {
				t.Errorf("refused: %v", err)
			}
			if r := snapshottest.Report(s); !strings.Contains(r, c.says) {
				t.Errorf("%q is not in\n%s", c.says, r)
			}
			snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
		})
	}
}

// The data directory alone on its disk, tablespace and WAL on two others that
// were mounted elsewhere.
func TestOpen_LinksLeadToOtherVolumes(t *testing.T) {
	root, want := host(t, "15/main")
	moved := t.TempDir()
	if err := errors.Join(os.Rename(filepath.Join(root, "srv/ts1"), filepath.Join(moved, "ts1")),
		os.MkdirAll(filepath.Join(moved, "pg"), 0o700),
		os.Rename(filepath.Join(root, "15/main/pg_wal"), filepath.Join(moved, "pg/wal")),
		os.Symlink("/mnt/fast/pg/wal", filepath.Join(root, "15/main/pg_wal"))); err != nil {
		t.Fatal(err)
	}
	disk := partitioned(t, `label: gpt\nstart=1MiB,size=80MiB\nstart=96MiB,size=80MiB\n`, map[int64]string{1: fileSystem(t, root), 96: fileSystem(t, moved)})
	s := open(t, disk, snapshot.Options{})
	defer s.Close()
	if err := s.Err(); err != nil {
		t.Errorf("refused: %v", err)
	}
	snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
}

func TestOpen_AsksWhichOfSeveral(t *testing.T) {
	root, _ := host(t, "pg/a")
	snapshottest.Run(t, root, "cp", "-a", "pg/a", "pg/b")
	image := fileSystem(t, root)
	_, err := diskimage.Open(t.Context(), image, snapshot.Options{})
	if !errors.Is(err, snapshot.ErrNotABackup) || !strings.Contains(err.Error(), "0:pg/a") || !strings.Contains(err.Error(), "0:pg/b") {
		t.Errorf("err = %v", err)
	}
	for _, root := range []string{"pg/b", "/pg/b/", "0:pg/b"} {
		s := open(t, image, snapshot.Options{Root: root})
		if r := snapshottest.Report(s); !strings.Contains(r, "/pg/b in") {
			t.Errorf("--root %s:\n%s", root, r)
		}
		s.Close()
	}
	if _, err := diskimage.Open(t.Context(), image, snapshot.Options{Root: "pg/c"}); !errors.Is(err, snapshot.ErrNotABackup) {
		t.Errorf("err = %v", err)
	}
}

// Without a backup_label an image opens all the same, and says what that means.
func TestOpen_IsCrashConsistent(t *testing.T) {
	root, _ := host(t, "main")
	if err := os.Remove(filepath.Join(root, "main/backup_label")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "main/backup_manifest")); err != nil {
		t.Fatal(err)
	}
	s := open(t, fileSystem(t, root), snapshot.Options{})
	defer s.Close()
	if err := s.Err(); err != nil || !s.CrashConsistent || snapshottest.Outcomes(s)["consistency"] != snapshot.Warn {
		t.Errorf("%v\n%s", err, snapshottest.Report(s))
	}
}

func TestOpen_BadImages(t *testing.T) {
	qemu := snapshottest.Tool(t, "qemu-img")
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	qcow2 := func(change func(h []byte)) []byte {
		p := filepath.Join(dir, "made")
		snapshottest.Run(t, "/", qemu, "create", "-q", "-f", "qcow2", p, "1M")
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		change(b)
		return b
	}
	circle := filepath.Join(dir, "circle")
	snapshottest.Run(t, dir, qemu, "create", "-q", "-u", "-f", "qcow2", "-b", "circle", "-F", "qcow2", circle, "1M")
	device := filepath.Join(dir, "device")
	snapshottest.Run(t, dir, qemu, "create", "-q", "-u", "-f", "qcow2", "-b", "/dev/zero", "-F", "raw", device, "1M")
	lost := filepath.Join(dir, "lost")
	snapshottest.Run(t, dir, qemu, "create", "-q", "-u", "-f", "qcow2", "-b", "nowhere", "-F", "raw", lost, "1M")
	empty := fileSystem(t, t.TempDir())
	brokenGPT := make([]byte, 4<<20)
	copy(brokenGPT[446:], []byte{0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0xFF, 0x1F, 0, 0})
	copy(brokenGPT[510:], "\x55\xAA")
	copy(brokenGPT[512:], "EFI PART")
	for name, c := range map[string]struct {
		ref   string
		class error
		says  string
	}{
		"XFS of no version":       {file("xfs", append([]byte("XFSB"), make([]byte, 1<<20)...)), snapshot.ErrUnsupported, "XFS"},
		"LUKS":                    {file("luks", append([]byte("LUKS\xba\xbe"), make([]byte, 1<<20)...)), snapshot.ErrUnsupported, "LUKS"},
		"LVM, damaged":            {file("lvm", append(append(make([]byte, 512), "LABELONE"...), make([]byte, 1<<20)...)), snapshot.ErrDamaged, "LVM: no label"},
		"no data directory":       {empty, snapshot.ErrNotABackup, "no data directory"},
		"a broken GPT":            {file("gpt", brokenGPT), snapshot.ErrDamaged, "GPT"},
		"qcow2, huge table":       {file("l1", qcow2(func(h []byte) { binary.BigEndian.PutUint32(h[36:], 1<<31) })), snapshot.ErrDamaged, "table"},
		"qcow2, huge clusters":    {file("cluster", qcow2(func(h []byte) { binary.BigEndian.PutUint32(h[20:], 62) })), snapshot.ErrDamaged, "clusters"},
		"qcow2, encrypted":        {file("crypt", qcow2(func(h []byte) { binary.BigEndian.PutUint32(h[32:], 1) })), snapshot.ErrUnsupported, "encrypted"},
		"qcow2, cut short":        {file("cut", qcow2(func([]byte) {})[:60]), snapshot.ErrDamaged, "header"},
		"qcow2, backed by itself": {circle, snapshot.ErrUnsupported, "backing"},
		"qcow2, over a device":    {device, snapshot.ErrUnsupported, "no regular file"},
		"qcow2, backing lost":     {lost, snapshot.ErrUnsupported, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := diskimage.Open(t.Context(), c.ref, snapshot.Options{})
			if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v; want class %v, saying %q", err, c.class, c.says)
			}
			head := make([]byte, 2048)
			if f, err := os.Open(c.ref); err == nil {
				n, _ := f.ReadAt(head, 0)
				head = head[:n]
				f.Close()
			}
			if !diskimage.Is(head) {
				t.Error("it is not recognised as a disk image")
			}
		})
	}
	if diskimage.Is(bytes.Repeat([]byte{0}, 2048)) || diskimage.Is([]byte("hello")) {
		t.Error("zeros, or text, pass for an image")
	}
}
