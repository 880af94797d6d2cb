package chunks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/vfs"
)

// memory is a store of chunks that counts how often each is decoded.
type memory struct {
	mu    sync.Mutex
	data  map[format.MAC][]byte
	loads map[format.MAC]int
	fail  error
	gate  chan struct{} // if not nil, loading waits for it
	busy  atomic.Int32
}

func (m *memory) Chunk(ctx context.Context, name format.MAC, _ int64) ([]byte, error) {
	m.busy.Add(1)
	defer m.busy.Add(-1)
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads[name]++
	return m.data[name], m.fail
}

func (m *memory) loaded(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loads[format.MAC{byte(n)}]
}

// file makes a file of chunks of the given sizes.
func file(t testing.TB, limit int64, sizes ...int) (*memory, *Cache, *File, []byte) {
	t.Helper()
	m := &memory{data: map[format.MAC][]byte{}, loads: map[format.MAC]int{}}
	rnd := rand.New(rand.NewPCG(1, 1))
	var list []vfs.Chunk
	var whole []byte
	for i, n := range sizes {
		b := make([]byte, n)
		for k := range b {
			b[k] = byte(rnd.Uint32())
		}
		name := format.MAC{byte(i)}
		m.data[name] = b
		list, whole = append(list, vfs.Chunk{MAC: name, Length: int64(n)}), append(whole, b...)
	}
	c := NewCache(m, limit)
	t.Cleanup(func() { c.Close() })
	return m, c, NewFile(c, func() ([]vfs.Chunk, error) { return list, nil }), whole
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not happen", what)
		}
	}
}

func TestFile_ReadAt(t *testing.T) {
	_, _, f, whole := file(t, 1<<20, 10, 1, 500, 3, 77)
	for off := range len(whole) {
		for _, n := range []int{1, 5, 11, 512, len(whole) - off} {
			b := make([]byte, n)
			k, err := f.ReadAt(b, int64(off))
			want := whole[off:min(off+n, len(whole))]
			if !bytes.Equal(b[:k], want) || (err == nil) != (k == n) || err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("%d bytes at %d: %d, %v", n, off, k, err)
			}
		}
	}
	if _, err := f.ReadAt(make([]byte, 1), int64(len(whole))); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// Many readers of one chunk decode it once.
func TestCache_DecodesOnce(t *testing.T) {
	m, _, f, whole := file(t, 1<<20, 100)
	m.gate = make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			b := make([]byte, 100)
			if _, err := f.ReadAt(b, 0); err != nil || !bytes.Equal(b, whole) {
				t.Error(err)
			}
		})
	}
	eventually(t, "a reader decodes", func() bool { return m.busy.Load() == 1 })
	close(m.gate)
	wg.Wait()
	if n := m.loaded(0); n != 1 {
		t.Errorf("decoded %d times", n)
	}
}

// The cache keeps what was read last, up to its limit.
func TestCache_Limit(t *testing.T) {
	m, c, f, _ := file(t, 250, 100, 100, 100, 100)
	read := func(i int64) {
		t.Helper()
		if _, err := f.ReadAt(make([]byte, 1), i*100); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.used > 250 || c.used != int64(c.slots.Len())*100 {
			t.Errorf("%d bytes in %d chunks", c.used, c.slots.Len())
		}
	}
	for _, i := range []int64{0, 3, 0, 2, 0, 3} {
		read(i)
	}
	if m.loaded(0) != 1 || m.loaded(3) != 2 {
		t.Errorf("chunk 0 was decoded %d times, chunk 3 %d times", m.loaded(0), m.loaded(3))
	}
	one, small := NewCache(m, 10), format.MAC{1}
	defer one.Close()
	if b, err := one.Get(small, 100); err != nil || len(b) != 100 {
		t.Errorf("a chunk larger than the cache: %d, %v", len(b), err)
	}
}

// A failure is told and not kept; a chunk of another size is one.
func TestCache_Failure(t *testing.T) {
	m, c, f, _ := file(t, 1<<20, 100)
	m.fail = errors.New("the disk")
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, m.fail) {
		t.Error(err)
	}
	m.fail = nil
	if _, err := f.ReadAt(make([]byte, 1), 0); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(format.MAC{0}, 99); !errors.Is(err, snapshot.ErrDamaged) {
		t.Error(err)
	}
	lists := 0
	bad := NewFile(c, func() ([]vfs.Chunk, error) { lists++; return nil, io.ErrUnexpectedEOF })
	for range 2 {
		if _, err := bad.ReadAt(make([]byte, 1), 0); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	}
	if lists != 2 {
		t.Errorf("the list was asked for %d times", lists)
	}
}

// Reads behind each other have the next chunks decoded; random ones do not.
func TestFile_DecodesAhead(t *testing.T) {
	m, c, f, _ := file(t, 1<<20, 100, 100, 100, 100, 100, 100)
	for _, off := range []int64{500, 0, 300} {
		if _, err := f.ReadAt(make([]byte, 10), off); err != nil {
			t.Fatal(err)
		}
	}
	c.wg.Wait()
	if m.loaded(1)+m.loaded(2)+m.loaded(4) != 0 {
		t.Errorf("random reads decoded ahead: %v", m.loads)
	}
	m2, c2, f2, _ := file(t, 1<<20, 100, 100, 100, 100, 100, 100)
	for off := int64(0); off < 30; off += 10 {
		if _, err := f2.ReadAt(make([]byte, 10), off); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the next chunks are decoded", func() bool { return m2.loaded(1) == 1 && m2.loaded(2) == 1 })
	c2.wg.Wait()
	if m2.loaded(3) != 0 {
		t.Error("too much was decoded ahead")
	}
	f2.Prefetch(350, 100)
	eventually(t, "a hint is taken", func() bool { return m2.loaded(3) == 1 && m2.loaded(4) == 1 })
	f2.Prefetch(0, -1)
	f2.Prefetch(10000, 10)
}

// Close ends what decodes ahead, and readers that wait.
func TestCache_Close(t *testing.T) {
	m, c, f, _ := file(t, 1<<20, 100, 100)
	m.gate = make(chan struct{})
	failed := make(chan error)
	go func() {
		_, err := f.ReadAt(make([]byte, 1), 0)
		failed <- err
	}()
	eventually(t, "a reader decodes", func() bool { return m.busy.Load() == 1 })
	c.Ahead(format.MAC{1}, 100)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	c.Ahead(format.MAC{1}, 100)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestDefaultLimit(t *testing.T) {
	if n := DefaultLimit(); n < 32<<20 || n > 256<<20 {
		t.Error(n)
	}
}
