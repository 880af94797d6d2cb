package kerneltest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
)

// An initramfs collects the files of a guest and writes them as the kernel
// takes them: a cpio archive in the "newc" format
// (Documentation/driver-api/early-userspace/buffer-format.rst). Compressed it
// would be smaller, and an emulated processor would take its time.
type initramfs struct{ files map[string]entry }

type entry struct {
	mode uint32 // with the type
	data []byte
}

const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
)

func newInitramfs(dirs ...string) *initramfs {
	fs := &initramfs{make(map[string]entry)}
	for _, d := range dirs {
		fs.dir(d)
	}
	return fs
}

func (fs *initramfs) dir(path string) {
	for ; path != "." && path != "/" && path != ""; path = filepath.Dir(path) {
		fs.files[path] = entry{mode: modeDir | 0o755}
	}
}

func (fs *initramfs) file(path string, perm uint32, data []byte) {
	fs.dir(filepath.Dir(path))
	fs.files[path] = entry{modeFile | perm, data}
}

// copy adds a file of the host, or what a link leads to, at path.
func (fs *initramfs) copy(path, from string) error {
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	fs.file(path, uint32(st.Mode().Perm()), data)
	return nil
}

// tree adds what lies below a directory of the host.
func (fs *initramfs) tree(path, from string) error {
	return filepath.WalkDir(from, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		at := filepath.Join(path, rel)
		switch {
		case d.IsDir():
			fs.dir(at)
		case d.Type()&os.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			fs.dir(filepath.Dir(at))
			fs.files[at] = entry{modeLink | 0o777, []byte(target)}
		default:
			return fs.copy(at, name)
		}
		return nil
	})
}

// libraries finds the paths in what ldd prints.
var libraries = regexp.MustCompile(`(?m)(?:=> |^\t)(/\S+)`)

// program adds a program or shared library of the host, at its own path or at
// another, with the libraries that it needs, where its loader looks for them.
func (fs *initramfs) program(from string, at ...string) error {
	if !filepath.IsAbs(from) {
		path, err := exec.LookPath(from)
		if err != nil {
			return err
		}
		from = path
	}
	for _, path := range append(at, from) {
		if err := fs.copy(path[1:], from); err != nil {
			return err
		}
	}
	out, err := exec.Command("ldd", from).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ldd %s: %w\n%s", from, err, out)
	}
	for _, m := range libraries.FindAllSubmatch(out, -1) {
		lib := string(m[1])
		if _, have := fs.files[lib[1:]]; have {
			continue
		}
		if err := fs.copy(lib[1:], lib); err != nil {
			return err
		}
	}
	return nil
}

// write writes the archive.
func (fs *initramfs) write(w io.Writer) error {
	paths := make([]string, 0, len(fs.files))
	for p := range fs.files {
		paths = append(paths, p)
	}
	sort.Strings(paths) // parents first
	for i, p := range paths {
		if err := cpio(w, i+1, p, fs.files[p]); err != nil {
			return err
		}
	}
	return cpio(w, 0, "TRAILER!!!", entry{})
}

// cpio writes one file: a header of hexadecimal numbers, the name, the data,
// each padded to 4 bytes.
func cpio(w io.Writer, ino int, name string, e entry) error {
	padded := func(b []byte) error {
		_, err := w.Write(b)
		if n := -len(b) & 3; n > 0 && err == nil {
			_, err = w.Write(make([]byte, n))
		}
		return err
	}
	head := []byte("070701")
	for _, v := range []int{ino, int(e.mode), 0, 0, 1, 0, len(e.data), 0, 0, 0, 0, len(name) + 1, 0} {
		head = fmt.Appendf(head, "%08x", v)
	}
	head = append(append(head, name...), 0)
	return errors.Join(padded(head), padded(e.data))
}
