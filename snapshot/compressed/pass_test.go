package compressed

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/tarheaders"
)

// object is a file in memory.
type object struct {
	io.ReaderAt
	size int64
}

func (o object) Size() int64         { return o.size }
func (object) Changed() time.Time    { return time.Time{} }
func (object) Prefetch(off, n int64) {}

func newPass(t *testing.T, size int64) *pass {
	t.Helper()
	headers, err := tarheaders.NewRecorder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(headers.Stop)
	return &pass{ctx: t.Context(), f: object{bytes.NewReader(nil), size}, name: "bomb", codec: &codecs[0], headers: headers}
}

// What expands beyond reason is ended; a large backup of little is not.
func TestPass_EndsABomb(t *testing.T) {
	head := make([]byte, 512)
	copy(head[257:], "ustar")
	for name, c := range map[string]struct {
		size, out int64
		bad       bool
	}{
		"small":           {100, 1 << 30, false},
		"zeros":           {1 << 30, 1 << 40, false},
		"a bomb":          {1 << 20, 5 << 30, true},
		"an endless file": {1 << 50, 1 << 48, true},
	} {
		s := newPass(t, c.size)
		if err := s.data(head); err != nil {
			t.Fatal(err)
		}
		s.out = c.out
		err := s.data(make([]byte, 512))
		if c.bad != errors.Is(err, snapshot.ErrUnsafe) || err != nil && !strings.Contains(err.Error(), "bomb") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPass_KnowsATarInAnyPieces(t *testing.T) {
	head := make([]byte, 1024)
	copy(head[257:], "ustar")
	for _, step := range []int{1, 100, 511, 512, 1024} {
		good, bad := newPass(t, 1000), newPass(t, 1000)
		var err error
		for at := 0; at < 1024; at += step {
			end := min(at+step, 1024)
			if err := good.data(head[at:end]); err != nil {
				t.Errorf("steps of %d: %v", step, err)
			}
			if err == nil {
				err = bad.data(make([]byte, end-at))
			}
		}
		if !errors.Is(err, snapshot.ErrNotABackup) {
			t.Errorf("zeros in steps of %d: %v", step, err)
		}
	}
}

func TestHead_OfAnyCompression(t *testing.T) {
	want := bytes.Repeat([]byte("the beginning of a tar "), 5000)
	file := filepath.Join(t.TempDir(), "x")
	for _, program := range []string{"cat", "gzip", "lz4 -BD", "zstd", "bzip2", "xz"} {
		args := strings.Fields(program)
		c := exec.Command(snapshottest.Tool(t, args[0]), args[1:]...)
		c.Stdin = bytes.NewReader(want)
		packed, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, packed, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 1000, len(want), len(want) + 10} {
			got, err := Head(bytes.NewReader(packed), n)
			if err != nil || !bytes.Equal(got, want[:min(n, len(want))]) {
				t.Errorf("%s: %d bytes of %d, %v", program, len(got), n, err)
			}
		}
	}
}

func TestXZDictionary(t *testing.T) {
	for level, want := range map[string]int64{"-0": 256 << 10, "-6": 8 << 20, "-9": 64 << 20, "--lzma2=dict=192MiB": 192 << 20} {
		c := exec.Command(snapshottest.Tool(t, "xz"), level, "-T2", "-c")
		c.Stdin = bytes.NewReader(make([]byte, 10_000))
		packed, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := xzDictionary(packed); got != want {
			t.Errorf("%s: %d, want %d", level, got, want)
		}
		if _, err := Head(bytes.NewReader(packed), 10); (err != nil) != (want > maxWindow) {
			t.Errorf("%s: %v", level, err)
		}
	}
	if got := xzDictionary(bytes.Repeat([]byte{0xff}, 100)); got != 0 {
		t.Errorf("of garbage: %d", got)
	}
}

// A disk that is too full for the copy is noticed before the pass.
func TestEntry_NeedsRoom(t *testing.T) {
	store, err := cache.Open(t.TempDir(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		codec int
		size  int64
		ok    bool
	}{{0, 1 << 20, true}, {0, 1 << 30, false}, {3, 1 << 20, false}, {3, 1 << 15, true}} {
		e := &entry{f: object{nil, c.size}, name: "base.tar", codec: &codecs[c.codec], t: &Opener{
			store: store, free: func(string) (int64, bool) { return 100_000, true },
		}}
		if err := e.room(); (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "--cache-dir") {
			t.Errorf("%s of %d bytes: %v", e.codec.what(), c.size, err)
		}
	}
	if free, ok := freeBytes(store.Dir()); !ok || free <= 0 {
		t.Errorf("%d bytes free here, %v", free, ok)
	}
}
