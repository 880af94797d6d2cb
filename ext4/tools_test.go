package ext4_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/snapview/snapview/ext4"
	"github.com/snapview/snapview/testneeds"
)

// runTool returns what a tool of e2fsprogs prints.
func runTool(t *testing.T, tool string, args ...string) string {
	t.Helper()
	cmd := exec.Command(testneeds.Tool(t, tool), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBUGFS_PAGER=cat")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", tool, strings.Join(args, " "), err)
	}
	return string(out)
}

func TestDumpe2fs_ReadsTheSuperblock(t *testing.T) {
	m := newImage(t, mixed(), ext4.Options{
		Label: "sixteen letters!",
		UUID:  [16]byte{0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	})
	if m.UUID()[0] != 0xde {
		t.Errorf("UUID() = %x", m.UUID())
	}
	out := runTool(t, "dumpe2fs", "-h", exportMetadata(t, m))
	got := map[string]string{}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(line, ":")
		got[key] = strings.TrimSpace(value)
	}
	for key, want := range map[string]string{
		"Filesystem volume name": "sixteen letters!",
		"Filesystem UUID":        "deadbeef-0102-0304-0506-0708090a0b0c",
		"Filesystem state":       "clean",
		"Filesystem features": "extent 64bit flex_bg sparse_super2 filetype sparse_super large_file huge_file " +
			"dir_nlink extra_isize metadata_csum",
		"Checksum type": "crc32c",
		"Inode size":    "256",
	} {
		g, w := strings.Fields(got[key]), strings.Fields(want)
		for _, f := range w {
			if !strings.Contains(" "+strings.Join(g, " ")+" ", " "+f+" ") {
				t.Errorf("%s is %q, want %q", key, got[key], want)
				break
			}
		}
		if len(g) != len(w) {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

func TestDebugfs_ReadsFiles(t *testing.T) {
	m := newImage(t, mixed(), small)
	image := export(t, m)
	if got := runTool(t, "debugfs", "-R", "cat /global/pg_control", image); got != strings.Repeat("ctl", 2731) {
		t.Errorf("pg_control has %d other bytes", len(got))
	}
	if got := runTool(t, "debugfs", "-R", "stat /hard1", image); !strings.Contains(got, "Links: 2") {
		t.Errorf("hard1:\n%s", got)
	}
}

// TestFixture_EveryByteIsThere lays a real backup out and compares every file
// as the image holds it with the file on disk.
func TestFixture_EveryByteIsThere(t *testing.T) {
	dir := t.TempDir()
	unpack(t, filepath.Join(fixtures(t), "pg15", "pg15-plain.tar.zst"), dir)
	m := newImage(t, os.DirFS(dir), ext4.Options{UID: 999, GID: 999})
	checkClean(t, export(t, m))
	files, err := parse(m)
	if err != nil {
		t.Fatal(err)
	}
	p := &parser{r: m}
	compared := 0
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f := files[name]
		delete(files, name)
		if f == nil {
			t.Errorf("%q is missing", name)
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		got := make([]byte, f.size)
		if err := p.readFile(f, got, 0); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%q differs", name)
		}
		compared++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > 0 || compared < 300 {
		t.Errorf("%d files compared, %d too many in the image", compared, len(files))
	}
}

// fixtures returns the folder of the shared fixtures.
func fixtures(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SNAPVIEW_FIXTURES")
	if dir == "" {
		d, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; d != "/"; d = filepath.Dir(d) {
			if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
				dir = filepath.Join(d, "..", "shared", "fixtures")
				break
			}
		}
	}
	_, err := os.Stat(dir)
	testneeds.Need(t, err == nil, "the fixtures, at SNAPVIEW_FIXTURES")
	return dir
}

// unpack extracts directories, regular files and symlinks.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o700)
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, name)
		case tar.TypeReg:
			var out *os.File
			if out, err = root.Create(name); err == nil {
				_, err = io.Copy(out, r)
				err = errors.Join(err, out.Close())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
