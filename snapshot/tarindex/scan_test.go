package tarindex_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/tarindex"
)

func scan(b []byte) ([]tarindex.Member, tarindex.Result, error) {
	var list []tarindex.Member
	res, err := tarindex.Scan(context.Background(), bytes.NewReader(b), int64(len(b)), "test.tar", func(m tarindex.Member) error {
		list = append(list, m)
		return nil
	})
	return list, res, err
}

// Real tars of every format that GNU tar writes: each file must read as it is
// on disk.
func TestScan_RealTar(t *testing.T) {
	program := snapshottest.Tool(t, "tar")
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	long := strings.Repeat("d", 90) + "/" + strings.Repeat("e", 200) + "/" + strings.Repeat("f", 255)
	files := map[string]int64{"empty": 0, "one": 1, "block": 512, "more": 100_001, long: 700, strings.Repeat("d", 90) + "/" + strings.Repeat("g", 95): 5}
	for name, size := range files {
		p := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rand.Int())
		}
		if err := os.WriteFile(p, b, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	// a sparse file with more parts than an old GNU header and one extension hold
	f, err := os.Create(filepath.Join(src, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(40) {
		if _, err := f.WriteAt(fmt.Appendf(nil, "part %d", i), i*100_000); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(9_000_001), f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("one", filepath.Join(src, "link")), os.Link(filepath.Join(src, "more"), filepath.Join(src, "zz-hard"))); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--format=gnu"},
		{"--format=gnu", "--sparse"},
		{"--format=pax"},
		{"--format=pax", "--sparse", "--sparse-version=0.0"},
		{"--format=pax", "--sparse", "--sparse-version=0.1"},
		{"--format=pax", "--sparse", "--sparse-version=1.0"},
		{"--format=ustar", "--exclude=*/eee*"},
		{"--format=v7", "--exclude=ddd*"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "t.tar")
			snapshottest.Run(t, src, program, append(args, "--sort=name", "-cf", out, ".")...)
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			members, res, err := scan(b)
			if err != nil {
				t.Fatal(err)
			}
			if !res.EndMark {
				t.Error("no end mark seen")
			}
			seen := map[string]bool{}
			for _, m := range members {
				seen[m.Name] = true
				compare(t, filepath.Join(src, m.Name), &m, b)
			}
			for _, name := range []string{"empty", "one", "more", "sparse", "link", "zz-hard", "."} {
				if !seen[name] {
					t.Errorf("%s was not found", name)
				}
			}
			if !seen[long] && !strings.Contains(args[len(args)-1], "exclude") {
				t.Error("the long name was not found")
			}
		})
	}
}

// compare reads a member as a whole and in pieces.
func compare(t *testing.T, file string, m *tarindex.Member, archive []byte) {
	t.Helper()
	switch m.Type {
	case tarindex.Symlink:
		if want, err := os.Readlink(file); err != nil || m.Link != want {
			t.Errorf("%s -> %q, want %q (%v)", m.Name, m.Link, want, err)
		}
	case tarindex.Hardlink:
		if m.Link != "more" && m.Link != "zz-hard" {
			t.Errorf("%s is a hard link to %q", m.Name, m.Link)
		}
	case tarindex.File:
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if m.Size != int64(len(want)) || m.Perm != uint32(info.Mode().Perm()) || m.ModTime.Unix() != info.ModTime().Unix() {
			t.Errorf("%s: size %d, mode %o, time %v; want %d, %o, %v", m.Name, m.Size, m.Perm, m.ModTime, len(want), info.Mode(), info.ModTime())
		}
		c := m.Content(bytes.NewReader(archive))
		got, err := io.ReadAll(io.NewSectionReader(c, 0, m.Size))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes (%v)", m.Name, err)
		}
		for range 20 {
			if len(want) == 0 {
				break
			}
			off := rand.IntN(len(want))
			n := min(1+rand.IntN(8192), len(want)-off)
			p := bytes.Repeat([]byte{0xaa}, n)
			if _, err := c.ReadAt(p, int64(off)); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p, want[off:off+n]) {
				t.Errorf("%s: %d bytes at %d differ (%v)", m.Name, n, off, err)
			}
		}
	}
}

// archive makes a tar of one member and lets the caller damage its header.
func archive(t *testing.T, h tar.Header, data string, change func(b []byte)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	h.Size = int64(len(data))
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()
	if change != nil {
		change(b)
	}
	return b
}

// reseal computes the checksum of the header block at b anew.
func reseal(b []byte) {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func TestScan_RefusesHostileInput(t *testing.T) {
	file := tar.Header{Name: "file", Typeflag: tar.TypeReg, Mode: 0o600, Format: tar.FormatGNU}
	named := func(name string) tar.Header { h := file; h.Name = name; return h }
	for _, c := range []struct {
		name   string
		header tar.Header
		change func(b []byte)
		class  error
	}{
		{"dots", named("../file"), nil, snapshot.ErrUnsafe},
		{"dots inside", named("a/../../file"), nil, snapshot.ErrUnsafe},
		{"absolute", named("/etc/passwd"), nil, snapshot.ErrUnsafe},
		{"wrong checksum", file, func(b []byte) { b[0] ^= 1 }, snapshot.ErrDamaged},
		{"size beyond the end", file, func(b []byte) { copy(b[124:], "77777777777\x00"); reseal(b) }, snapshot.ErrDamaged},
		{"size negative", file, func(b []byte) { copy(b[124:], bytes.Repeat([]byte{0xff}, 12)); reseal(b) }, snapshot.ErrDamaged},
		{"size of 90 bits", file, func(b []byte) { copy(b[124:], "\x80\x7fxxxxxxxxxx"); reseal(b) }, snapshot.ErrDamaged},
		{"character device", file, func(b []byte) { b[156] = '3'; reseal(b) }, snapshot.ErrUnsafe},
		{"block device", file, func(b []byte) { b[156] = '4'; reseal(b) }, snapshot.ErrUnsafe},
		{"FIFO", file, func(b []byte) { b[156] = '6'; reseal(b) }, snapshot.ErrUnsafe},
		{"unknown type", file, func(b []byte) { b[156] = 'Q'; reseal(b) }, snapshot.ErrUnsupported},
		{"hard link out", tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../x"}, nil, snapshot.ErrUnsafe},
		{"giant PAX header", file, func(b []byte) { b[156] = 'x'; copy(b[124:], "77777777777\x00"); reseal(b) }, snapshot.ErrDamaged},
		{"PAX garbage", file, func(b []byte) { b[156] = 'x'; reseal(b) }, snapshot.ErrDamaged},
		{"sparse map too long", file, func(b []byte) {
			b[156] = 'S'
			copy(b[386:], "00000000000\x0077777777777\x00")
			copy(b[483:], "00000001000\x00")
			reseal(b)
		}, snapshot.ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := strings.Repeat("some data ", 100)
			if c.header.Typeflag == tar.TypeLink {
				data = ""
			}
			if _, _, err := scan(archive(t, c.header, data, c.change)); !errors.Is(err, c.class) {
				t.Errorf("err = %v, want class %v", err, c.class)
			}
		})
	}
}

// A tar cut anywhere is an error that says where, or ends without its mark.
func TestScan_CutShort(t *testing.T) {
	b := archive(t, tar.Header{Name: "dir/file", Typeflag: tar.TypeReg, Mode: 0o600}, strings.Repeat("x", 1500), nil)
	for _, n := range []int{1, 511, 513, 1024, 512 + 1499} {
		if _, _, err := scan(b[:n]); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", n, err)
		} else if n > 512 && !strings.Contains(err.Error(), "dir/file") {
			t.Errorf("cut to %d bytes, and the member is not named: %v", n, err)
		}
	}
	if _, res, err := scan(b[:2048]); err != nil || res.EndMark {
		t.Errorf("cut after the member: %+v, %v", res, err)
	}
}

// The scan reads headers only.
func TestScan_ReadsHeadersOnly(t *testing.T) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := range 50 {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint("f", i), Size: 1 << 20, Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var c snapshot.Counter
	res, err := tarindex.Scan(context.Background(), c.Reader(bytes.NewReader(buf.Bytes())), int64(buf.Len()), "t", func(tarindex.Member) error { return nil })
	if err != nil || res.Members != 50 || c.Load() != 51*512 {
		t.Errorf("%+v, %v, %d bytes read", res, err, c.Load())
	}
}

func FuzzScan(f *testing.F) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	_ = w.WriteHeader(&tar.Header{Name: strings.Repeat("n", 150), Size: 3, Format: tar.FormatPAX, PAXRecords: map[string]string{"X.y": "z"}})
	_, _ = w.Write([]byte("abc"))
	_ = w.WriteHeader(&tar.Header{Name: strings.Repeat("m", 300), Format: tar.FormatGNU, Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("l", 200)})
	_ = w.Close()
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		members, _, _ := scan(b)
		for _, m := range members {
			if m.Size < 0 || !(m.Name == "." || !strings.HasPrefix(m.Name, "/")) {
				t.Fatalf("%+v", m)
			}
			c := m.Content(bytes.NewReader(b))
			p := make([]byte, 600)
			for _, off := range []int64{0, 1, m.Size / 2, max(0, m.Size-1)} {
				if off < m.Size && off < math.MaxInt64-600 {
					if _, err := c.ReadAt(p, off); err != nil && !errors.Is(err, io.EOF) {
						t.Fatalf("%+v: %v", m, err)
					}
				}
			}
		}
	})
}
