package cow

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/testneeds"
)

// holds collects what OnHold is told.
type holds struct {
	mu   sync.Mutex
	list []Hold
}

func (h *holds) tell(e Hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, e)
}

func (h *holds) reasons() (r []HoldReason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.list {
		r = append(r, e.Reason)
	}
	return r
}

func limited(t *testing.T, o Options) (*Overlay, *holds, []byte) {
	t.Helper()
	b, model := testBase(4 << 20)
	h := new(holds)
	o.OnHold = h.tell
	if o.Headroom == 0 {
		o.Headroom = -1
	}
	ov, err := newTestStore(t, b).NewTop(LayerID{}, b, o)
	must(t, err)
	t.Cleanup(func() { ov.Close() })
	return ov, h, model
}

// heldWrite starts a write and waits until it is held.
func heldWrite(t *testing.T, o *Overlay, model []byte, p []byte, off int64) (done chan error) {
	t.Helper()
	done = make(chan error, 1)
	go func() {
		_, err := o.WriteAt(p, off)
		done <- err
	}()
	waitFor(t, "the write is held", func() bool {
		st, err := o.Stats()
		return err == nil && st.Holding > 0 && st.HoldReason != HoldNone
	})
	copy(model[off:], p)
	return done
}

func result(t *testing.T, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the write is still held")
		return nil
	}
}

func wantReasons(t *testing.T, h *holds, want ...HoldReason) {
	t.Helper()
	waitFor(t, "OnHold has been told everything", func() bool { return len(h.reasons()) >= len(want) })
	got := h.reasons()
	for i := range got {
		if i >= len(want) || got[i] != want[i] {
			t.Fatalf("OnHold was told %q, want %q", got, want)
		}
	}
}

func TestHold_AtTheLimitWritesWaitAndAllElseGoesOn(t *testing.T) {
	o, h, model := limited(t, Options{MaxBytes: 64 << 10})
	rnd := newRand(1)
	write(t, o, model, randomBytes(rnd, 60<<10), 0)
	done := heldWrite(t, o, model, randomBytes(rnd, 32<<10), 1<<20)
	// Everything that needs no room works.
	if _, err := o.ReadAt(make([]byte, 100), 2<<20); err != nil {
		t.Error(err)
	}
	write(t, o, model, randomBytes(rnd, 60<<10), 0)  // what is held already
	write(t, o, model, make([]byte, 512<<10), 2<<20) // zeros
	zero(t, o, model, 3<<20, 1<<19)                  // whole blocks
	must(t, o.Sync())
	o.SetLimit(128 << 10)
	must(t, result(t, done))
	wantReasons(t, h, HoldQuota, HoldNone)
	wantBytes(t, "disk", readAll(t, o), model)
	if e := h.list[0]; e.Limit != 64<<10 || e.Writers != 1 || e.Since.IsZero() || e.Used > e.Limit {
		t.Errorf("OnHold was told %+v", e)
	}
}

func TestHold_FreedBlocksLetWritesGoOn(t *testing.T) {
	o, h, model := limited(t, Options{MaxBytes: 64 << 10})
	rnd := newRand(1)
	write(t, o, model, randomBytes(rnd, 64<<10), 0)
	done := heldWrite(t, o, model, randomBytes(rnd, 100), 1<<20+50) // part of a block
	zero(t, o, model, 0, 16<<10)
	must(t, result(t, done))
	wantReasons(t, h, HoldQuota, HoldNone)
	wantBytes(t, "disk", readAll(t, o), model)
	st, err := o.Stats()
	must(t, err)
	if st.Used != 52<<10 {
		t.Errorf("%d bytes used, 52 KiB are held", st.Used)
	}
}

func TestHold_CheckpointedLayersCount(t *testing.T) {
	o, _, model := limited(t, Options{MaxBytes: 64 << 10})
	rnd := newRand(1)
	write(t, o, model, randomBytes(rnd, 64<<10), 0)
	id, err := o.Checkpoint("full")
	must(t, err)
	done := heldWrite(t, o, model, randomBytes(rnd, BlockSize), 0)
	if _, err := o.Checkpoint("while held"); err != nil { // the held write has no lock
		t.Error(err)
	}
	o.SetLimit(0)
	must(t, result(t, done))
	wantBytes(t, "disk", readAll(t, o), model)
	if _, err := o.store.readLayer(id); err != nil {
		t.Error(err)
	}
}

func TestHold_CloseFailsHeldWrites(t *testing.T) {
	o, _, model := limited(t, Options{MaxBytes: BlockSize})
	done := heldWrite(t, o, model, randomBytes(newRand(1), 2*BlockSize), 0)
	must(t, o.Close())
	if err := result(t, done); !errors.Is(err, os.ErrClosed) {
		t.Errorf("held write of a closed overlay: %v", err)
	}
}

func TestHold_TimesOut(t *testing.T) {
	o, h, _ := limited(t, Options{MaxBytes: BlockSize, HoldTimeout: 10 * time.Millisecond})
	n, err := o.WriteAt(randomBytes(newRand(1), 2*BlockSize), 0)
	if n != 0 || !errors.Is(err, ErrNoRoom) {
		t.Errorf("WriteAt = %d, %v", n, err)
	}
	wantReasons(t, h, HoldQuota, HoldNone)
	must(t, o.Sync())
}

func TestHold_HeadroomOfTheHostIsKept(t *testing.T) {
	o, h, model := limited(t, Options{Headroom: 1 << 30})
	var mu sync.Mutex
	free := int64(1<<30 + 8*BlockSize)
	o.room.look = func() (int64, int64, error) {
		mu.Lock()
		defer mu.Unlock()
		return free, 1 << 40, nil
	}
	rnd := newRand(1)
	write(t, o, model, randomBytes(rnd, 4*BlockSize), 0)
	done := heldWrite(t, o, model, randomBytes(rnd, 16*BlockSize), 1<<20)
	mu.Lock()
	free = 2 << 30
	mu.Unlock()
	must(t, result(t, done))
	wantReasons(t, h, HoldDiskFull, HoldNone)
	if e := h.list[0]; e.Free != 1<<30+8*BlockSize || e.Headroom != 1<<30 {
		t.Errorf("OnHold was told %+v", e)
	}
	wantBytes(t, "disk", readAll(t, o), model)
}

// TestHold_AFullHostDisk lets a real file system run full.
func TestHold_AFullHostDisk(t *testing.T) {
	dir := t.TempDir()
	err := unix.Mount("snapview-test", dir, "tmpfs", 0, "size=1m")
	testneeds.Need(t, err == nil, "root, to mount a tmpfs")
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	b, model := testBase(4 << 20)
	s, err := CreateStore(dir+"/store", StoreOptions{BaseID: b.ID, VirtualSize: b.Reader.Size()})
	must(t, err)
	h := new(holds)
	o, err := s.NewTop(LayerID{}, b, Options{Headroom: -1, OnHold: h.tell})
	must(t, err)
	defer o.Close()
	ballast := dir + "/ballast"
	must(t, os.WriteFile(ballast, make([]byte, 512<<10), 0o600))
	rnd := newRand(1)
	write(t, o, model, randomBytes(rnd, 256<<10), 0)
	must(t, o.Sync())
	done := heldWrite(t, o, model, randomBytes(rnd, 512<<10), 1<<20)
	if _, err := o.ReadAt(make([]byte, 100), 100); err != nil {
		t.Error(err)
	}
	// A Sync that has no room for the map waits as well.
	write(t, o, model, make([]byte, 96<<10), 3<<20)
	synced := make(chan error, 1)
	go func() { synced <- o.Sync() }()
	must(t, os.Remove(ballast))
	must(t, result(t, done))
	must(t, result(t, synced))
	wantReasons(t, h, HoldDiskFull, HoldNone)
	must(t, o.Sync())
	id := o.Top()
	must(t, o.Close())
	o, err = s.Open(id, b, noHeadroom)
	must(t, err)
	defer o.Close()
	wantBytes(t, "disk", readAll(t, o), model)
}
