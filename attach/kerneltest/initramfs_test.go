package kerneltest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
)

// An initramfs collects the files of a guest and writes them as the kernel
// takes them: a gzip of a cpio archive in the "newc" format
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type initramfs struct{ files map[string]entry }

type entry struct {
	mode uint32 // with the type
	data []byte
}

const (
	modeDir  = 0o040000
	modeFile = 0o100000
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

// libraries finds the paths in what ldd prints.
var libraries = regexp.MustCompile(`(?m)(?:=> |^\t)(/\S+)`)

// program adds a program of the host with the shared libraries that it needs,
// at the places where its loader looks for them.
func (fs *initramfs) program(name string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fs.file("usr/sbin/"+name, 0o755, data)
	out, err := exec.Command("ldd", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ldd %s: %w\n%s", path, err, out)
	}
	for _, m := range libraries.FindAllSubmatch(out, -1) {
		lib := string(m[1])
		if data, err = os.ReadFile(lib); err != nil {
			return err
		}
		fs.file(lib[1:], 0o755, data)
	}
	return nil
}

// write writes the archive.
func (fs *initramfs) write(w io.Writer) error {
	var b bytes.Buffer
	paths := make([]string, 0, len(fs.files))
	for p := range fs.files {
		paths = append(paths, p)
	}
	sort.Strings(paths) // parents first
	for i, p := range paths {
		cpio(&b, i+1, p, fs.files[p])
	}
	cpio(&b, 0, "TRAILER!!!", entry{})
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := z.Write(b.Bytes()); err != nil {
		return err
	}
	return z.Close()
}

// cpio appends one file: a header of hexadecimal numbers, the name, the data,
// each padded to 4 bytes.
func cpio(b *bytes.Buffer, ino int, name string, e entry) {
	pad := func() {
		for b.Len()%4 != 0 {
			b.WriteByte(0)
		}
	}
	b.WriteString("070701")
	for _, v := range []int{ino, int(e.mode), 0, 0, 1, 0, len(e.data), 0, 0, 0, 0, len(name) + 1, 0} {
		fmt.Fprintf(b, "%08x", v)
	}
	b.WriteString(name)
	b.WriteByte(0)
	pad()
	b.Write(e.data)
	pad()
}
