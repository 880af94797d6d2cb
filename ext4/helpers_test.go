package ext4_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/ext4"
	"github.com/snapview/snapview/testneeds"
)

// small keeps images small where the free space is not the point.
var small = ext4.Options{FreeBytes: 16 << 20, FreeInodes: 1000}

func newImage(t testing.TB, tree fs.FS, o ext4.Options) *ext4.Image {
	t.Helper()
	m, err := ext4.New(tree, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

// export writes what of the image is not zero to a sparse file of its size.
func export(t testing.TB, m *ext4.Image) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(m.Size()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	err = m.Extents(0, m.Size(), func(e block.Extent) bool {
		if e.State&block.ExtentZero != 0 {
			return true
		}
		for off, end := e.Offset, e.Offset+e.Length; off < end; {
			p := buf[:min(int64(len(buf)), end-off)]
			if _, err := m.ReadAt(p, off); err != nil {
				t.Fatal(err)
			}
			if len(bytes.Trim(p, "\x00")) > 0 {
				if _, err := f.WriteAt(p, off); err != nil {
					t.Fatal(err)
				}
			}
			off += int64(len(p))
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// e2fsck runs a forced check that changes nothing.
func e2fsck(t testing.TB, image string) (output string, clean bool) {
	t.Helper()
	cmd := exec.Command(testneeds.Tool(t, "e2fsck"), "-fn", image)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), false
	}
	// With every pass run and exit code 0, anything beyond the known lines is
	// a complaint too.
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "e2fsck ") || strings.HasPrefix(line, "Pass ") ||
			strings.Contains(line, " files (") ||
			// Advice, given of what the kernel leaves after a truncate.
			strings.HasSuffix(line, "could be shorter.  Optimize? no") {
			continue
		}
		return string(out), false
	}
	return string(out), strings.Contains(string(out), "Pass 5")
}

func checkClean(t testing.TB, image string) {
	t.Helper()
	if out, ok := e2fsck(t, image); !ok {
		t.Fatalf("e2fsck complains:\n%s", out)
	}
}

// file is a regular file, directory or symlink of a synthetic tree.
type file struct {
	name    string // base name
	mode    fs.FileMode
	size    int64
	data    []byte // zeros beyond it
	target  string
	modTime time.Time
	sys     any
	entries []*file
}

// synth is a tree made of files in memory; names need no fs.ValidPath.
type synth struct {
	byPath map[string]*file
	opened func(path string) fs.File // overrides what Open returns, if set
}

// newSynth makes a tree of paths; parents come into being as needed.
func newSynth(files map[string]*file) *synth {
	s := &synth{byPath: map[string]*file{".": {name: ".", mode: fs.ModeDir | 0o700}}}
	var add func(p string, f *file)
	add = func(p string, f *file) {
		f.name = path.Base(p)
		s.byPath[p] = f
		dir := path.Dir(p)
		if s.byPath[dir] == nil {
			if d := files[dir]; d != nil {
				add(dir, d)
			} else {
				add(dir, &file{mode: fs.ModeDir | 0o700})
			}
		}
		s.byPath[dir].entries = append(s.byPath[dir].entries, f)
	}
	for p, f := range files {
		if s.byPath[p] == nil {
			add(p, f)
		}
	}
	for _, f := range s.byPath {
		slices.SortFunc(f.entries, func(a, b *file) int { return strings.Compare(a.name, b.name) })
	}
	return s
}

func (s *synth) find(op, name string) (*file, error) {
	if f := s.byPath[name]; f != nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func (s *synth) Open(name string) (fs.File, error) {
	f, err := s.find("open", name)
	if err != nil {
		return nil, err
	}
	if s.opened != nil {
		if x := s.opened(name); x != nil {
			return x, nil
		}
	}
	return &openFile{file: f}, nil
}

func (s *synth) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := s.find("readdir", name)
	if err != nil {
		return nil, err
	}
	out := make([]fs.DirEntry, len(f.entries))
	for i, e := range f.entries {
		out[i] = fs.FileInfoToDirEntry(info{e})
	}
	return out, nil
}

func (s *synth) Stat(name string) (fs.FileInfo, error) {
	f, err := s.find("stat", name)
	return info{f}, err
}

func (s *synth) Lstat(name string) (fs.FileInfo, error) { return s.Stat(name) }

func (s *synth) ReadLink(name string) (string, error) {
	f, err := s.find("readlink", name)
	if err != nil {
		return "", err
	}
	return f.target, nil
}

type info struct{ f *file }

func (i info) Name() string       { return i.f.name }
func (i info) Size() int64        { return i.f.length() }
func (i info) Mode() fs.FileMode  { return i.f.mode }
func (i info) ModTime() time.Time { return i.f.modTime }
func (i info) IsDir() bool        { return i.f.mode.IsDir() }
func (i info) Sys() any           { return i.f.sys }

func (f *file) length() int64 {
	if f.size < 0 {
		return f.size
	}
	return max(f.size, int64(len(f.data)))
}

// openFile is an fs.File and io.ReaderAt over a file.
type openFile struct {
	*file
	noReader
}

type noReader struct{}

func (noReader) Read([]byte) (int, error) {
	return 0, errors.New("sequential read of a random-access file")
}
func (noReader) Close() error { return nil }

func (o *openFile) Stat() (fs.FileInfo, error) { return info{o.file}, nil }

func (o *openFile) ReadAt(p []byte, off int64) (int, error) {
	n := int64(0)
	if off < o.length() {
		n = min(int64(len(p)), o.length()-off)
		clear(p[:n])
		if off < int64(len(o.data)) {
			copy(p[:n], o.data[off:])
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// sys is what FileInfo.Sys may tell.
type (
	order  int64
	linkID string
	sparse bool
)

func (o order) PhysicalOrder() int64 { return int64(o) }
func (l linkID) LinkID() string      { return string(l) }
func (s sparse) Sparse() bool        { return bool(s) }
