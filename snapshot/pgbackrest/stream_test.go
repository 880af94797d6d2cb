package pgbackrest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
)

// A fakeStore is a store in memory that counts what is read.
type fakeStore struct {
	objects map[string][]byte
	counter snapshot.Counter
	fail    error // of every read, if set
}

func (s *fakeStore) Open(_ context.Context, name string) (objects.Object, error) {
	b, ok := s.objects[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &fakeObject{s, bytes.NewReader(b)}, nil
}

func (s *fakeStore) List(context.Context, string) ([]objects.Entry, error) {
	return nil, errors.ErrUnsupported
}
func (s *fakeStore) String() string { return "memory" }
func (s *fakeStore) Close() error   { return nil }

type fakeObject struct {
	s *fakeStore
	*bytes.Reader
}

func (o *fakeObject) ReadAt(p []byte, off int64) (int, error) {
	if o.s.fail != nil {
		return 0, o.s.fail
	}
	n, err := o.Reader.ReadAt(p, off)
	o.s.counter.Add(n)
	return n, err
}
func (o *fakeObject) Size() int64           { return o.Reader.Size() }
func (o *fakeObject) Changed() time.Time    { return time.Time{} }
func (o *fakeObject) Prefetch(int64, int64) {}

// text is data that compresses to about a third.
func text(size int) []byte {
	rnd := rand.New(rand.NewPCG(3, 3))
	b := make([]byte, size)
	for i := range b {
		if i < 1<<18 {
			b[i] = byte(rnd.IntN(6))
		} else {
			b[i] = b[i-1<<18] + byte(i>>18)
		}
	}
	return b
}

func compress(t testing.TB, name string, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch name {
	case "gz":
		w, _ = gzip.NewWriterLevel(&out, 1)
	case "lz4":
		w = lz4.NewWriter(&out)
	case "zst":
		w, _ = zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedFastest))
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// newTestStream makes a stream of data in the store, under a cache.
func newTestStream(t testing.TB, store *fakeStore, cacheDir, codec string, plain []byte) (*vault, *stream) {
	t.Helper()
	c, err := findCodec(codec)
	if err != nil {
		t.Fatal(err)
	}
	v := newVault(t.Context(), store, snapshot.Options{CacheDir: cacheDir})
	sum := sha1.Sum(plain)
	p := piece{object: "x", size: int64(len(store.objects["x"])), coding: &coding{codec: c}}
	return v, newStream(v, p, int64(len(plain)), &sum)
}

func readRandom(s *stream, plain []byte, seed uint64, n int) error {
	rnd := rand.New(rand.NewPCG(seed, 9))
	for range n {
		off := rnd.IntN(len(plain))
		p := make([]byte, min(1+rnd.IntN(300_000), len(plain)-off))
		if k, err := s.ReadAt(p, int64(off)); k < len(p) || err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p, plain[off:off+k]) {
			return fmt.Errorf("%d bytes at %d: got %d, %w", len(p), off, k, err)
		}
	}
	return nil
}

func TestStream_ReadsAtRandom(t *testing.T) {
	plain := text(2 << 20)
	for _, codec := range []string{"gz", "lz4", "zst"} {
		store := &fakeStore{objects: map[string][]byte{"x": compress(t, codec, plain)}}
		dir := t.TempDir()
		v, s := newTestStream(t, store, dir, codec, plain)
		var readers sync.WaitGroup
		for g := range 4 {
			readers.Go(func() {
				if err := readRandom(s, plain, uint64(g), 20); err != nil {
					t.Errorf("%s: %v", codec, err)
				}
			})
		}
		readers.Wait()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: after Close: %v", codec, err)
		}
		// the file is whole in the cache: the store is not read again
		before := store.counter.Load()
		v, s = newTestStream(t, store, dir, codec, plain)
		if err := readRandom(s, plain, 99, 20); err != nil {
			t.Errorf("%s: %v", codec, err)
		}
		if n := store.counter.Load() - before; n != 0 {
			t.Errorf("%s: %d bytes read though the file is in the cache", codec, n)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Only what was asked for is decoded, and kept for the next time.
func TestStream_DecodesAsFarAsAskedFor(t *testing.T) {
	plain := text(6 << 20)
	store := &fakeStore{objects: map[string][]byte{"x": compress(t, "gz", plain)}}
	dir := t.TempDir()
	v, s := newTestStream(t, store, dir, "gz", plain)
	v.streams.keep = 2 << 20
	page := make([]byte, 8192)
	read := func(off int) {
		t.Helper()
		if _, err := s.ReadAt(page, int64(off)); err != nil || !bytes.Equal(page, plain[off:off+len(page)]) {
			t.Fatalf("at %d: %v", off, err)
		}
	}
	read(0)
	if n := store.counter.Load(); n > 1<<20 {
		t.Errorf("%d bytes read for the first page", n)
	}
	read(4 << 20)
	if n := store.counter.Load(); n > int64(len(store.objects["x"]))*5/6+1<<19 {
		t.Errorf("%d bytes read up to the middle", n)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v, s = newTestStream(t, store, dir, "gz", plain)
	before := store.counter.Load()
	read(3 << 20)
	if n := store.counter.Load() - before; n != 0 {
		t.Errorf("%d bytes read for what was decoded before", n)
	}
	read(len(plain) - len(page)) // all of it
	read(1 << 20)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStream_NoticesDamage(t *testing.T) {
	plain := text(2 << 20)
	packed := compress(t, "gz", plain)
	page := make([]byte, 8192)
	for what, c := range map[string]struct {
		stored []byte
		size   int
	}{
		"cut short":      {packed[:len(packed)/2], len(plain)},
		"one bit":        {func() []byte { b := bytes.Clone(packed); b[len(b)/2] ^= 4; return b }(), len(plain)},
		"checksum cut":   {packed[:len(packed)-3], len(plain)},
		"another size":   {packed, len(plain) - 8192},
		"larger":         {packed, len(plain) + 8192},
		"another":        {compress(t, "gz", text(2<<20 + 1)[1:]), len(plain)},
		"no gzip at all": {plain, len(plain)},
		"gone":           {nil, len(plain)},
	} {
		store := &fakeStore{objects: map[string][]byte{}}
		if c.stored != nil {
			store.objects["x"] = c.stored
		}
		dir := t.TempDir()
		v, s := newTestStream(t, store, dir, "gz", plain)
		s.size, s.p.size = int64(c.size), int64(len(c.stored))
		at := int64(c.size - len(page))
		for range 2 {
			if _, err := s.ReadAt(page, at); !errors.Is(err, snapshot.ErrDamaged) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
			t.Errorf("%s: left in the cache: %v, %v", what, list, err)
		}
	}
}

// A store that fails for a while is asked again.
func TestStream_SurvivesFailuresOfTheStore(t *testing.T) {
	plain := text(2 << 20)
	store := &fakeStore{objects: map[string][]byte{"x": compress(t, "zst", plain)}, fail: errors.New("no answer")}
	v, s := newTestStream(t, store, t.TempDir(), "zst", plain)
	defer v.Close()
	if _, err := s.ReadAt(make([]byte, 10), 1<<20); !errors.Is(err, store.fail) || errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("err = %v", err)
	}
	store.fail = nil
	if err := readRandom(s, plain, 1, 5); err != nil {
		t.Error(err)
	}
}

// More files than may be open at once.
func TestStreams_CloseThoseNotUsed(t *testing.T) {
	plain := text(400 << 10)
	store := &fakeStore{objects: map[string][]byte{"x": compress(t, "lz4", plain)}}
	v, s := newTestStream(t, store, t.TempDir(), "lz4", plain)
	all := []*stream{s}
	for range maxStreams + 10 {
		all = append(all, newStream(v, s.p, s.size, s.sum))
	}
	for range 2 {
		for _, s := range all {
			if err := readRandom(s, plain, 1, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	open := 0
	for _, s := range all {
		if s.kept != nil || s.growing != nil {
			open++
		}
	}
	if open > maxStreams {
		t.Errorf("%d files are open", open)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}
