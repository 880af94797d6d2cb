package sources_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/sources"
)

// tarOf makes a tar of a directory, with one more member at its end. Its header
// may be changed; the checksum is made to fit.
func tarOf(t *testing.T, dir string, more *tar.Header, change func(header []byte)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.AddFS(os.DirFS(dir)))
	must(t, w.Flush())
	at := buf.Len()
	if more != nil {
		must(t, w.WriteHeader(more))
	}
	must(t, w.Close())
	b := buf.Bytes()
	if change != nil {
		header := b[at:][:512]
		change(header)
		copy(header[148:156], "        ")
		sum := 0
		for _, c := range header {
			sum += int(c)
		}
		copy(header[148:156], []byte{'0', '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
	}
	return b
}

// Members that no backup has, in each tar of each kind of backup: refused by
// class, with the tar and the member in the error.
func TestBadInput_HostileTars(t *testing.T) {
	dir, empty := smallCluster(t), t.TempDir()
	must(t, os.WriteFile(filepath.Join(empty, "file"), []byte("x"), 0o600))
	folder := func(hostile string) func(t *testing.T, b, _ []byte) (ref, file string) {
		return func(t *testing.T, whole, small []byte) (string, string) {
			at := t.TempDir()
			for _, name := range []string{"base.tar", "16384.tar", "pg_wal.tar"} {
				b := tarOf(t, empty, nil, nil)
				switch {
				case name == "base.tar" && name == hostile:
					b = whole
				case name == "base.tar":
					b = tarOf(t, dir, nil, nil)
				case name == hostile:
					b = small
				}
				must(t, os.WriteFile(filepath.Join(at, name), b, 0o600))
			}
			return at, hostile
		}
	}
	file := func(program string) func(t *testing.T, whole, _ []byte) (ref, file string) {
		return func(t *testing.T, whole, _ []byte) (string, string) {
			at := filepath.Join(t.TempDir(), "backup")
			must(t, os.WriteFile(at, whole, 0o600))
			if program != "" {
				at = compress(t, program, at)
			}
			return at, "backup"
		}
	}
	kinds := map[string]func(t *testing.T, whole, small []byte) (ref, file string){
		"tar": file(""), "gzip": file("gzip"), "zstd": file("zstd"),
		"base.tar": folder("base.tar"), "16384.tar": folder("16384.tar"), "pg_wal.tar": folder("pg_wal.tar"),
	}
	for name, c := range map[string]struct {
		header tar.Header
		change func(header []byte)
		class  error
	}{
		"upwards":           {tar.Header{Name: "../../evil", Typeflag: tar.TypeReg}, nil, snapshot.ErrUnsafe},
		"absolute":          {tar.Header{Name: "/etc/evil", Typeflag: tar.TypeReg}, nil, snapshot.ErrUnsafe},
		"hard link out":     {tar.Header{Name: "evil", Typeflag: tar.TypeLink, Linkname: "../../etc/shadow"}, nil, snapshot.ErrUnsafe},
		"hard link to none": {tar.Header{Name: "evil", Typeflag: tar.TypeLink, Linkname: "nowhere"}, nil, snapshot.ErrDamaged},
		"link out":          {tar.Header{Name: "base/5/evil", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}, nil, snapshot.ErrUnsafe},
		"character device":  {tar.Header{Name: "evil", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}, nil, snapshot.ErrUnsafe},
		"block device":      {tar.Header{Name: "evil", Typeflag: tar.TypeBlock, Devmajor: 8}, nil, snapshot.ErrUnsafe},
		"FIFO":              {tar.Header{Name: "evil", Typeflag: tar.TypeFifo}, nil, snapshot.ErrUnsafe},
		"absurd size": {tar.Header{Name: "evil", Typeflag: tar.TypeReg}, func(h []byte) {
			copy(h[124:], "\x80\x00\x00\x00\x0f\xff\xff\xff\xff\xff\xff\x00")
		}, snapshot.ErrDamaged},
		"negative size": {tar.Header{Name: "evil", Typeflag: tar.TypeReg}, func(h []byte) { copy(h[124:], bytes.Repeat([]byte{0xff}, 12)) }, snapshot.ErrDamaged},
		"absurd PAX header": {tar.Header{Name: "evil", Typeflag: tar.TypeReg}, func(h []byte) {
			h[156] = 'x'
			copy(h[124:], "77777777777\x00")
		}, snapshot.ErrDamaged},
	} {
		header := c.header
		whole, small := tarOf(t, dir, &header, c.change), tarOf(t, empty, &header, c.change)
		for kind, put := range kinds {
			t.Run(name+" in "+kind, func(t *testing.T) {
				ref, file := put(t, whole, small)
				s, err := sources.Open(t.Context(), ref, snapshot.Options{CacheDir: t.TempDir()})
				if err == nil {
					err = errors.Join(s.Err(), s.Close())
				}
				// An extended header has no name yet, but a place.
				where := strings.Contains(fmt.Sprint(err), "evil") || strings.Contains(fmt.Sprint(err), "at offset")
				if !errors.Is(err, c.class) || !strings.Contains(err.Error(), file) || !where {
					t.Errorf("err = %v; want class %v, naming %s and evil", err, c.class, file)
				}
			})
		}
	}
}

// What a directory may hold besides files is left out and said so, or refused
// where PostgreSQL keeps data. Nothing of it is opened: a FIFO would hang.
func TestBadInput_HostileDirectory(t *testing.T) {
	for name, c := range map[string]struct {
		make func(name string) error
		at   string
		ok   bool
	}{
		"a device":                     {func(name string) error { return mknod(name, 1, 5) }, "base/5/evil", true},
		"a FIFO":                       {mkfifo, "base/5/evil", true},
		"a FIFO for the configuration": {mkfifo, "postgresql.conf", true},
		"a FIFO for the label":         {mkfifo, "backup_label", false},
		"a link out":                   {func(name string) error { return os.Symlink("/etc/shadow", name) }, "base/5/evil", false},
		"a link upwards":               {func(name string) error { return os.Symlink("../../../../etc", name) }, "base/evil", false},
		"a log elsewhere":              {func(name string) error { return os.Symlink("/var/log", name) }, "log", true},
		"a circle of links":            {func(name string) error { return os.Symlink("evil", name) }, "evil", true},
	} {
		t.Run(name, func(t *testing.T) {
			snapshottest.Need(t, os.Geteuid() == 0, "root")
			dir := cluster(t, nil)
			at := filepath.Join(dir, c.at)
			must(t, os.RemoveAll(at))
			must(t, c.make(at))
			s, err := sources.Open(t.Context(), dir, snapshot.Options{})
			if err == nil {
				defer s.Close()
				err = s.Err()
			}
			if c.ok != (err == nil) || err != nil && (!classed(err) || !strings.Contains(err.Error(), dir)) {
				t.Fatalf("err = %v", err)
			}
			if err != nil || strings.Contains(name, "circle") {
				return
			}
			if _, err := s.Tree.Lstat("data/" + c.at); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is in the tree: %v", err)
			}
			if !strings.Contains(snapshottest.Report(s), c.at) {
				t.Errorf("that it was left out is not said:\n%s", snapshottest.Report(s))
			}
		})
	}
}

func mkfifo(name string) error { return syscall.Mkfifo(name, 0o600) }

func mknod(name string, major, minor uint32) error {
	return syscall.Mknod(name, syscall.S_IFCHR|0o600, int(unix.Mkdev(major, minor)))
}
