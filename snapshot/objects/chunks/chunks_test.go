package chunks_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/chunks"
)

const mib = 1 << 20

func TestReadAt_GivesTheObject(t *testing.T) {
	f := newFake(5*mib + 12345)
	_, o := open(t, f, chunks.Options{Memory: mib, Dir: t.TempDir(), Disk: 64 * mib})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(g)))
			for range 200 {
				check(t, f, o, rnd.Int64N(o.Size()+10), rnd.Int64N(300_000))
			}
		})
	}
	wg.Wait()
	check(t, f, o, 0, o.Size())
}

func TestReadAt_ManyReadersOneRequest(t *testing.T) {
	f := newFake(mib)
	f.gate = make(chan struct{})
	_, o := open(t, f, chunks.Options{})
	before, _ := f.counts()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { check(t, f, o, int64(i)*1000, 8192) })
	}
	time.Sleep(50 * time.Millisecond) // so that they meet; not needed for success
	close(f.gate)
	wg.Wait()
	if n, _ := f.counts(); n-before != 1 {
		t.Errorf("%d requests for one block, want 1", n-before)
	}
}

// A tar's headers, every 25 KiB: that must not be a request for each.
func TestReadAt_ScansInFewRequests(t *testing.T) {
	f := newFake(32 * mib)
	_, o := open(t, f, chunks.Options{})
	for off := int64(0); off+512 <= o.Size(); off += 25 << 10 {
		check(t, f, o, off, 512)
	}
	if n, _ := f.counts(); n > 100 {
		t.Errorf("%d requests for %d headers", n, o.Size()/(25<<10))
	}
}

// Headers that lie far apart cost one chunk each, not a block.
func TestReadAt_JumpsFetchLittle(t *testing.T) {
	f := newFake(64 * mib)
	_, o := open(t, f, chunks.Options{})
	for off := int64(0); off < o.Size(); off += 4 * mib {
		check(t, f, o, off, 512)
	}
	if _, b := f.counts(); b > 16*64<<10 {
		t.Errorf("16 headers cost %d bytes", b)
	}
}

func TestReadAt_ReadsAheadWhatIsReadForwards(t *testing.T) {
	f := newFake(32 * mib)
	_, o := open(t, f, chunks.Options{})
	for off := int64(0); off < o.Size(); off += 8192 {
		check(t, f, o, off, 8192)
	}
	n, b := f.counts()
	if n > 100 || b > 33*mib {
		t.Errorf("reading %d bytes in order took %d requests and %d bytes", o.Size(), n, b)
	}
}

func TestReadAt_RandomReadsAreNotReadAhead(t *testing.T) {
	f := newFake(64 * mib)
	_, o := open(t, f, chunks.Options{})
	for i := range int64(40) {
		check(t, f, o, i*17%40*3*mib/2, 8192)
	}
	if _, b := f.counts(); b > 40*256<<10 {
		t.Errorf("40 random reads cost %d bytes", b)
	}
}

func TestPrefetch_BringsWhatIsReadLater(t *testing.T) {
	f := newFake(4 * mib)
	_, o := open(t, f, chunks.Options{})
	o.Prefetch(0, mib)
	o.Prefetch(-1, 10)
	o.Prefetch(o.Size(), 10)
	o.Prefetch(o.Size()-10, mib)
	check(t, f, o, 0, mib)
	if n, _ := f.counts(); n > 4 {
		t.Errorf("%d requests", n)
	}
}

func TestDisk_ServesTheNextSession(t *testing.T) {
	f := newFake(20 * mib)
	opts := chunks.Options{Dir: t.TempDir(), Disk: 64 * mib}
	s, o := open(t, f, opts)
	check(t, f, o, 0, o.Size())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, before := f.counts()
	_, o = open(t, f, opts)
	check(t, f, o, 0, o.Size())
	if _, b := f.counts(); b != before {
		t.Errorf("%d bytes were fetched again", b-before)
	}
	f.tag = "2"
	_, o = open(t, f, opts)
	check(t, f, o, 0, 100)
	if _, b := f.counts(); b == before {
		t.Error("another version was served from what the first one left")
	}
}

func TestDisk_DamageIsFetchedAgain(t *testing.T) {
	f := newFake(20 * mib)
	opts := chunks.Options{Dir: t.TempDir(), Disk: 64 * mib}
	s, o := open(t, f, opts)
	check(t, f, o, 0, o.Size())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(opts.Dir + "/*/*")
	if len(files) != 2 {
		t.Fatalf("%d files for 20 MiB, want 2", len(files))
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[4096+70_000] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, before := f.counts()
	_, o = open(t, f, opts)
	check(t, f, o, 0, o.Size())
	if _, b := f.counts(); b == before || b-before > 2*256<<10 {
		t.Errorf("two damaged chunks cost %d bytes", b-before)
	}
	// A file that is cut short, and one that is something else.
	if err := errors.Join(os.Truncate(files[0], 5000), os.WriteFile(files[1], []byte("nonsense"), 0o600)); err != nil {
		t.Fatal(err)
	}
	_, o = open(t, f, opts)
	check(t, f, o, 0, o.Size())
}

func TestDisk_KeepsItsLimit(t *testing.T) {
	f := newFake(48 * mib)
	opts := chunks.Options{Dir: t.TempDir(), Disk: 20 * mib}
	s, o := open(t, f, opts)
	check(t, f, o, 0, o.Size())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var sum int64
	err := filepath.WalkDir(opts.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		sum += info.Size()
		return err
	})
	if err != nil || sum > 26*mib {
		t.Errorf("%d bytes in a cache of %d: %v", sum, opts.Disk, err)
	}
}

var errDown = errors.New("connection refused")

func TestInterruption_IsWaitedOut(t *testing.T) {
	f := newFake(mib)
	var mu sync.Mutex
	var told []string
	_, o := open(t, f, chunks.Options{Notice: func(m string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, m)
	}})
	check(t, f, o, 0, 100)
	failures := 0
	f.setFail(func(int) error {
		if failures++; failures <= 3 {
			return objects.Passing(errDown)
		}
		return nil
	})
	check(t, f, o, 512<<10, 100)
	mu.Lock()
	defer mu.Unlock()
	if failures < 4 || len(told) != 2 {
		t.Errorf("%d requests, told %q", failures, told)
	}
}

func TestInterruption_EndsWithPatience(t *testing.T) {
	f := newFake(mib)
	s, o := open(t, f, chunks.Options{})
	f.setFail(func(int) error { return objects.Passing(errDown) })
	s.SetPatience(300 * time.Millisecond)
	if _, err := o.ReadAt(make([]byte, 10), 0); !errors.Is(err, errDown) {
		t.Errorf("read: %v", err)
	}
	if _, err := s.Open(context.Background(), "o"); !errors.Is(err, errDown) {
		t.Errorf("open: %v", err)
	}
}

func TestInterruption_OthersFailAtOnce(t *testing.T) {
	f := newFake(mib)
	_, o := open(t, f, chunks.Options{})
	n := 0
	f.setFail(func(int) error { n++; return fs.ErrPermission })
	if _, err := o.ReadAt(make([]byte, 10), 0); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("read: %v", err)
	}
	if n != 1 {
		t.Errorf("tried %d times", n)
	}
}

func TestClose_EndsWhatWaits(t *testing.T) {
	f := newFake(mib)
	s, o := open(t, f, chunks.Options{})
	f.setFail(func(int) error { return objects.Passing(errDown) })
	done := make(chan error)
	go func() {
		_, err := o.ReadAt(make([]byte, 10), 0)
		done <- err
	}()
	time.Sleep(20 * time.Millisecond) // so that it waits; not needed for success
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("the read ended with %v", err)
	}
	if _, err := o.ReadAt(make([]byte, 10), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a later read ended with %v", err)
	}
	if _, err := s.Open(context.Background(), "o"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a later Open ended with %v", err)
	}
}

// A session that is closed must not wait for minutes for what hangs on a read.
func TestHurry_EndsWaiting(t *testing.T) {
	f := newFake(mib)
	s, o := open(t, f, chunks.Options{})
	f.setFail(func(int) error { return objects.Passing(errDown) })
	done := make(chan error, 2)
	go func() {
		_, err := o.ReadAt(make([]byte, 10), 0)
		done <- err
	}()
	s.Hurry()
	if err := <-done; !errors.Is(err, errDown) {
		t.Errorf("a failing read ended with %v", err)
	}
	f.setFail(nil)
	f.gate = make(chan struct{}) // never an answer
	if _, err := o.ReadAt(make([]byte, 10), 0); !objects.IsPassing(err) {
		t.Errorf("a read without an answer ended with %v", err)
	}
}

func TestOpen_EndsWithItsContext(t *testing.T) {
	f := newFake(mib)
	s, _ := open(t, f, chunks.Options{})
	f.setFail(func(int) error { return objects.Passing(errDown) })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Open(ctx, "o"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open: %v", err)
	}
}
