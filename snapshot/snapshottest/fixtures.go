package snapshottest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/snapview/snapview/testneeds"
)

// Need ends the test unless ok: there is what it names.
func Need(t testing.TB, ok bool, what string) {
	t.Helper()
	testneeds.Need(t, ok, what)
}

// Tool returns the path of a program, or ends the test.
func Tool(t testing.TB, name string) string {
	t.Helper()
	return testneeds.Tool(t, name)
}

// Fixture returns the path of a file of the shared fixtures: below
// SNAPVIEW_FIXTURES, else ../shared/fixtures beside the module. A checkout
// without them skips the test.
func Fixture(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("SNAPVIEW_FIXTURES")
	if dir == "" {
		dir = filepath.Join(ModuleRoot(t), "..", "shared", "fixtures")
	}
	p := filepath.Join(dir, name)
	if _, err := os.Stat(p); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("NEEDS: fixture %s (set SNAPVIEW_FIXTURES)", name)
	}
	return p
}

// ModuleRoot returns the folder of the go.mod above the test.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
}

// Unpack unpacks a fixture, a tar compressed with zstd, into a new temporary
// directory and returns it.
func Unpack(t testing.TB, fixture string) string {
	t.Helper()
	f, err := os.Open(Fixture(t, fixture))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	dir := t.TempDir()
	if err := untar(tar.NewReader(z), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func untar(r *tar.Reader, dir string) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(h.Name) {
			return fmt.Errorf("fixture with the path %q", h.Name)
		}
		name := filepath.Join(dir, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(name, 0o700)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, name)
		case tar.TypeReg:
			if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
				err = writeFile(name, r)
			}
			if err == nil {
				err = os.Chtimes(name, h.ModTime, h.ModTime)
			}
		}
		if err != nil {
			return err
		}
	}
}

func writeFile(name string, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// Run runs a program in dir and fails the test if it fails.
func Run(t testing.TB, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Untouched fails the test at its end if anything below dir was changed:
// names, bytes, sizes or times of change.
func Untouched(t testing.TB, dir string) {
	t.Helper()
	before := state(t, dir)
	t.Cleanup(func() {
		Compare(t, state(t, dir), before)
	})
}

func state(t testing.TB, dir string) map[string]string {
	t.Helper()
	s := Hashes(t, os.DirFS(dir))
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			s["info of "+name] = fmt.Sprint(info.Mode(), info.ModTime(), info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TreeOf returns the hashes that a tree of the data directory and tablespaces
// given must have.
func TreeOf(t testing.TB, data string, tablespaces map[uint32]string) map[string]string {
	t.Helper()
	want := map[string]string{}
	for name, h := range Hashes(t, os.DirFS(data)) {
		want["data/"+name] = h
	}
	for oid, dir := range tablespaces {
		for name, h := range Hashes(t, os.DirFS(dir)) {
			want[fmt.Sprintf("tablespaces/%d/%s", oid, name)] = h
		}
	}
	return want
}
