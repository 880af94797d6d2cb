package attach

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/block"
)

// countingZero counts the bytes given to Zero.
type countingZero struct {
	block.Device
	zeroed atomic.Int64
}

func (d *countingZero) Zero(off, n int64) error {
	d.zeroed.Add(n)
	return d.Device.Zero(off, n)
}

// holdingDevice holds writes back while it is shut, as an overlay at its limit.
type holdingDevice struct {
	block.Device
	waiting atomic.Int64
	mu      sync.RWMutex // held for writing while shut
}

func (d *holdingDevice) WriteAt(p []byte, off int64) (int, error) {
	d.waiting.Add(1)
	defer d.waiting.Add(-1)
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.Device.WriteAt(p, off)
}

// With every write held back, as many as the kernel will send, reads must go
// on: PostgreSQL has to answer, and to stop.
func TestAttach_HeldWritesLeaveRoomForReads(t *testing.T) {
	t.Run("as the kernel comes", func(t *testing.T) { testHeldWrites(t, nil) })
	t.Run("without write-back throttling", func(t *testing.T) {
		var wbt string
		testHeldWrites(t, func(r Resource) error {
			if r.Kind != KindLoop || r.State != Held {
				return nil
			}
			wbt = "/sys/block/" + filepath.Base(r.Path) + "/queue/wbt_lat_usec"
			if err := os.WriteFile(wbt, []byte("0"), 0); err != nil {
				return nil // a kernel without it
			}
			t.Cleanup(func() { _ = os.WriteFile(wbt, []byte("-1"), 0) }) // the default
			return nil
		})
	})
}

func testHeldWrites(t *testing.T, record func(Resource) error) {
	needsKernel(t)
	disk := &holdingDevice{Device: newDisk(t, 256<<20)}
	a := mounted(t, disk, func(c *Config) { c.Record = record })
	cold := filepath.Join(a.MountPoint(), "cold")
	want := make([]byte, 8<<20)
	for i := range want {
		want[i] = byte(i >> 12)
	}
	if err := os.WriteFile(cold, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(cold)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}

	// Thousands of scattered dirty pages: more requests than the device has
	// slots. The write-back that pushes them out is left hanging.
	disk.mu.Lock()
	var hanging sync.WaitGroup
	defer hanging.Wait()
	unlock := sync.OnceFunc(disk.mu.Unlock)
	defer unlock()
	for i := range 4 {
		hanging.Add(1)
		go func() {
			defer hanging.Done()
			g, err := os.Create(filepath.Join(a.MountPoint(), fmt.Sprintf("hot%d", i)))
			if err != nil {
				t.Error(err)
				return
			}
			defer g.Close()
			for k := range int64(1000) {
				if _, err := g.WriteAt([]byte("dirty"), k*8192*3%(24<<20)); err != nil {
					t.Error(err)
					return
				}
			}
			if err := g.Sync(); err != nil {
				t.Errorf("sync after the writes were let through: %v", err)
			}
		}()
	}
	err = poll(soon(t), func() (bool, error) { return disk.waiting.Load() >= writeDepth, nil })
	if err != nil {
		t.Fatalf("only %d writes are held back", disk.waiting.Load())
	}
	// Let as many in as will come, until their number rests.
	for last, rest := int64(0), 0; rest < 10; {
		time.Sleep(20 * time.Millisecond)
		if now := disk.waiting.Load(); now != last {
			last, rest = now, 0
		} else {
			rest++
		}
	}
	t.Logf("%d writes are held back", disk.waiting.Load())

	got := make(chan error, 1)
	go func() {
		b := make([]byte, len(want))
		if _, err := f.ReadAt(b, 0); err != nil {
			got <- err
			return
		}
		if string(b) != string(want) {
			err = fmt.Errorf("the bytes differ")
		}
		got <- err
	}()
	select {
	case err := <-got:
		if err != nil {
			t.Errorf("reading while writes are held back: %v", err)
		}
	case <-soon(t).Done():
		t.Error("a read waits for writes that are held back")
	}
	unlock()
}
