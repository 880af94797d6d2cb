package seekable_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/snapview/snapview/snapshot/seekable"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// sample makes data that compresses somewhat.
func sample(n int) []byte {
	b := make([]byte, n)
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(rnd.IntN(16))
	}
	return b
}

func write(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	n, err := seekable.Write(&out, bytes.NewReader(data), []byte("tag"))
	if err != nil || n != int64(len(data)) {
		t.Fatalf("%d, %v", n, err)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, seekable.FrameSize - 1, seekable.FrameSize, seekable.FrameSize + 1, 1_000_003} {
		data := sample(n)
		file := write(t, data)
		r, err := seekable.NewReader(bytes.NewReader(file), int64(len(file)), 2)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.Size() != int64(n) || string(r.Tag()) != "tag" {
			t.Errorf("size %d of %d, tag %q", r.Size(), n, r.Tag())
		}
		if n < 2*seekable.FrameSize {
			if err := iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), data); err != nil {
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					if n == 0 {
						return
					}
					off := rand.IntN(n)
					p := make([]byte, min(n-off, 1+rand.IntN(300_000)))
					if _, err := r.ReadAt(p, int64(off)); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p, data[off:off+len(p)]) {
						t.Errorf("%d bytes at %d differ (%v)", len(p), off, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// The real zstd reads the file as a whole.
func TestWrite_IsZstandard(t *testing.T) {
	data := sample(700_000)
	name := filepath.Join(t.TempDir(), "x.zst")
	if err := os.WriteFile(name, write(t, data), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := snapshottest.Run(t, "/", snapshottest.Tool(t, "zstd"), "-dcq", name); got != string(data) {
		t.Error("zstd reads other bytes")
	}
}

func TestReader_NoticesDamage(t *testing.T) {
	want := sample(500_000)
	file := write(t, want)
	for i := 0; i < len(file); i += 1009 {
		bad := bytes.Clone(file)
		bad[i] ^= 0x10
		r, err := seekable.NewReader(bytes.NewReader(bad), int64(len(bad)), 2)
		if err == nil {
			var got []byte
			got, err = io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
			if err == nil && !bytes.Equal(got, want) { // the tag may differ
				t.Errorf("byte %d flipped: read without an error", i)
			}
			r.Close()
		}
		if err != nil && !errors.Is(err, seekable.ErrDamaged) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	for _, n := range []int{0, 5, 100, len(file) / 2, len(file) - 1} {
		if _, err := seekable.NewReader(bytes.NewReader(file[:n]), int64(n), 2); !errors.Is(err, seekable.ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestWrite_PassesErrorsOn(t *testing.T) {
	bad := errors.New("bad disk")
	if _, err := seekable.Write(io.Discard, io.MultiReader(bytes.NewReader(sample(300_000)), iotest.ErrReader(bad)), nil); !errors.Is(err, bad) {
		t.Errorf("reading: %v", err)
	}
	if _, err := seekable.Write(io.Discard, iotest.ErrReader(io.ErrUnexpectedEOF), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream cut short: %v", err)
	}
	if _, err := seekable.Write(failingWriter{bad}, bytes.NewReader(sample(3_000_000)), nil); !errors.Is(err, bad) {
		t.Errorf("writing: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func FuzzReader(f *testing.F) {
	f.Add(write(f, []byte("some data")))
	z, _ := zstd.NewWriter(nil)
	f.Add(z.EncodeAll([]byte("x"), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := seekable.NewReader(bytes.NewReader(b), int64(len(b)), 2)
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = r.ReadAt(make([]byte, 1000), 0)
		_, _ = r.ReadAt(make([]byte, 1000), r.Size()/2)
	})
}
