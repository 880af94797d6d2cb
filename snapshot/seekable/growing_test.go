package seekable

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// What was appended can be read at once, and the finished file by NewReader.
func TestGrowing_ReadsWhatIsThere(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := NewGrowing(f, []byte("tag"), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	rnd := rand.New(rand.NewPCG(5, 5))
	want := make([]byte, 5*FrameSize+1234)
	for i := range want {
		want[i] = byte(rnd.IntN(4))
	}
	check := func(r io.ReaderAt, n int) {
		t.Helper()
		got := make([]byte, n+1)
		k, err := r.ReadAt(got, 0)
		if k != n || err != io.EOF || !bytes.Equal(got[:k], want[:n]) {
			t.Fatalf("read %d bytes of %d: %v", k, n, err)
		}
	}
	for off := 0; off < len(want); off += FrameSize {
		end := min(off+FrameSize, len(want))
		if err := g.Append(want[off:end]); err != nil {
			t.Fatal(err)
		}
		check(g, end)
	}
	if err := g.Append(want[:1]); err == nil {
		t.Error("a frame behind a short one was taken")
	}
	if err := g.Finish(); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(f, info.Size(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	check(r, len(want))
	if string(r.Tag()) != "tag" {
		t.Errorf("tag %q", r.Tag())
	}
}
