package xfsfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs/imagefstest"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// A patched reader reads an image with some bytes changed.
type patched struct {
	r       io.ReaderAt
	at      int64
	replace []byte
}

func (p patched) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.r.ReadAt(b, off)
	for i, c := range p.replace {
		if at := p.at + int64(i) - off; at >= 0 && at < int64(n) {
			b[at] = c
		}
	}
	return n, err
}

// A recorder notes what is read.
type recorder struct {
	io.ReaderAt
	mu    sync.Mutex
	spans [][2]int64
}

func (r *recorder) ReadAt(b []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, [2]int64{off, int64(len(b))})
	return r.ReaderAt.ReadAt(b, off)
}

// small makes an image that fits into memory.
func small(t testing.TB) []byte {
	t.Helper()
	image, mount := made(t, "32M", "--unsupported", "-b", "size=1024")
	imagefstest.Mounted(t, mount, image, "noatime", func() {
		imagefstest.Tree(t, mount)
		snapshottest.Run(t, mount, "sh", "-ec", `
			mkdir leaf; (cd leaf; seq -f 'a_name_in_a_directory_that_has_a_leaf_number_%g' 200 | xargs touch)
			for i in $(seq 0 2 900); do echo "fpunch $((i*1024)) 1024"; done | xfs_io large >/dev/null`)
	})
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whichever bit of metadata is wrong, the error says so; no name, size or place
// is ever another one silently.
func TestRead_EveryFlippedBitOfMetadataIsSeen(t *testing.T) {
	needs(t)
	t.Parallel()
	image := small(t)
	size := int64(len(image))
	places := func(r io.ReaderAt) (map[string]string, error) {
		f, err := Open(r, size)
		if err != nil {
			return nil, err
		}
		return skeleton(f)
	}
	whole := &recorder{ReaderAt: bytes.NewReader(image)}
	want, err := places(whole)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(bytes.NewReader(image), size)
	if err != nil {
		t.Fatal(err)
	}
	var spans [][2]int64
	for _, s := range whole.spans {
		// An empty log's end is found by more than one of its sectors.
		if s[0] < f.logStart || s[0] >= f.logStart+f.logSectors*sector {
			spans = append(spans, s)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	begin, seen := time.Now(), 0
	for range 600 {
		s := spans[r.IntN(len(spans))]
		at := s[0] + r.Int64N(s[1])
		got, err := places(patched{bytes.NewReader(image), at, []byte{image[at] ^ 1<<r.IntN(8)}})
		if err == nil && !maps.Equal(got, want) {
			t.Errorf("byte %d: something else is read, without an error", at)
		}
		if err != nil {
			seen++
			if !errors.Is(err, snapshot.ErrDamaged) && !errors.Is(err, snapshot.ErrUnsupported) {
				t.Errorf("byte %d: %v", at, err)
			}
		}
		if time.Since(begin) > 3*time.Second && seen > 100 {
			break // a slow machine looks at fewer
		}
	}
	if seen < 100 {
		t.Errorf("only %d errors: the test tests nothing", seen)
	}
}

// skeleton is all that is in a file system but the contents of files.
func skeleton(f *FS) (map[string]string, error) {
	got := map[string]string{}
	seen := map[uint64]bool{}
	var below func(n imagefs.Node, at string) error
	below = func(n imagefs.Node, at string) error {
		got[at] = fmt.Sprint(n.Attr())
		if n.Attr().Mode.IsDir() && seen[n.Attr().Number] {
			return damaged("a directory twice")
		}
		seen[n.Attr().Number] = true
		switch mode := n.Attr().Mode; {
		case mode.IsDir():
			return n.ReadDir(func(d imagefs.Dirent) error {
				n, err := f.Node(d.Number)
				if err != nil {
					return err
				}
				return below(n, at+"/"+d.Name)
			})
		case mode.IsRegular():
			c := n.Content()
			if _, err := c.ReadAt(make([]byte, 4096), n.Attr().Size/2); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			list, err := c.Extents()
			for _, e := range list {
				got[at] += fmt.Sprint(e)
			}
			return err
		case mode&os.ModeSymlink != 0:
			target, err := n.Readlink()
			got[at] += target
			return err
		}
		return nil
	}
	root, err := f.Root()
	if err == nil {
		err = below(root, "")
	}
	return got, err
}

// ofVersion4 is an image with a log to replay, and what a kernel made of it.
func ofVersion4(t testing.TB) (image []byte, want map[string]string) {
	t.Helper()
	file, err := os.Open("testdata/v4-dirty.img.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := zstd.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if image, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile("testdata/v4-dirty.txt")
	if err != nil {
		t.Fatal(err)
	}
	want = map[string]string{}
	for line := range strings.Lines(string(list)) {
		name, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		want[name] = text
	}
	return image, want
}

func TestReplay_Version4(t *testing.T) {
	image, want := ofVersion4(t)
	f, err := Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := imagefstest.Walk(f)
	if err != nil {
		t.Fatal(err)
	}
	imagefstest.Compare(t, got, want)
	if f.v5 || f.Replayed().Pieces < 100 || len(want) < 200 {
		t.Errorf("version 5: %v, %+v, %d names: the test tests nothing", f.v5, f.Replayed(), len(want))
	}
}

// Whatever bytes a file system has, reading it ends, with an error or not. The
// image is of version 4 and its records bear no checksums, so that what is
// changed gets past the first look.
func FuzzRead(f *testing.F) {
	image, _ := ofVersion4(f)
	var pages []int64
	for at := int64(0); at < int64(len(image)); at += 4096 {
		if len(bytes.Trim(image[at:at+4096], "\x00")) > 0 {
			pages = append(pages, at)
		}
	}
	fs := &FS{r: bytes.NewReader(image), size: int64(len(image))}
	if err := fs.superblock(); err != nil {
		f.Fatal(err)
	}
	for at := fs.logStart; at < fs.logStart+fs.logSectors*sector; at += sector {
		if be.Uint32(image[at:]) == magicRecord {
			clear(image[at+32 : at+36])
		}
	}
	f.Add(uint16(0), uint16(100), []byte{0x34, 0xb5}, uint16(9), uint16(4), []byte{0, 1})
	f.Add(uint16(5), uint16(12), []byte{0xff, 0xff}, uint16(40), uint16(600), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint16(20), uint16(530), []byte{0x10}, uint16(30), uint16(76), []byte{0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, page1, at1 uint16, change1 []byte, page2, at2 uint16, change2 []byte) {
		var r io.ReaderAt = bytes.NewReader(image)
		r = patched{r, pages[int(page1)%len(pages)] + int64(at1%4096), change1}
		r = patched{r, pages[int(page2)%len(pages)] + int64(at2%4096), change2}
		if fs, err := Open(r, int64(len(image))); err == nil {
			skeleton(fs) //nolint:errcheck // that it ends is what is tested
		}
	})
}
