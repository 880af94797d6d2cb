package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/block/blocktest"
	"github.com/snapview/snapview/ext4"
)

// What the image asks of the files of its tree, and what it makes of their
// answers.

// recorder is a file that notes what is asked of it, and can be told to fail.
type recorder struct {
	openFile
	mu       sync.Mutex
	reads    [][2]int64
	prefetch chan [2]int64
	fail     error
	closed   *atomic.Int64
}

func (r *recorder) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	r.reads = append(r.reads, [2]int64{off, int64(len(p))})
	fail := r.fail
	r.mu.Unlock()
	if fail != nil {
		return 0, fail
	}
	return r.openFile.ReadAt(p, off)
}

func (r *recorder) Close() error {
	if r.closed != nil {
		r.closed.Add(1)
	}
	return nil
}

func (r *recorder) Prefetch(off, n int64) { r.prefetch <- [2]int64{off, n} }

func (r *recorder) MapFile(off, n int64) (block.FileRange, func(), bool) {
	return block.FileRange{FD: 7, Offset: 1000 + off, Length: 1 << 40}, func() {}, off != 13
}

func (r *recorder) Extents(off, n int64, yield func(block.Extent) bool) error {
	for end := off + n; off < end; { // every second MiB is a hole
		part := min(end, (off>>20+1)<<20) - off
		e := block.Extent{Offset: off, Length: part, State: block.ExtentHeld}
		if off>>20%2 == 1 {
			e.State |= block.ExtentZero
		}
		if !yield(e) {
			return nil
		}
		off += part
	}
	return nil
}

// recorded returns an image of one file of size bytes, and that file.
func recorded(t *testing.T, size int64) (*ext4.Image, *recorder) {
	t.Helper()
	tree := newSynth(map[string]*file{"dir/file": {size: size, sys: sparse(true)}})
	r := &recorder{openFile: openFile{file: tree.byPath["dir/file"]}, prefetch: make(chan [2]int64, 1)}
	tree.opened = func(p string) fs.File {
		if p == "dir/file" {
			return r
		}
		return nil
	}
	return newImage(t, tree, small), r
}

func TestReadAt_ReadsAFileInOneCall(t *testing.T) {
	m, r := recorded(t, 8<<20)
	data := m.Layout().MetadataBytes
	if _, err := m.ReadAt(make([]byte, 1<<20), data+12345); err != nil {
		t.Fatal(err)
	}
	if len(r.reads) != 1 || r.reads[0] != [2]int64{12345, 1 << 20} {
		t.Errorf("reads of the file: %v, want one of 1 MiB at 12345", r.reads)
	}
	p := make([]byte, 1<<20)
	if n := testing.AllocsPerRun(100, func() { m.ReadAt(p, data+4096) }); n > 1 { // 1: the recorder's
		t.Errorf("%v allocations for a read", n)
	}
}

func TestReadAt_ReadsNoFileForMetadataAndFreeSpace(t *testing.T) {
	m, r := recorded(t, 8<<20)
	l := m.Layout()
	if _, err := m.ReadAt(make([]byte, l.MetadataBytes), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReadAt(make([]byte, 1<<20), l.MetadataBytes+l.DataBytes); err != nil {
		t.Fatal(err)
	}
	if len(r.reads) != 0 {
		t.Errorf("the file was read: %v", r.reads)
	}
}

func TestReadAt_NamesTheFileThatFails(t *testing.T) {
	m, r := recorded(t, 8<<20)
	at := m.Layout().MetadataBytes + 8192
	r.fail = errors.New("backup server is gone")
	_, err := m.ReadAt(make([]byte, 4096), at)
	if !errors.Is(err, r.fail) || !strings.Contains(err.Error(), `"dir/file"`) || !strings.Contains(err.Error(), "8192") {
		t.Errorf("error without cause, path or offset: %v", err)
	}
	r.fail = nil
	if _, err := m.ReadAt(make([]byte, 4096), at); err != nil {
		t.Errorf("the next read fails too: %v", err)
	}
}

func TestReadAt_OfAFileThatShrank(t *testing.T) {
	m, r := recorded(t, 8<<20)
	r.openFile.file = &file{size: 10_000}
	n, err := m.ReadAt(make([]byte, 8192), m.Layout().MetadataBytes+8192)
	if n != 10_000-8192 || !errors.Is(err, ext4.ErrSourceChanged) || errors.Is(err, io.EOF) ||
		!strings.Contains(err.Error(), `"dir/file"`) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestReadAt_OfAFileThatGrew(t *testing.T) {
	m, r := recorded(t, 5000)
	r.openFile.file = &file{data: bytes.Repeat([]byte{1}, 8192)}
	p := make([]byte, 8192)
	if _, err := m.ReadAt(p, m.Layout().MetadataBytes); err != nil {
		t.Fatal(err)
	}
	if p[4999] != 1 || len(bytes.Trim(p[5000:], "\x00")) > 0 {
		t.Error("bytes past the size it had are not zeros")
	}
}

func TestMapFile(t *testing.T) {
	m, _ := recorded(t, 8<<20)
	data := m.Layout().MetadataBytes
	r, release, ok := m.MapFile(data+4096, 1<<30)
	if !ok || r.FD != 7 || r.Offset != 5096 || r.Length != 8<<20-4096 {
		t.Errorf("%+v, %v", r, ok)
	} else {
		release()
	}
	for _, off := range []int64{0, data + 13, data + 8<<20} {
		if _, _, ok := m.MapFile(off, 4096); ok {
			t.Errorf("byte %d is said to lie in a file", off)
		}
	}
}

func TestPrefetch(t *testing.T) {
	m, r := recorded(t, 8<<20)
	data := m.Layout().MetadataBytes
	m.Prefetch(data-4096, 8192)
	select {
	case got := <-r.prefetch:
		if got != [2]int64{0, 4096} {
			t.Errorf("prefetch of %v", got)
		}
	case <-time.After(time.Minute):
		t.Fatal("the file was not told")
	}
	m.Prefetch(0, 4096)
	m.Prefetch(-5, 4096)
	m.Prefetch(m.Size()-1, 1<<62)
	m.Prefetch(data, 1<<63-1)
	select {
	case got := <-r.prefetch:
		if got != [2]int64{0, 8 << 20} {
			t.Errorf("prefetch of everything was %v", got)
		}
	case <-time.After(time.Minute):
		t.Fatal("the file was not told")
	}
}

func TestExtents_ShowHolesAndFreeSpace(t *testing.T) {
	m, _ := recorded(t, 8<<20)
	l := m.Layout()
	zero, held := int64(0), int64(0)
	m.Extents(0, m.Size(), func(e block.Extent) bool {
		switch e.State {
		case block.ExtentZero:
			zero += e.Length
		case 0:
			held += e.Length
		default:
			t.Errorf("state %d", e.State)
		}
		return true
	})
	if zero < l.FreeBytes+4<<20 || held < 4<<20 || held > 5<<20 {
		t.Errorf("%d bytes of zeros, %d of others in %+v", zero, held, l)
	}
	blocktest.TestReader(t, func(*testing.T) block.Reader { return m })
}

func TestOpenFilesAreBoundedAndAllClosed(t *testing.T) {
	var opened, closed, most atomic.Int64
	files := map[string]*file{}
	for i := range 200 {
		files[fmt.Sprint(i)] = &file{data: []byte(fmt.Sprint("content of ", i))}
	}
	tree := newSynth(files)
	tree.opened = func(p string) fs.File {
		now := opened.Add(1) - closed.Load()
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		return &recorder{openFile: openFile{file: tree.byPath[p]}, closed: &closed}
	}
	m := newImage(t, tree, ext4.Options{FreeBytes: 1 << 20, FreeInodes: 10, OpenFiles: 10})
	data := m.Layout().MetadataBytes
	const readers = 8
	var wg sync.WaitGroup
	for g := range readers {
		wg.Go(func() {
			p := make([]byte, 30)
			for i := range int64(600) {
				off := (i*7 + int64(g)*31) % 200 * 4096
				name, _, _ := m.PathAt(data + off)
				if _, err := m.ReadAt(p, data+off); err != nil {
					t.Error(err)
					return
				}
				if got := string(bytes.TrimRight(p, "\x00")); got != "content of "+name {
					t.Errorf("%s has %q", name, got)
					return
				}
			}
		})
	}
	wg.Wait()
	// A file is counted as open while it waits to be closed or is read.
	if most.Load() > 10+2*readers {
		t.Errorf("%d files were open at once, want at most 10 and those in use", most.Load())
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if opened.Load() != closed.Load() {
		t.Errorf("%d files opened, %d closed", opened.Load(), closed.Load())
	}
	for range 2 {
		if _, err := m.ReadAt(make([]byte, 1), data); !errors.Is(err, os.ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
		if err := m.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
	}
}

func TestReadAt_OfAFileThatCannotBeOpenedForAWhile(t *testing.T) {
	tree := newSynth(map[string]*file{"f": {data: []byte("there")}})
	m := newImage(t, tree, small)
	kept := tree.byPath["f"]
	delete(tree.byPath, "f")
	p := make([]byte, 5)
	_, err := m.ReadAt(p, m.Layout().MetadataBytes)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `"f"`) {
		t.Errorf("%v", err)
	}
	tree.byPath["f"] = kept
	if _, err := m.ReadAt(p, m.Layout().MetadataBytes); err != nil || string(p) != "there" {
		t.Errorf("%q, %v", p, err)
	}
}
