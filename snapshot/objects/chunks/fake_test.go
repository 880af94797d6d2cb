package chunks_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/chunks"
)

// A fake is a store in memory that counts requests and can fail them.
type fake struct {
	mu       sync.Mutex
	data     map[string][]byte
	tag      string
	requests int
	bytes    int64
	fail     func(request int) error // nil: none fails
	gate     chan struct{}           // if not nil, requests wait until it is closed
}

// noise is what the objects hold.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 64<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
})

func newFake(size int) *fake {
	return &fake{data: map[string][]byte{"o": noise()[:size]}, tag: "1"}
}

func (f *fake) String() string { return "fake://" }
func (f *fake) Close() error   { return nil }
func (f *fake) List(context.Context, string) ([]objects.Entry, error) {
	return nil, f.request()
}

func (f *fake) Open(_ context.Context, name string) (objects.Object, error) {
	b, ok := f.data[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return &fakeObject{f, b}, f.request()
}

func (f *fake) request() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	if f.fail != nil {
		return f.fail(f.requests)
	}
	return nil
}

func (f *fake) counts() (requests int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests, f.bytes
}

func (f *fake) setFail(fail func(int) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

type fakeObject struct {
	f *fake
	b []byte
}

func (o *fakeObject) Size() int64           { return int64(len(o.b)) }
func (o *fakeObject) Changed() time.Time    { return time.Time{} }
func (o *fakeObject) Prefetch(off, n int64) {}
func (o *fakeObject) Tag() string           { return o.f.tag }
func (o *fakeObject) ReadAt(p []byte, off int64) (int, error) {
	panic("a Ranged object is read by Range")
}

func (o *fakeObject) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if o.f.gate != nil {
		select {
		case <-o.f.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := o.f.request(); err != nil {
		return nil, err
	}
	o.f.mu.Lock()
	o.f.bytes += n
	o.f.mu.Unlock()
	return io.NopCloser(bytes.NewReader(o.b[off : off+n])), nil
}

// open opens the fake's object behind a cache.
func open(t testing.TB, f *fake, opts chunks.Options) (*chunks.Store, objects.Object) {
	t.Helper()
	s := chunks.New(f, opts)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	o, err := s.Open(context.Background(), "o")
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

// check reads a range and compares it.
func check(t testing.TB, f *fake, o objects.Object, off, n int64) {
	t.Helper()
	p := make([]byte, n)
	k, err := o.ReadAt(p, off)
	want := f.data["o"][min(off, o.Size()):min(off+n, o.Size())]
	if int64(k) < n && err != io.EOF || int64(k) == n && err != nil || !bytes.Equal(p[:k], want) {
		t.Errorf("ReadAt(%d bytes, %d) = %d, %v, or other bytes", n, off, k, err)
	}
}
